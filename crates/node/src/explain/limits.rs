//! How limits stand towards a request.

use std::time::Duration;

use tollgate_proto::completion::v1::{self as wire, LimitOutlook as Outlook};
use tollgate_quota::node::{Foresight, Why};

use crate::grpc::encode::duration;
use crate::limiter::Limiter;
use crate::permit::Needs;
use crate::plan::{Line, Plan};

/// What limits would do with a request.
pub(super) fn foreseen(limiter: &Limiter, plan: &Plan, needs: &Needs) -> Vec<wire::LimitVerdict> {
    let all = plan.lines.iter().chain(&plan.shadows);
    all.map(|line| verdict(limiter, line, needs)).collect()
}

/// What limits did with a request that they have just admitted. Shadows are foreseen: they may not have answered yet.
pub(super) fn admitted(limiter: &Limiter, plan: &Plan, needs: &Needs) -> Vec<wire::LimitVerdict> {
    let admitted = plan.lines.iter().map(|line| wire::LimitVerdict {
        outlook: Outlook::Admits.into(),
        retry_after: None,
        ..verdict(limiter, line, needs)
    });
    let shadows = plan.shadows.iter();
    let shadows = shadows.map(|line| verdict(limiter, line, needs));
    admitted.chain(shadows).collect()
}

/// What a limit, or a ceiling, would do with a request or an attempt.
pub(super) fn verdict(limiter: &Limiter, line: &Line, needs: &Needs) -> wire::LimitVerdict {
    let (outlook, retry_after) = outlook(limiter, line, needs);
    let known = limiter.view(&line.counter);
    let (admits, left) = known.map_or((0, 0), |it| (it.limit, it.remaining));
    let reset = known.map(|it| it.reset_ms).filter(|reset| *reset > 0);
    wire::LimitVerdict {
        limit: line.limit.name.to_string(),
        counter: line.label.to_string(),
        unit: line.limit.measure.unit.as_str().to_owned(),
        needs: line.reserved(needs),
        admits,
        used: admits.saturating_sub(left),
        left,
        reset: reset.map(Duration::from_millis).map(duration),
        outlook: outlook.into(),
        retry_after: retry_after.map(duration),
        is_shadow: line.limit.shadow,
        waits: line.waits(),
    }
}

fn outlook(limiter: &Limiter, line: &Line, needs: &Needs) -> (Outlook, Option<Duration>) {
    if line.is_guarded()
        && let Some(wait) = limiter.guards(&line.counter, line.limit.guard, None)
    {
        return (Outlook::Exhausted, Some(wait));
    }
    match limiter.foresee(&line.ask(needs)) {
        Foresight::Unknown => (Outlook::Unknown, None),
        Foresight::AtOnce => (Outlook::Admits, None),
        Foresight::Asks | Foresight::Refused(Why::NoAnswer | Why::Late) => (Outlook::Asks, None),
        Foresight::Refused(Why::TooLarge { .. }) => (Outlook::TooSmall, None),
        Foresight::Refused(
            Why::Exhausted { retry_after_ms, .. } | Why::OverShare { retry_after_ms, .. },
        ) => (
            Outlook::Exhausted,
            Some(Duration::from_millis(retry_after_ms)),
        ),
    }
}
