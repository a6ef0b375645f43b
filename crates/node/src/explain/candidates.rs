//! How the deployments of a request's route stand, and how likely each is to be asked first.

use std::time::Duration;

use tollgate_balance::{Candidate, Condition, Known, Report, Standing};
use tollgate_policy::table::{Pool, Route, Strategy};
use tollgate_proto::completion::v1::{
    self as wire, CandidateState as State, LimitOutlook as Outlook,
};

use super::limits;
use crate::asked::Asked;
use crate::dispatch::Case;
use crate::grpc::encode::duration;
use crate::permit::Needs;
use crate::upstream::suits;

/// Requests that are drawn to tell how likely each deployment is. More would cost time: each is a choice.
const DRAWS: u16 = 200;

/// Ranks from here on stand for "not known" or "after all others".
const NO_SCORE: f64 = 1e11;

/// The pools of a request's route. With `fits`, it is also looked whether providers have words for the request, which
/// takes as long as to write it down for each.
pub(super) fn pools(case: &Case<'_>, needs: &Needs, fits: bool) -> Vec<wire::PoolVerdict> {
    let surveyed = case.survey(&case.attempts());
    let mut told: Vec<_> = surveyed
        .iter()
        .map(|(it, report)| (*it, verdict(case, (it, report), needs, fits)))
        .collect();
    let blocked: Vec<_> = told
        .iter()
        .filter(|(_, verdict)| matches!(verdict.state(), State::NoRoom | State::Unfit))
        .map(|(it, verdict)| (it.target, verdict.state()))
        .collect();
    let mut first = firsts(case, &blocked);
    for (it, verdict) in &mut told {
        let before = first.len();
        // One that is in several pools is met in the first of them.
        first.retain(|first| *first != it.target);
        let drawn = u16::try_from(before - first.len()).unwrap_or(DRAWS);
        verdict.chance = f64::from(drawn) / f64::from(DRAWS);
    }
    let steps = case.route.every_pool().zip(after(case.route)).enumerate();
    let pool = |(step, (pool, after)): (usize, (&Pool, Vec<String>))| wire::PoolVerdict {
        pool: pool.name.to_string(),
        strategy: pool.strategy.as_str().to_owned(),
        after,
        candidates: told
            .iter()
            .filter(|(it, _)| it.step == step)
            .map(|(_, verdict)| verdict.clone())
            .collect(),
    };
    steps.map(pool).collect()
}

/// The failures after which each of a route's pools is tried.
fn after(route: &Route) -> impl Iterator<Item = Vec<String>> {
    let always = route.pools.iter().map(|_| Vec::new());
    let fallbacks = route.fallbacks.iter().flat_map(|fallback| {
        let names: Vec<_> = fallback.on.names().map(str::to_owned).collect();
        fallback.pools.iter().map(move |_| names.clone())
    });
    always.chain(fallbacks)
}

/// Where so many requests would be sent first: each is drawn as dispatch does, past those that turn out to have no room
/// or no words.
fn firsts(case: &Case<'_>, blocked: &[(usize, State)]) -> Vec<usize> {
    let draw = |number: u64| {
        let mut attempts = case.attempts();
        let mut choice = 0;
        loop {
            let target = case.draw(&mut attempts, spread(number, choice))?;
            match blocked.iter().find(|(blocked, _)| *blocked == target) {
                None => return Some(target),
                Some((_, State::Unfit)) => attempts.unfit(),
                Some(_) => attempts.pass_over(),
            }
            choice += 1;
        }
    };
    (0..u64::from(DRAWS)).filter_map(draw).collect()
}

/// Numbers that are spread evenly over all of `u64` for each choice: multiples of the golden ratio.
fn spread(number: u64, choice: u64) -> u64 {
    let even = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    even ^ choice.wrapping_mul(0xd1b5_4a32_d192_ed03)
}

