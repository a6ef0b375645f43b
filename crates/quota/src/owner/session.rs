use std::collections::HashMap;

use crate::owner::account::Context;
use crate::{Incarnation, NodeMessage, NodeTime, OwnerTime};

/// What is known of one node process as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// The latest message's own time, echoed to the node (R6).
    pub(super) t_node: NodeTime,
    /// When that message was received.
    pub(super) received_at: OwnerTime,
    connected: bool,
}

/// A process not heard of for this long is forgotten, in milliseconds.
const FORGET_AFTER_MS: u64 = 3_600_000;

/// All node processes that were heard of.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions(HashMap<Incarnation, Session>);

impl Sessions {
    /// Notes a message's arrival. An older one, overtaken on the way, does not replace the echo: it
    /// would only make deadlines earlier.
    pub(super) fn hear(&mut self, now: OwnerTime, message: &NodeMessage) {
        let session = Session {
            t_node: message.t_node,
            received_at: now,
            connected: true,
        };
        let entry = self.0.entry(message.incarnation).or_insert(session);
        entry.connected = true;
        if message.t_node > entry.t_node {
            *entry = session;
        }
    }

    pub(super) fn disconnect(&mut self, incarnation: Incarnation) {
        if let Some(session) = self.0.get_mut(&incarnation) {
            session.connected = false;
        }
    }

    pub(super) fn get(&self, incarnation: Incarnation) -> Option<Session> {
        self.0.get(&incarnation).copied()
    }

    /// Whether it makes sense to wait for an answer of that process.
    pub(super) fn reachable(&self, incarnation: Incarnation, context: &Context<'_>) -> bool {
        self.is_reachable(incarnation, context.now, context.config.silent_ms)
    }

    /// Whether its stream is open and it was heard in the last `silent_ms`.
    pub(super) fn is_reachable(
        &self,
        incarnation: Incarnation,
        now: OwnerTime,
        silent_ms: u64,
    ) -> bool {
        self.0
            .get(&incarnation)
            .is_some_and(|session| session.connected && now.since(session.received_at) <= silent_ms)
    }

    pub(super) fn forget(&mut self, now: OwnerTime) {
        self.0
            .retain(|_, session| now.since(session.received_at) <= FORGET_AFTER_MS);
    }
}
