//! A store that turns out to be a restored copy.

use tollgate_proto::admin::v1::{CloseShareRequest, ListLimitsResponse, ThawLimitsRequest};

use tollgate_quota::{Close, Period, Zone};

use super::*;
use crate::control::policy_per;

pub(super) fn encode_close(close: &Close) -> pb::CloseShare {
    pb::CloseShare {
        incarnation: close.incarnation.0,
        counter: close.counter.to_string(),
        window: close.window.0,
        mark: close.mark,
        settled: close.settled,
    }
}

pub(super) fn decode_close(close: &pb::CloseShare) -> Close {
    Close {
        incarnation: Incarnation(close.incarnation),
        counter: Counter::parse(&close.counter).unwrap(),
        window: Window(close.window),
        mark: close.mark,
        settled: close.settled,
    }
}

pub(super) async fn list(control: &Control) -> ListLimitsResponse {
    let mut limits = control.limits();
    let listed = limits.list_limits(ListLimitsRequest::default()).await;
    listed.unwrap().into_inner()
}

async fn thaw(control: &Control) -> Result<(), Status> {
    let request = ThawLimitsRequest {
        by: "ada".to_owned(),
        reason: "all are there".to_owned(),
    };
    control.limits().thaw_limits(request).await.map(drop)
}

/// The counter that stands in the way of the thaw, as operators see it.
async fn frozen_counter(control: &Control) -> String {
    loop {
        let listed = list(control).await;
        assert!(listed.frozen_since.is_some());
        if let Some(limit) = listed.limits.first() {
            return limit.counter.clone();
        }
    }
}

/// A process that spent two units, as its heir says.
fn dead(counter: &Counter, admitted: &Admitted) -> Close {
    Close {
        incarnation: Incarnation(9),
        counter: counter.clone(),
        window: Window(*admitted.keys().next().unwrap()),
        mark: 2,
        settled: 2,
    }
}

/// An heir has just spoken, and may not have said all.
async fn thaw_once_all_is_said(control: &Control, heir: &mut Caller) {
    let status = thaw(control).await.unwrap_err();
    assert!(status.message().contains("still closing"), "{status:?}");
    let thawed = async {
        while thaw(control).await.is_err() {
            heir.exchange().await.unwrap();
        }
    };
    timeout(LONG, thawed).await.unwrap();
}

#[tokio::test]
async fn a_restored_store_is_frozen_until_all_is_closed_that_it_knows_of() {
    let home = tempfile::tempdir().unwrap();
    let store = Faulty::new(embedded(home.path()), |_, _| None);
    store.become_store(1);
    let shared: SharedStore = Arc::clone(&store) as SharedStore;
    let control = Control::start("a", &shared).await;
    control
        .apply(policy_per("per-key", 10, "1d"))
        .await
        .unwrap();
    let kind = Kind::Calendar {
        period: Period::Day,
        zone: Zone::named("UTC").unwrap(),
    };
    let counter = Counter::new("per-key", kind, "requests=1d@UTC/key=k1").unwrap();
    let mut caller = Caller::new("n", 7);
    caller.connect(&control).await;
    let admitted = ask(&mut caller, &counter, 3).await;
    assert_eq!(admitted.values().sum::<u64>(), 3);
    let status = thaw(&control).await.unwrap_err();
    assert!(status.message().contains("not frozen"), "{status:?}");

    // A replica that runs when the store is replaced ends, so that it begins anew.
    store.become_store(2);
    let why = control.failed().await.to_string();
    assert!(
        why.contains("the store that this replica began with"),
        "{why}"
    );
    let control = Control::start("a", &shared).await;
    let mut other = Caller::new("other", 8);
    // The copy knows nothing of a process that began and died since.
    other.machine.inherit(vec![dead(&counter, &admitted)]);
    other.connect(&control).await;
    other.patience_ms = 200;
    assert_eq!(other.admit(&counter).await, Err(Why::NoAnswer));
    let shown = timeout(LONG, frozen_counter(&control)).await.unwrap();

    let status = thaw(&control).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().contains("process 7 of node `n`"),
        "{status:?}"
    );
    let close = CloseShareRequest {
        counter: shown,
        incarnation: 7,
        spent: 6,
        ..CloseShareRequest::default()
    };
    control.limits().close_share(close).await.unwrap();
    thaw_once_all_is_said(&control, &mut other).await;
    other.patience_ms = 2_000;
    let rest = timeout(LONG, use_up_again(&mut other, &counter))
        .await
        .unwrap();
    assert_eq!(
        rest, 2,
        "six were spent, as the operator said, and two, as the heir did"
    );
    assert_eq!(list(&control).await.frozen_since, None);

    // The next start finds the store that it knows.
    control.stop().await;
    let control = Control::start("a", &shared).await;
    assert_eq!(list(&control).await.frozen_since, None);
}

/// Asks until the window is used up, while the owner begins.
async fn use_up_again(caller: &mut Caller, counter: &Counter) -> u64 {
    let mut admitted = 0;
    loop {
        match caller.admit(counter).await {
            Ok(_) => admitted += 1,
            Err(Why::NoAnswer) => {}
            Err(Why::Exhausted { .. }) => return admitted,
            Err(why) => panic!("refused: {why:?}"),
        }
    }
}