fn verdict(
    case: &Case<'_>,
    (it, report): (&Candidate, &Report),
    needs: &Needs,
    fits: bool,
) -> wire::CandidateVerdict {
    let mut told = wire::CandidateVerdict {
        weight: it.weight,
        share: it.sight.share,
        in_flight: it.sight.in_flight,
        score: score(case, it),
        first_token: report.pace.map(|(first, _)| duration(first)),
        cache_saving: report.saving,
        per_token: report.pace.map(|(_, each)| duration(each)),
        expected_nano_usd: case.price(it.target),
        ceilings: ceilings(case, it.target, needs),
        ..standing(report)
    };
    let Some((deployment, upstream)) = case.request.revision.deployment(it.target) else {
        return told;
    };
    told.deployment = deployment.name.to_string();
    told.provider = deployment.provider.name.to_string();
    let has_no_room =
        |it: &&wire::LimitVerdict| matches!(it.outlook(), Outlook::Exhausted | Outlook::TooSmall);
    if let Some(ceiling) = told.ceilings.iter().find(has_no_room) {
        told.reason = format!("ceiling `{}` has no room", ceiling.counter);
        told.wait = ceiling.retry_after;
        told.set_state(State::NoRoom);
        told.of_provider = false;
    }
    let words = |request, stream| match fits {
        true => upstream.fits(request, deployment, stream),
        false => Ok(()),
    };
    if let Asked::Completion { request, stream } = &case.request.asked
        && let Err(ended) = suits(deployment, request).and_then(|()| words(request, *stream))
    {
        told.reason.clone_from(&ended.failure.detail);
        told.wait = None;
        told.set_state(State::Unfit);
        told.of_provider = true;
    }
    told
}

fn ceilings(case: &Case<'_>, target: usize, needs: &Needs) -> Vec<wire::LimitVerdict> {
    let needs = Needs::of_attempt(needs.worst);
    let lines = case.request.revision.ceilings(target);
    let lines = lines.map_or(&[][..], |lines| lines).iter();
    lines
        .map(|line| limits::verdict(case.limiter, line, &needs))
        .collect()
}

/// Where a deployment stands in the order of its pool's strategy, if it has one.
fn score(case: &Case<'_>, it: &Candidate) -> Option<f64> {
    let ranks = match case.pool(it.step)?.strategy {
        Strategy::LeastBusy | Strategy::LeastLatency | Strategy::Cheapest | Strategy::MostRoom => {
            it.sight.standing != Standing::Cooling
        }
        // Their ranks are hashes, or nothing.
        Strategy::Weighted | Strategy::Sticky(_) => false,
    };
    (ranks && it.sight.rank < NO_SCORE).then_some(it.sight.rank)
}

/// What is known against a deployment, by itself or for its provider's sake.
fn standing(report: &Report) -> wire::CandidateVerdict {
    let Report { own, provider, .. } = *report;
    let is_worse = provider.standing() > own.standing();
    let of_provider = is_worse || (own == Condition::Well && provider != Condition::Well);
    let (state, reason, wait) = match if of_provider { provider } else { own } {
        Condition::Well => (State::Ready, "", Duration::ZERO),
        Condition::Returning(_) => (
            State::Returning,
            "was out of use, and comes back",
            Duration::ZERO,
        ),
        Condition::Probed => (
            State::Probed,
            "was out of use: single requests find out whether it is back",
            Duration::ZERO,
        ),
        Condition::Ejected(left) if left.is_zero() => (
            State::Ejected,
            "failed lately: a request is finding out whether it is back",
            left,
        ),
        Condition::Ejected(left) => (State::Ejected, "failed lately", left),
        Condition::Cooling(left) => (State::Cooling, "asked to be left alone", left),
        Condition::Full(left) => (
            State::Full,
            "has no room for as much, by its provider's headers",
            left,
        ),
    };
    wire::CandidateVerdict {
        state: state.into(),
        reason: reason.to_owned(),
        of_provider,
        wait: (!wait.is_zero()).then(|| duration(wait)),
        ..wire::CandidateVerdict::default()
    }
}
