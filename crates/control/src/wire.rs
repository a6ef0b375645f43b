//! The quota messages of the contract as those of the protocol, and back.

use std::sync::Arc;

use tollgate_proto::node::v1 as pb;
use tollgate_quota::{
    Close, Coming, Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime,
    OwnerAccount, OwnerMessage, Promise, Window,
};

use crate::error::{Error, Result};

/// Longest name of a counter, in bytes: a limit's name, and the values of its dimensions.
const MOST_COUNTER: usize = 1024;
const MOST_NODE: usize = 255;

/// Reads a node's message.
pub(crate) fn node_message(message: pb::StreamQuotaRequest) -> Result<NodeMessage> {
    if message.node.is_empty() || message.node.len() > MOST_NODE {
        let reason = format!("`node` is a name of 1 to {MOST_NODE} bytes");
        return Err(Error::Protocol(reason));
    }
    Ok(NodeMessage {
        node: Arc::from(message.node),
        incarnation: Incarnation(message.incarnation),
        t_node: NodeTime(message.node_time_ms),
        accounts: message
            .accounts
            .iter()
            .map(node_account)
            .collect::<Result<_>>()?,
        closes: message.closes.iter().map(close).collect::<Result<_>>()?,
    })
}

fn close(close: &pb::CloseShare) -> Result<Close> {
    Ok(Close {
        incarnation: Incarnation(close.incarnation),
        counter: counter(&close.counter)?,
        window: Window(close.window),
        mark: close.mark,
        settled: close.settled,
    })
}

fn node_account(account: &pb::NodeAccount) -> Result<NodeAccount> {
    Ok(NodeAccount {
        counter: counter(&account.counter)?,
        window: Window(account.window),
        epoch: Epoch(account.epoch),
        generation: Generation(account.generation),
        seen: account.seen,
        returned: account.returned,
        spent: account.spent,
        need: account.need,
        demand: account.demand,
        avail: account.available,
        waiters: account.waiters,
        answered: account.answered,
        promised_back: account.promised_back,
    })
}

fn counter(name: &str) -> Result<Counter> {
    if name.len() > MOST_COUNTER {
        let reason = format!("a counter's name has more than {MOST_COUNTER} bytes");
        return Err(Error::Protocol(reason));
    }
    Counter::parse(name).map_err(|error| Error::Protocol(format!("counter {name:?}: {error}")))
}

/// Writes what owners say to one process at once, and which store their grants stand in; the first answer also what this
/// replica owns, where that is news. Messages of one moment share an answer.
pub(crate) fn owner_messages(
    incarnation: Incarnation,
    messages: &[OwnerMessage],
    store: u64,
    mut owned: Option<pb::OwnedShards>,
) -> Vec<pb::StreamQuotaResponse> {
    let moment = |message: &OwnerMessage| (message.echo_t_node, message.owner_now);
    let together = messages.chunk_by(|a, b| moment(a) == moment(b));
    let mut answers: Vec<_> = together
        .filter_map(|messages| {
            let first = messages.first()?;
            let accounts = messages.iter().flat_map(|message| {
                let accounts = message.accounts.iter();
                accounts.map(|account| owner_account(account, message.epoch))
            });
            let shares = messages.iter().flat_map(|message| &message.closed);
            Some(pb::StreamQuotaResponse {
                epoch: first.epoch.0,
                incarnation: incarnation.0,
                echo_node_time_ms: first.echo_t_node.0,
                owner_time_ms: first.owner_now.0,
                accounts: accounts.collect(),
                closed: shares.map(closed).collect(),
                store,
                owned: owned.take(),
                fleet: None,
            })
        })
        .collect();
    if owned.is_some() {
        answers.push(pb::StreamQuotaResponse {
            incarnation: incarnation.0,
            store,
            owned,
            ..pb::StreamQuotaResponse::default()
        });
    }
    answers
}

fn closed(close: &Close) -> pb::CloseShare {
    pb::CloseShare {
        incarnation: close.incarnation.0,
        counter: close.counter.as_str().to_owned(),
        window: close.window.0,
        mark: close.mark,
        settled: close.settled,
    }
}

fn owner_account(account: &OwnerAccount, epoch: Epoch) -> pb::OwnerAccount {
    pb::OwnerAccount {
        counter: account.counter.as_str().to_owned(),
        window: account.window.0,
        generation: account.generation.0,
        granted: account.granted,
        remaining_ms: account.rem_ms,
        version: account.version,
        exhausted_above: account.exhausted_above,
        keep: account.keep,
        limit: account.limit,
        remaining: account.remaining,
        coming: account.coming.iter().map(coming).collect(),
        epoch: epoch.0,
        share: account.share,
        promises: account.promises.iter().map(promise).collect(),
    }
}

fn promise(promise: &Promise) -> pb::Promise {
    pb::Promise {
        units: promise.units,
        from_window: promise.from.0,
        through_window: promise.through.0,
    }
}

fn coming(coming: &Coming) -> pb::Coming {
    pb::Coming {
        units: coming.units,
        in_ms: coming.in_ms,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    #[test]
    fn wrong_counters_and_names_are_refused() {
        let message = |node: &str, counter: &str| pb::StreamQuotaRequest {
            node: node.to_owned(),
            accounts: vec![pb::NodeAccount {
                counter: counter.to_owned(),
                ..pb::NodeAccount::default()
            }],
            ..pb::StreamQuotaRequest::default()
        };
        let good = Counter::new("per-key", Kind::Fixed { window_ms: 60_000 }, "k1").unwrap();
        assert_eq!(
            node_message(message("n", good.as_str())).unwrap().accounts[0].counter,
            good
        );
        let long = "x".repeat(MOST_COUNTER + 1);
        for (node, counter) in [
            ("", good.as_str()),
            ("n", "per-key"),
            ("n", &long),
            (&long, good.as_str()),
        ] {
            let refused = node_message(message(node, counter));
            assert!(
                matches!(refused, Err(Error::Protocol(_))),
                "{node:.9} {counter:.9}"
            );
        }
    }
}
