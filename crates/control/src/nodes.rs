//! Who the nodes are and which policy they run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tollgate_proto::admin::v1 as admin;
use tollgate_proto::node::v1::Hello;

use crate::clock;
use crate::metrics;

/// A node that has left is remembered so long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Nodes that have left, remembered at most.
const MOST_GONE: usize = 1_000;

/// A node's name and process.
type Id = (String, u64);

/// All nodes that are connected, or were of late.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: Mutex<BTreeMap<Id, Node>>,
    /// Changes whenever a node does.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Node {
    address: String,
    version: String,
    revision: u64,
    rejected: Option<(u64, String)>,
    /// Open streams: two for a moment when a node has reconnected before its old stream was missed.
    streams: usize,
    in_flight: u32,
    last_seen_ms: u64,
    left_at: Option<Instant>,
}

impl Nodes {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            nodes: Mutex::new(BTreeMap::new()),
            changed: watch::Sender::new(0),
        })
    }

    /// Enters a node whose stream has opened. It has left when the session is dropped.
    ///
    /// A revision beyond the current one is of another history, from before the store was replaced: it says
    /// nothing about which of ours the node runs.
    pub(crate) fn enter(self: &Arc<Self>, hello: &Hello, current: u64) -> Session {
        let id = (hello.node.clone(), hello.incarnation);
        {
            let mut nodes = self.nodes.lock();
            forget(&mut nodes);
            let known = nodes.remove(&id);
            let node = Node {
                address: hello.address.clone(),
                version: hello.version.clone(),
                revision: if hello.revision <= current {
                    hello.revision
                } else {
                    0
                },
                streams: known.as_ref().map_or(0, |node| node.streams) + 1,
                in_flight: 0,
                rejected: known.and_then(|node| node.rejected),
                last_seen_ms: clock::wall_ms(),
                left_at: None,
            };
            nodes.insert(id.clone(), node);
            count(&nodes);
        }
        self.touch();
        Session {
            nodes: Arc::clone(self),
            id,
        }
    }

    /// The nodes by name.
    pub(crate) fn list(&self) -> Vec<admin::Node> {
        let mut nodes = self.nodes.lock();
        forget(&mut nodes);
        nodes.iter().map(|(id, node)| node.to_admin(id)).collect()
    }

    /// Waits until every connected node runs the revision or a later one, or has refused it, or until the
    /// time is over. Returns what became of it at each.
    pub(crate) async fn wait(&self, revision: u64, patience: Duration) -> Vec<admin::NodeOutcome> {
        let mut changed = self.changed.subscribe();
        let settled = async {
            while !self
                .outcomes(revision)
                .iter()
                .all(|outcome| outcome.settled)
            {
                // The registry outlives this call, and with it the sender.
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Either way the outcomes below tell how far it got.
        let _ = tokio::time::timeout(patience, settled).await;
        let outcomes = self.outcomes(revision).into_iter();
        outcomes.map(|outcome| outcome.outcome).collect()
    }

    fn outcomes(&self, revision: u64) -> Vec<Outcome> {
        let nodes = self.nodes.lock();
        let connected = nodes.iter().filter(|(_, node)| node.streams > 0);
        connected
            .map(|(id, node)| node.outcome(id, revision))
            .collect()
    }

    fn touch(&self) {
        self.changed
            .send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    fn update(&self, id: &Id, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.lock().get_mut(id) {
            change(node);
            node.last_seen_ms = clock::wall_ms();
        }
    }
}

/// What became of a revision at one node.
struct Outcome {
    /// Whether waiting longer will not change it.
    settled: bool,
    outcome: admin::NodeOutcome,
}

impl Node {
    fn outcome(&self, (name, _): &Id, revision: u64) -> Outcome {
        let running = self.revision >= revision;
        let rejected = self
            .rejected
            .as_ref()
            .filter(|(refused, _)| *refused >= revision);
        let reason = match rejected {
            _ if running => String::new(),
            Some((_, reason)) => format!("refused it: {reason}"),
            None => format!("still runs revision {}", self.revision),
        };
        Outcome {
            settled: running || rejected.is_some(),
            outcome: admin::NodeOutcome {
                node: name.clone(),
                running,
                reason,
            },
        }
    }

    fn to_admin(&self, (name, incarnation): &Id) -> admin::Node {
        let (rejected_revision, rejected_reason) = self.rejected.clone().unwrap_or_default();
        admin::Node {
            name: name.clone(),
            incarnation: *incarnation,
            address: self.address.clone(),
            version: self.version.clone(),
            revision: self.revision,
            rejected_revision,
            rejected_reason,
            connected: self.streams > 0,
            last_seen_at: Some(clock::timestamp(self.last_seen_ms)),
            in_flight: self.in_flight,
        }
    }
}

/// One open stream of a node.
#[derive(Debug)]
pub(crate) struct Session {
    nodes: Arc<Nodes>,
    id: Id,
}

impl Session {
    /// The node runs a revision.
    pub(crate) fn acked(&self, revision: u64) {
        self.nodes.update(&self.id, |node| {
            node.revision = revision;
            node.rejected = node
                .rejected
                .take()
                .filter(|(refused, _)| *refused > revision);
        });
        self.nodes.touch();
    }

    /// The node has refused a revision.
    pub(crate) fn nacked(&self, revision: u64, reason: String) {
        self.nodes
            .update(&self.id, |node| node.rejected = Some((revision, reason)));
        self.nodes.touch();
    }

    /// The node has given a sign of life.
    pub(crate) fn heard(&self, in_flight: u32) {
        self.nodes
            .update(&self.id, |node| node.in_flight = in_flight);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        {
            let mut nodes = self.nodes.nodes.lock();
            if let Some(node) = nodes.get_mut(&self.id) {
                node.streams = node.streams.saturating_sub(1);
                node.left_at = (node.streams == 0).then(Instant::now);
            }
            count(&nodes);
        }
        self.nodes.touch();
    }
}

fn count(nodes: &BTreeMap<Id, Node>) {
    metrics::nodes(nodes.values().filter(|node| node.streams > 0).count());
}

/// Forgets nodes that left long ago, and the oldest of too many.
fn forget(nodes: &mut BTreeMap<Id, Node>) {
    nodes.retain(|_, node| node.left_at.is_none_or(|left| left.elapsed() < REMEMBERED));
    let mut gone: Vec<_> = nodes
        .iter()
        .filter_map(|(id, node)| Some((node.left_at?, id.clone())))
        .collect();
    if gone.len() > MOST_GONE {
        gone.sort();
        for (_, id) in &gone[..gone.len() - MOST_GONE] {
            nodes.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(node: &str, incarnation: u64) -> Hello {
        Hello {
            node: node.to_owned(),
            incarnation,
            ..Hello::default()
        }
    }

    const SOON: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_every_node_has_answered() {
        let nodes = Nodes::new();
        let (a, b) = (
            nodes.enter(&hello("a", 1), 9),
            nodes.enter(&hello("b", 2), 9),
        );
        a.acked(4);
        let answer = async {
            b.nacked(4, "no such provider kind".to_owned());
        };
        let (outcomes, ()) = tokio::join!(nodes.wait(4, SOON), answer);
        assert!(outcomes[0].running);
        assert!(!outcomes[1].running);
        assert_eq!(outcomes[1].reason, "refused it: no such provider kind");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_in_time_and_names_who_lags() {
        let nodes = Nodes::new();
        let _a = nodes.enter(&hello("a", 1), 9);
        let outcomes = nodes.wait(4, SOON).await;
        assert_eq!(outcomes[0].reason, "still runs revision 0");
        assert!(nodes.wait(0, SOON).await[0].running);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_node_that_has_left() {
        let nodes = Nodes::new();
        let a = nodes.enter(&hello("a", 1), 9);
        let leave = async { drop(a) };
        let (outcomes, ()) = tokio::join!(nodes.wait(4, SOON), leave);
        assert!(outcomes.is_empty());
        assert!(!nodes.list()[0].connected);
        tokio::time::advance(REMEMBERED).await;
        assert!(nodes.list().is_empty());
    }

    #[tokio::test]
    async fn a_node_that_reconnects_early_stays_connected_when_its_old_stream_ends() {
        let nodes = Nodes::new();
        let old = nodes.enter(&hello("a", 1), 9);
        let new = nodes.enter(&hello("a", 1), 9);
        drop(old);
        assert!(nodes.list()[0].connected);
        new.heard(7);
        assert_eq!(nodes.list()[0].in_flight, 7);
    }

    #[tokio::test]
    async fn a_revision_of_another_history_counts_for_nothing() {
        let nodes = Nodes::new();
        let strange = Hello {
            revision: 7,
            ..hello("a", 1)
        };
        let _node = nodes.enter(&strange, 2);
        assert_eq!(nodes.list()[0].revision, 0);
        let _again = nodes.enter(&strange, 7);
        assert_eq!(nodes.list()[0].revision, 7);
    }

    #[tokio::test]
    async fn an_ack_of_a_later_revision_clears_the_refusal() {
        let nodes = Nodes::new();
        let node = nodes.enter(&hello("a", 1), 9);
        node.nacked(2, "bad".to_owned());
        assert_eq!(nodes.list()[0].rejected_revision, 2);
        node.acked(3);
        assert_eq!(nodes.list()[0].rejected_revision, 0);
    }
}
