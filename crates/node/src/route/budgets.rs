//! How far the limits are used that conditions of routes ask for.

use std::sync::Arc;

use tollgate_policy::condition::Budget;
use tollgate_quota::node::CounterView;
use tollgate_quota::{Counter, Kind, OwnerTime};

use crate::clock;
use crate::plan::{Line, Plan};

/// The part of a window that counts as over at its beginning, so that a single request does not look like a race.
const LEAST_OVER: f64 = 0.01;

/// How far these limits are used for the caller of a plan, as far as `view` knows their counters.
pub(crate) fn budgets(
    names: &[Arc<str>],
    plan: &Plan,
    view: impl Fn(&Counter) -> Option<CounterView>,
) -> Vec<Budget> {
    let unused = |limit: &Arc<str>| Budget {
        limit: Arc::clone(limit),
        used: 0.0,
        pace: 0.0,
    };
    let budget = |name: &Arc<str>| {
        let mut lines = plan.lines.iter().chain(&plan.shadows);
        let line = lines.find(|line| line.limit.name == *name);
        let known = line.and_then(|line| Some((line, view(&line.counter)?)));
        known.map_or_else(|| unused(name), |(line, known)| used(line, &known))
    };
    names.iter().map(budget).collect()
}

fn used(line: &Line, known: &CounterView) -> Budget {
    let used = ratio(known.limit.saturating_sub(known.remaining), known.limit);
    let left = length_ms(line.counter.kind()).map(|length| ratio(known.reset_ms, length));
    Budget {
        limit: Arc::clone(&line.limit.name),
        used,
        pace: left.map_or(0.0, |left| used / (1.0 - left).max(LEAST_OVER)),
    }
}

/// Length of a window; none where there are no windows. By the wall clock it is only told which month it is: when the
/// window ends is the owner's word.
fn length_ms(kind: Kind) -> Option<u64> {
    if !kind.has_windows() {
        return None;
    }
    let now = u64::try_from(clock::unix_time().as_millis()).unwrap_or(u64::MAX);
    let span = kind.span(OwnerTime(now));
    Some(span.end.since(span.start))
}

/// A part of a whole, from 0 to 1.
fn ratio(part: u64, whole: u64) -> f64 {
    let thousandths = u128::from(part.min(whole)) * 100_000 / u128::from(whole.max(1));
    f64::from(u32::try_from(thousandths).unwrap_or(100_000)) / 100_000.0
}

#[cfg(test)]
mod tests {
    use tollgate_policy::Subject;
    use tollgate_policy::table::Caller;

    use super::*;

    const POLICY: &str = r#"
providers: { p: { kind: simulated } }
deployments: { d: { provider: p, model: m } }
pools: { p: { targets: [ { deployment: d } ] } }
models: { m: { routes: [ { pools: [p] } ] } }
limits:
  - { name: hourly, requests: 100, window: 1h }
  - { name: rolling, requests: 100, window: 1m, kind: sliding }
  - { name: others, requests: 100, window: 1h, match: "subject.org == 'other'" }
"#;

    #[test]
    fn pace_is_use_against_time() {
        let source = tollgate_policy::yaml::Source {
            name: "p",
            text: POLICY.as_bytes(),
        };
        let policy = tollgate_policy::yaml::load(&[source]).unwrap();
        let table = tollgate_policy::compile(&policy, 1).unwrap();
        let subject = Subject::parse("acme").unwrap();
        let model = table.model("m").unwrap();
        let specs = table.counters(&Caller::new("k", &subject), model);
        let lines = specs.into_iter().map(|spec| Line::new(spec).unwrap());
        let plan = Plan::of_lines(lines.collect());
        let names = ["hourly", "rolling", "others"].map(Arc::from);
        let told = |remaining, reset_ms| {
            let known = CounterView {
                limit: 100,
                remaining,
                reset_ms,
                avail: 0,
                waiters: 0,
            };
            let told = budgets(&names, &plan, |_| Some(known));
            let figures = told.iter().map(|it| (it.used, (it.pace * 100.0).round()));
            figures.collect::<Vec<_>>()
        };
        // Half is used in a quarter of the hour, and the limit of others does not apply.
        let half = [(0.5, 200.0), (0.5, 0.0), (0.0, 0.0)];
        assert_eq!(told(50, 2_700_000), half);
        assert_eq!(told(99, 3_600_000)[0], (0.01, 100.0));
        assert_eq!(told(0, 0)[0], (1.0, 100.0));
        let unknown = budgets(&names, &plan, |_| None);
        assert!(unknown.iter().all(|it| it.used == 0.0), "{unknown:?}");
    }
}
