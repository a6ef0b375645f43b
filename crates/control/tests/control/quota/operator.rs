//! What operators do to limits, at whichever replica, and what outlives its owner.

use tollgate_proto::admin::v1::raise_limit_request::End;
use tollgate_proto::admin::v1::{
    AuditRecord, LimitState, ListAuditRequest, RaiseLimitRequest, ResetCounterRequest,
};

use super::*;

const K1: &str = "per-key/key=k1";

async fn raise(control: &Control, limit: u64, seconds: i64) -> Result<(), Status> {
    let lasting = prost_types::Duration { seconds, nanos: 0 };
    let request = RaiseLimitRequest {
        counter: K1.to_owned(),
        limit,
        end: Some(End::Lasting(lasting)),
        by: "ada".to_owned(),
        reason: "a demonstration".to_owned(),
    };
    control.limits().raise_limit(request).await.map(drop)
}

async fn reset(control: &Control) -> Result<LimitState, Status> {
    let request = ResetCounterRequest {
        counter: K1.to_owned(),
        by: "bob".to_owned(),
        reason: "a mistake".to_owned(),
    };
    let response = control.limits().reset_counter(request).await?;
    Ok(response.into_inner().limit.unwrap())
}

async fn audit(control: &Control) -> Vec<AuditRecord> {
    let request = ListAuditRequest::default();
    control
        .limits()
        .list_audit(request)
        .await
        .unwrap()
        .into_inner()
        .records
}

/// What a caller is admitted until it is refused, in the window of now, once it has heard that there is more.
async fn more(caller: &mut Caller, counter: &Counter) -> u64 {
    let first = async {
        while caller.admit(counter).await.is_err() {
            caller.exchange().await.unwrap();
        }
        use_up(caller, counter).await
    };
    let admitted = timeout(LONG, first).await.unwrap();
    admitted.values().last().copied().unwrap_or(0) + 1
}

/// Until the owner has heard that so many units are spent.
async fn report(caller: &mut Caller, owner: &Control, spent: u64) {
    loop {
        caller.exchange().await.unwrap();
        let mut limits = owner.limits();
        let listed = limits.list_limits(ListLimitsRequest::default()).await;
        let listed = listed.unwrap().into_inner().limits;
        if listed.iter().any(|it| it.spent == spent) {
            return;
        }
    }
}

async fn check_audit(control: &Control) {
    let actions: Vec<_> = audit(control).await.into_iter().rev().collect();
    let said: Vec<_> = actions
        .iter()
        .map(|record| (record.action.as_str(), record.by.as_str()))
        .collect();
    let raised = ("raise", "ada");
    assert_eq!(
        said,
        [raised, ("reset", "bob"), raised, ("reset", "bob"), raised]
    );
    assert!(
        actions
            .iter()
            .all(|record| record.done && record.counter == K1)
    );
    assert!(
        actions[0].detail.starts_with("to 50 until 2"),
        "{:?}",
        actions[0]
    );
    assert_eq!(actions[3].detail, "forgives 20");
    assert_eq!(actions[4].detail, "ended");
}

#[tokio::test]
async fn a_limit_is_raised_and_a_counter_reset_at_any_replica_and_over_a_takeover() {
    let server = Server::start();
    let (first, second): (SharedStore, SharedStore) = (
        Arc::new(server.client().await),
        Arc::new(server.client().await),
    );
    // Of the two it is `b` that the counter's shard belongs at: it stays there, however long this takes.
    let owner = Control::start("b", &first).await;
    owner.apply(policy("per-key", 20)).await.unwrap();
    let other = Control::start("a", &second).await;
    let counter = counter("k1");
    let mut caller = Caller::new("n", 1);
    caller.patience_ms = 20_000;
    caller.connect(&owner).await;
    assert_eq!(more(&mut caller, &counter).await, 20);

    raise(&other, 50, 3_600).await.unwrap();
    assert_eq!(more(&mut caller, &counter).await, 30);
    caller.exchange().await.unwrap();

    owner.kill();
    let taken_over = async {
        loop {
            caller.connect(&other).await;
            let _ = caller.exchange().await;
            let mut limits = other.limits();
            let listed = limits.list_limits(ListLimitsRequest::default()).await;
            let listed = listed.map(|listed| listed.into_inner().limits);
            if listed.is_ok_and(|limits| limits.iter().any(|it| it.raised_until.is_some())) {
                return;
            }
        }
    };
    timeout(LONG, taken_over).await.unwrap();
    let state = reset(&other).await.unwrap();
    assert!(state.raised_until.is_some(), "{state:?}");
    assert_eq!(
        (state.limit, state.free),
        (50, 0),
        "the former owner's units may be out"
    );
    raise(&other, 70, 3_600).await.unwrap();
    assert_eq!(more(&mut caller, &counter).await, 20);
    timeout(LONG, report(&mut caller, &other, 20))
        .await
        .unwrap();
    let state = reset(&other).await.unwrap();
    assert_eq!((state.spent, state.free), (0, 20));
    raise(&other, 0, 0).await.unwrap();
    assert!(
        caller.admit(&counter).await.is_err(),
        "policy's limit is exceeded by far"
    );

    check_audit(&other).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let control = Control::start("a", &embedded(home.path())).await;
    control.apply(policy("per-key", 20)).await.unwrap();
    let mut caller = Caller::new("n", 1);
    caller.connect(&control).await;
    caller.admit(&counter("k2")).await.unwrap();
    let status = raise(&control, 50, 0).await.unwrap_err();
    assert!(status.message().contains("not in the future"), "{status:?}");
    let status = raise(&control, 50, 400 * 86_400).await.unwrap_err();
    assert!(status.message().contains("change the policy"), "{status:?}");
    let request = ResetCounterRequest {
        counter: "per-key".to_owned(),
        by: "bob".to_owned(),
        reason: "a mistake".to_owned(),
    };
    let status = control
        .limits()
        .reset_counter(request.clone())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let request = ResetCounterRequest {
        counter: K1.to_owned(),
        reason: String::new(),
        ..request
    };
    let status = control.limits().reset_counter(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(audit(&control).await.is_empty());
    // A counter that nobody uses yet can be raised.
    raise(&control, 30, 60).await.unwrap();
    assert_eq!(more(&mut caller, &counter("k1")).await, 30);
}
