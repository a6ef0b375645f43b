//! The quota messages of the contract as those of the protocol, and back.

use std::sync::Arc;

use tollgate_proto::node::v1 as pb;
use tollgate_quota::{
    Close, Coming, Counter, Epoch, Generation, Incarnation, NodeAccount, NodeMessage, NodeTime,
    OwnerAccount, OwnerMessage, Window,
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
    })
}

fn counter(name: &str) -> Result<Counter> {
    if name.len() > MOST_COUNTER {
        let reason = format!("a counter's name has more than {MOST_COUNTER} bytes");
        return Err(Error::Protocol(reason));
    }
    Counter::parse(name).map_err(|error| Error::Protocol(format!("counter {name:?}: {error}")))
}

/// Writes an owner's message, and which store its grants stand in.
pub(crate) fn owner_message(message: &OwnerMessage, store: u64) -> pb::StreamQuotaResponse {
    pb::StreamQuotaResponse {
        epoch: message.epoch.0,
        incarnation: message.incarnation.0,
        echo_node_time_ms: message.echo_t_node.0,
        owner_time_ms: message.owner_now.0,
        accounts: message.accounts.iter().map(owner_account).collect(),
        closed: message.closed.iter().map(closed).collect(),
        store,
    }
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

fn owner_account(account: &OwnerAccount) -> pb::OwnerAccount {
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
