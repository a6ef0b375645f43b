//! What is said to the owners of limits, and when.

use std::time::Duration;

use tollgate_quota::node::Scope;
use tollgate_quota::{Counter, NodeMessage};

use super::{Draining, Limiter, State, now};

/// A message for the owners of the counters that it speaks of.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The machine that says it, of those that this process has had.
    pub(crate) term: u64,
    /// With all, every owner hears it.
    pub(crate) scope: Scope,
    pub(crate) message: NodeMessage,
}

impl Limiter {
    /// There is a way to an owner that was not there before: everything is told again.
    pub(crate) fn connected(&self) {
        let mut state = self.state.lock();
        state.machine.connected(now());
        self.after(&mut state);
    }

    /// What a stream begins with: who this process is.
    pub(crate) fn greeting(&self) -> Outgoing {
        let state = self.state.lock();
        let message = NodeMessage {
            node: self.name.as_str().into(),
            incarnation: state.machine.incarnation(),
            t_node: now(),
            accounts: Vec::new(),
            closes: Vec::new(),
        };
        Outgoing {
            term: state.term,
            scope: Scope::Changed,
            message,
        }
    }

    /// Waits until the limiter is being drained.
    pub(crate) async fn draining(&self) {
        loop {
            let earlier = self.earlier.notified();
            if self.state.lock().draining != Draining::No {
                return;
            }
            earlier.await;
        }
    }

    /// The next message for the owners, once there is one; none after the last, at shutdown, which gives back what is
    /// left of those counters whose owners can be told. To be called by one task only.
    pub(crate) async fn next_message(&self, told: impl Fn(&Counter) -> bool) -> Option<Outgoing> {
        loop {
            let earlier = self.earlier.notified();
            let due = {
                let mut state = self.state.lock();
                match state.draining {
                    Draining::No => {}
                    Draining::Begun => {
                        state.draining = Draining::Said;
                        state.machine.give_back(now(), &told);
                        return state.outgoing(Scope::All);
                    }
                    Draining::Said => return None,
                }
                if let Some(outgoing) = self.poll(&mut state) {
                    return Some(outgoing);
                }
                state.sender_wakes
            };
            let sleep = Duration::from_millis(due.since(now()));
            tokio::select! {
                () = earlier => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    fn poll(&self, state: &mut State) -> Option<Outgoing> {
        let now = now();
        state.machine.tick(now);
        self.after(state);
        let heartbeat = now >= state.machine.next_heartbeat();
        let scope = if heartbeat {
            Scope::All
        } else {
            Scope::Changed
        };
        let due = heartbeat || state.machine.next_message().is_some_and(|due| due <= now);
        let outgoing = if due { state.outgoing(scope) } else { None };
        state.sender_wakes = state.due();
        outgoing
    }
}

impl State {
    fn outgoing(&mut self, scope: Scope) -> Option<Outgoing> {
        let message = self.machine.poll_message(now(), scope)?;
        Some(Outgoing {
            term: self.term,
            scope,
            message,
        })
    }
}
