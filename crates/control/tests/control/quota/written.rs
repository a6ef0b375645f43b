//! What the store says of counters that no node speaks of.

use tollgate_proto::admin::v1::{CloseShareRequest, LimitState};
use tollgate_quota::{Period, Zone};

use super::restore::list;
use super::*;
use crate::control::policy_per;

fn daily(key: &str) -> Counter {
    let kind = Kind::Calendar {
        period: Period::Day,
        zone: Zone::named("UTC").unwrap(),
    };
    Counter::new("per-key", kind, &format!("requests=1d@UTC/key={key}")).unwrap()
}

/// The counters listed, once there are so many.
async fn listed(control: &Control, count: usize) -> Vec<LimitState> {
    let look = async {
        loop {
            let limits = list(control).await.limits;
            if limits.len() >= count {
                return limits;
            }
        }
    };
    timeout(LONG, look).await.expect("not all are listed")
}

#[tokio::test]
async fn operators_see_and_close_what_was_spent_before_this_replica_began() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    control
        .apply(policy_per("per-key", 10, "1d"))
        .await
        .unwrap();
    let mut caller = Caller::new("n", 7);
    caller.connect(&control).await;
    for (key, times) in [("k1", 1), ("k2", 3)] {
        ask(&mut caller, &daily(key), times).await;
    }
    let before = listed(&control, 2).await;
    control.stop().await;

    // The node is gone for good, and nobody asks for what it used.
    let control = Control::start("b", &embedded_again(home.path()).await).await;
    let after = listed(&control, 2).await;
    let spent = |limits: &[LimitState]| -> Vec<_> {
        let spent = limits.iter().map(|it| (it.counter.clone(), it.spent));
        spent.collect()
    };
    assert_eq!(spent(&after), spent(&before));
    // Its last word was a question for the third unit.
    let last = &after[1];
    assert!(last.suspense > 0, "{last:?}");
    let close = CloseShareRequest {
        counter: last.counter.clone(),
        incarnation: 7,
        spent: last.spent,
        ..CloseShareRequest::default()
    };
    let closed = control.limits().close_share(close).await.unwrap();
    let limit = closed.into_inner().limit.unwrap();
    assert_eq!(limit.free, 10 - last.spent);
    assert_eq!((limit.spent, limit.suspense), (last.spent, 0));
}
