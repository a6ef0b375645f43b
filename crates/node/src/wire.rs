//! The lease protocol's messages, as they travel.

use tollgate_proto::node::v1::{self as pb, StreamQuotaRequest, StreamQuotaResponse};
use tollgate_quota::{
    Close, Coming, Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime,
    OwnerAccount, OwnerMessage, OwnerTime, Promise, Window,
};

/// A message for an owner, as it travels, but for what its sender knows of the store.
pub(crate) fn encode(message: &NodeMessage) -> StreamQuotaRequest {
    StreamQuotaRequest {
        node: message.node.to_string(),
        incarnation: message.incarnation.0,
        node_time_ms: message.t_node.0,
        accounts: message.accounts.iter().map(encode_account).collect(),
        closes: message.closes.iter().map(encode_close).collect(),
        store: 0,
        left_out: None,
    }
}

fn encode_close(close: &Close) -> pb::CloseShare {
    pb::CloseShare {
        incarnation: close.incarnation.0,
        counter: close.counter.as_str().to_owned(),
        window: close.window.0,
        mark: close.mark,
        settled: close.settled,
    }
}

fn encode_account(account: &NodeAccount) -> pb::NodeAccount {
    pb::NodeAccount {
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
        promised_back: account.promised_back,
    }
}

/// What owners say in one message, as it travelled: one for each epoch that it speaks of, in turn.
pub(crate) fn decode(message: &StreamQuotaResponse) -> Vec<OwnerMessage> {
    let epoch = |account: &pb::OwnerAccount| match account.epoch {
        0 => message.epoch,
        epoch => epoch,
    };
    let of = |epoch: i64, accounts: &[pb::OwnerAccount], closed: &[pb::CloseShare]| OwnerMessage {
        epoch: Epoch(epoch),
        incarnation: Incarnation(message.incarnation),
        echo_t_node: NodeTime(message.echo_node_time_ms),
        owner_now: OwnerTime(message.owner_time_ms),
        accounts: accounts.iter().filter_map(decode_account).collect(),
        closed: closed.iter().filter_map(decode_close).collect(),
    };
    let together = message.accounts.chunk_by(|a, b| epoch(a) == epoch(b));
    let mut messages: Vec<_> = together
        .filter_map(|accounts| Some(of(epoch(accounts.first()?), accounts, &[])))
        .collect();
    if !message.closed.is_empty() {
        messages.push(of(message.epoch, &[], &message.closed));
    }
    messages
}

fn decode_close(close: &pb::CloseShare) -> Option<Close> {
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

fn decode_coming(coming: &pb::Coming) -> Coming {
    Coming {
        units: coming.units,
        in_ms: coming.in_ms,
    }
}

fn decode_promise(promise: &pb::Promise) -> Promise {
    Promise {
        units: promise.units,
        from: Window(promise.from_window),
        through: Window(promise.through_window),
    }
}

/// An account of a counter that cannot be read concerns nothing that this node could have asked for.
fn decode_account(account: &pb::OwnerAccount) -> Option<OwnerAccount> {
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
        share: account.share,
        coming: account.coming.iter().map(decode_coming).collect(),
        promises: account.promises.iter().map(decode_promise).collect(),
    })
}
