//! What nodes and operators say, on its way to the shards that it is about.

use std::collections::BTreeMap;

use tollgate_quota::owner::Event;
use tollgate_quota::{Counter, NodeMessage, Shard};

use super::{Input, Shell};
use crate::metrics;

impl Shell {
    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Opened {
                stream,
                incarnation,
                outlet,
            } => self.streams.open(stream, incarnation, outlet),
            Input::Closed {
                stream,
                incarnation,
            } => {
                for shard in self.streams.close(stream, incarnation) {
                    self.step(shard, Event::Disconnected(incarnation));
                }
            }
            Input::Message(message, store) => self.hear(message, store),
            Input::Release(close) => self.step(close.counter.shard(), Event::Release(close)),
            Input::Reset(counter) => self.step(counter.shard(), Event::Reset(counter)),
            Input::Raise(raising) => self.raise(raising),
            Input::Thaw(thawing) => self.thaw(thawing),
            Input::Counters(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.terms.snapshot(self.clock.now()));
            }
        }
    }

    fn hear(&mut self, mut message: NodeMessage, store: u64) {
        metrics::quota_message();
        self.note_unfinished(&message, store);
        if store != 0 && store != self.origin.store {
            // The node learns by the answer that what it holds is void.
            message.accounts.clear();
        }
        self.keep_known(&mut message);
        let (incarnation, t_node) = (message.incarnation, message.t_node);
        let mut parts = by_shard(&message);
        if let Some(others) = self.streams.beat(incarnation) {
            message.accounts.clear();
            message.closes.clear();
            for shard in others {
                parts.entry(shard).or_insert_with(|| message.clone());
            }
        }
        for (shard, part) in parts {
            if self.terms.epoch(shard).is_some() {
                self.streams.heard(incarnation, shard);
                self.step(shard, Event::Node(part));
            }
        }
        self.streams
            .keep_alive(incarnation, t_node, self.clock.now());
    }

    /// Drops accounts of counters that the limit of that name does not have now. A node whose policy lags, or is ahead,
    /// waits the moment until it does not.
    fn keep_known(&self, message: &mut NodeMessage) {
        let accounts = &mut message.accounts;
        accounts.retain(|account| self.is_known(account.counter.pool()));
    }

    /// Whether the limit of that name has such a counter now. Else it counts something else, or by other dimensions, and
    /// its amount is not the counter's.
    pub(super) fn is_known(&self, counter: &Counter) -> bool {
        let current = self.current.borrow();
        let Some(snapshot) = &*current else {
            return true;
        };
        let name = format!("{}/{}", counter.limit(), counter.subject());
        snapshot.table.limit_of_counter(&name).is_some()
    }
}

/// What a message says, by the shard that it is about.
fn by_shard(message: &NodeMessage) -> BTreeMap<Shard, NodeMessage> {
    let mut parts = BTreeMap::new();
    let empty = || NodeMessage {
        node: message.node.clone(),
        incarnation: message.incarnation,
        t_node: message.t_node,
        accounts: Vec::new(),
        closes: Vec::new(),
    };
    for account in &message.accounts {
        let part = parts.entry(account.counter.shard()).or_insert_with(empty);
        part.accounts.push(account.clone());
    }
    for close in &message.closes {
        let part = parts.entry(close.counter.shard()).or_insert_with(empty);
        part.closes.push(close.clone());
    }
    parts
}
