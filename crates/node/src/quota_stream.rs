//! Carries the limiter's messages to the owners of limits and theirs back.
//!
//! Every message holds totals, so nothing is sent twice on purpose and nothing is lost with a stream: a new one
//! begins with everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tollgate_proto::node::v1::quota_service_client::QuotaServiceClient;
use tollgate_proto::node::v1::{self as wire, StreamQuotaRequest, StreamQuotaResponse};
use tollgate_quota::{
    Close, Coming, Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime,
    OwnerAccount, OwnerMessage, OwnerTime, Window,
};
use tonic::Status;

use crate::control::Control;
use crate::limiter::Limiter;
use crate::{clock, metrics, random};

/// Owners answer every heartbeat, which is sent once a second.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);

/// How often the clocks are compared, and how far they may move against each other meanwhile. Corrections of a
/// running clock are a thousand times smaller.
const CLOCK_CHECK: Duration = Duration::from_millis(500);
const LARGEST_JUMP: Duration = Duration::from_millis(100);

/// Keeps a stream open for as long as it is polled, or until the limiter has been drained and has said so.
pub(crate) async fn run(limiter: Arc<Limiter>, mut control: Control) {
    loop {
        match exchange(&limiter, &mut control).await {
            Ok(()) if limiter.is_drained() => return,
            Ok(()) => control.report("quota", &Status::unavailable("the owner ended the stream")),
            Err(status) => control.report("quota", &status),
        }
        metrics::connected("quota", false);
        if limiter.is_drained() {
            return;
        }
        control.next_after_wait().await;
    }
}

async fn exchange(limiter: &Arc<Limiter>, control: &mut Control) -> Result<(), Status> {
    let mut client = QuotaServiceClient::new(control.channel()?);
    let term = limiter.connected();
    let messages = futures_util::stream::unfold(Arc::clone(limiter), move |limiter| async move {
        let message = limiter.next_message(term).await?;
        let request = StreamQuotaRequest {
            store: limiter.store(),
            ..encode(&message)
        };
        Some((request, limiter))
    });
    let request = control.authorised(messages)?;
    let silent = |_| Status::deadline_exceeded("the owner has fallen silent");
    let opened = timeout(LONGEST_SILENCE, client.stream_quota(request))
        .await
        .map_err(silent)??;
    let mut stream = opened.into_inner();
    metrics::connected("quota", true);
    while let Some(message) = timeout(LONGEST_SILENCE, stream.message())
        .await
        .map_err(silent)??
    {
        control.connected();
        limiter.stands_in(message.store);
        limiter.receive(&decode(&message));
    }
    Ok(())
}

/// Begins anew where the clocks show that this machine stood still: a snapshot of it was resumed, and the clock
/// that leases are kept by does not know how long that took.
pub(crate) async fn watch_clocks(limiter: Arc<Limiter>) {
    let mut before = clock::offset();
    loop {
        tokio::time::sleep(CLOCK_CHECK).await;
        let Some(offset) = clock::offset() else {
            continue;
        };
        if before.is_some_and(|before| offset.abs_diff(before) > LARGEST_JUMP) {
            tracing::warn!(
                "the wall clock jumped: leases are given up, as this may be a resumed snapshot"
            );
            limiter.begin_anew(random::number());
        }
        before = Some(offset);
    }
}

fn encode(message: &NodeMessage) -> StreamQuotaRequest {
    StreamQuotaRequest {
        node: message.node.to_string(),
        incarnation: message.incarnation.0,
        node_time_ms: message.t_node.0,
        accounts: message.accounts.iter().map(encode_account).collect(),
        closes: message.closes.iter().map(encode_close).collect(),
        store: 0,
    }
}

fn encode_close(close: &Close) -> wire::CloseShare {
    wire::CloseShare {
        incarnation: close.incarnation.0,
        counter: close.counter.as_str().to_owned(),
        window: close.window.0,
        mark: close.mark,
        settled: close.settled,
    }
}

fn encode_account(account: &NodeAccount) -> wire::NodeAccount {
    wire::NodeAccount {
        counter: account.counter.as_str().to_owned(),
        window: account.window.0,
        epoch: account.epoch.0,
        generation: account.generation.0,
        seen: account.seen,
        returned: account.returned,
        spent: account.spent,
        need: account.need,
        demand: account.demand,
        available: account.avail,
        waiters: account.waiters,
        answered: account.answered,
    }
}

fn decode(message: &StreamQuotaResponse) -> OwnerMessage {
    OwnerMessage {
        epoch: Epoch(message.epoch),
        incarnation: Incarnation(message.incarnation),
        echo_t_node: NodeTime(message.echo_node_time_ms),
        owner_now: OwnerTime(message.owner_time_ms),
        accounts: message.accounts.iter().filter_map(decode_account).collect(),
        closed: message.closed.iter().filter_map(decode_close).collect(),
    }
}

fn decode_close(close: &wire::CloseShare) -> Option<Close> {
    let counter = Counter::parse(&close.counter)
        .inspect_err(|error| tracing::warn!(%error, "passing over a closed share"))
        .ok()?;
    Some(Close {
        incarnation: Incarnation(close.incarnation),
        counter,
        window: Window(close.window),
        mark: close.mark,
        settled: close.settled,
    })
}

fn decode_coming(coming: &wire::Coming) -> Coming {
    Coming {
        units: coming.units,
        in_ms: coming.in_ms,
    }
}

/// An account of a counter that cannot be read concerns nothing that this node could have asked for.
fn decode_account(account: &wire::OwnerAccount) -> Option<OwnerAccount> {
    let counter = Counter::parse(&account.counter)
        .inspect_err(|error| tracing::warn!(%error, "passing over an account of an owner's"))
        .ok()?;
    Some(OwnerAccount {
        counter,
        window: Window(account.window),
        generation: Generation(account.generation),
        granted: account.granted,
        rem_ms: account.remaining_ms,
        version: account.version,
        exhausted_above: account.exhausted_above,
        keep: account.keep,
        limit: account.limit,
        remaining: account.remaining,
        coming: account.coming.iter().map(decode_coming).collect(),
    })
}
