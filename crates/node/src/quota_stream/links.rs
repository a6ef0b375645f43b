//! Which replica is told what: the open streams, and the way to the owner of each shard.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate_proto::node::v1::{LeftOut, OwnedShards, StreamQuotaRequest};
use tollgate_quota::node::Scope;
use tollgate_quota::{Counter, NodeMessage, Shard};

use crate::limiter::Outgoing;
use crate::wire;

/// A replica that was not heard for so long may not hear either. It answers every heartbeat, one a second.
const LIVELY: Duration = Duration::from_millis(1500);

/// The streams, one to each replica where it is open.
#[derive(Debug)]
pub(super) struct Links {
    state: Mutex<State>,
    /// Told when a stream was opened.
    changed: Notify,
    /// Cancelled when all is said.
    over: CancellationToken,
}

#[derive(Debug)]
struct State {
    links: Vec<Option<Link>>,
    /// The stream to the owner of each shard.
    ways: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Link {
    /// The limiter's term that the stream is of.
    term: u64,
    sender: mpsc::Sender<StreamQuotaRequest>,
    heard_at: Instant,
    /// Cancelled when nothing that may follow is waited for.
    given_up: CancellationToken,
    /// What the replica owns, and since which epoch.
    owned: BTreeMap<Shard, i64>,
}

/// What is said beside what the limiter says.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    /// The store that the process's totals stand in.
    pub(super) store: u64,
    /// Whom the node leaves out, where that is said.
    pub(super) left_out: Option<LeftOut>,
}

/// A message, as it travels.
pub(super) fn encode(message: &NodeMessage, beside: &Beside) -> StreamQuotaRequest {
    StreamQuotaRequest {
        store: beside.store,
        left_out: beside.left_out.clone(),
        ..wire::encode(message)
    }
}

impl Links {
    /// So many, none of them open.
    pub(super) fn new(count: usize) -> Self {
        let state = State {
            links: (0..count).map(|_| None).collect(),
            ways: vec![None; Shard::COUNT],
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            over: CancellationToken::new(),
        }
    }

    /// Waits until one is open.
    pub(super) async fn opened(&self) {
        loop {
            let changed = self.changed.notified();
            if self.state.lock().links.iter().any(Option::is_some) {
                return;
            }
            changed.await;
        }
    }

    /// Takes in that a stream is open, of the limiter in that term. What is returned is cancelled when nothing that may
    /// follow is waited for.
    pub(super) fn open(
        &self,
        index: usize,
        term: u64,
        sender: mpsc::Sender<StreamQuotaRequest>,
    ) -> CancellationToken {
        let given_up = CancellationToken::new();
        let link = Link {
            given_up: given_up.clone(),
            term,
            sender,
            heard_at: Instant::now(),
            owned: BTreeMap::new(),
        };
        let mut state = self.state.lock();
        // What is open when all was said has nothing to say.
        if !self.is_finished() {
            state.set(index, Some(link));
        }
        drop(state);
        self.changed.notify_one();
        given_up
    }

    /// Takes in that a stream has ended. Returns whether there is a way to the owner of every shard still.
    pub(super) fn close(&self, index: usize) -> bool {
        let mut state = self.state.lock();
        state.set(index, None);
        state.is_complete()
    }

    /// Notes that a replica has said something.
    pub(super) fn heard(&self, index: usize) {
        if let Some(link) = &mut self.state.lock().links[index] {
            link.heard_at = Instant::now();
        }
    }

    /// Whether the counter's owner can be told anything: there is a way to it, and it was heard just now.
    pub(super) fn lead_to(&self, counter: &Counter) -> bool {
        let state = self.state.lock();
        let way = state.ways[counter.shard().index()];
        let link = way.and_then(|index| state.links[index].as_ref());
        link.is_some_and(Link::is_lively)
    }

    /// Takes in what a replica owns. Returns whether that opens a way to some shard.
    pub(super) fn own(&self, index: usize, owned: &OwnedShards) -> bool {
        let terms = owned.terms.iter();
        let owned = terms.flat_map(|term| {
            let shards = term.shards.iter();
            let shards = shards.filter_map(|shard| u8::try_from(*shard).ok());
            shards.map(|shard| (Shard(shard), term.epoch))
        });
        self.state.lock().own(index, owned.collect())
    }

    /// Whether there is a way to the owner of every shard.
    pub(super) fn is_complete(&self) -> bool {
        self.state.lock().is_complete()
    }

    /// Sends each owner its part. What has no way is said when there is one.
    pub(super) fn send(&self, outgoing: &Outgoing, beside: &Beside) {
        let mut state = self.state.lock();
        // A stream is of one process.
        let stale = |link: &Link| link.term != outgoing.term;
        for index in 0..state.links.len() {
            if state.links[index].as_ref().is_some_and(stale) {
                state.set(index, None);
            }
        }
        let mut parts = state.parts(&outgoing.message);
        for (index, link) in state.links.iter().enumerate() {
            let part = parts.remove(&index);
            let part = part.or_else(|| {
                let heartbeat = outgoing.scope == Scope::All;
                heartbeat.then(|| empty(&outgoing.message))
            });
            if let (Some(link), Some(part)) = (link, part) {
                // Where the stream is stuck or has ended, the next heartbeat or stream says it again.
                let _ = link.sender.try_send(encode(&part, beside));
            }
        }
    }

    /// Ends all streams once they have taken what was sent; those of replicas that may not hear it, at once.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        self.over.cancel();
        let silent = state.links.iter().flatten().filter(|it| !it.is_lively());
        silent.for_each(|link| link.given_up.cancel());
        for index in 0..state.links.len() {
            state.set(index, None);
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(super) async fn finished(&self) {
        self.over.cancelled().await;
    }
}

impl Link {
    fn is_lively(&self) -> bool {
        self.heard_at.elapsed() <= LIVELY
    }
}

impl State {
    fn set(&mut self, index: usize, link: Option<Link>) {
        self.links[index] = link;
        self.find_ways();
    }

    fn own(&mut self, index: usize, owned: BTreeMap<Shard, i64>) -> bool {
        let Some(link) = &mut self.links[index] else {
            return false;
        };
        link.owned = owned;
        let before = self.ways.clone();
        self.find_ways();
        let ways = self.ways.iter().zip(before);
        ways.into_iter()
            .any(|(now, before)| now.is_some() && *now != before)
    }

    /// Of several replicas that say to own a shard, the one of the highest epoch does.
    fn find_ways(&mut self) {
        for shard in Shard::all() {
            let links = self.links.iter().enumerate();
            let owners = links.filter_map(|(index, link)| {
                let epoch = link.as_ref()?.owned.get(&shard)?;
                Some((*epoch, index))
            });
            self.ways[shard.index()] = owners.max().map(|(_, index)| index);
        }
    }

    fn is_complete(&self) -> bool {
        self.ways.iter().all(Option::is_some)
    }

    /// What a message says, by the stream that it is for.
    fn parts(&self, message: &NodeMessage) -> BTreeMap<usize, NodeMessage> {
        let mut parts = BTreeMap::new();
        for account in &message.accounts {
            if let Some(way) = self.ways[account.counter.shard().index()] {
                let part = parts.entry(way).or_insert_with(|| empty(message));
                part.accounts.push(account.clone());
            }
        }
        for close in &message.closes {
            if let Some(way) = self.ways[close.counter.shard().index()] {
                let part = parts.entry(way).or_insert_with(|| empty(message));
                part.closes.push(close.clone());
            }
        }
        parts
    }
}

/// The message without what it says of counters: a sign of life.
fn empty(message: &NodeMessage) -> NodeMessage {
    NodeMessage {
        node: message.node.clone(),
        incarnation: message.incarnation,
        t_node: message.t_node,
        accounts: Vec::new(),
        closes: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_proto::node::v1::OwnedSince;
    use tollgate_quota::node::{Ask, Config, Node};
    use tollgate_quota::{Counter, Incarnation, Kind, NodeTime};

    use super::*;

    fn counter(key: &str) -> Counter {
        let kind = Kind::Fixed { window_ms: 60_000 };
        Counter::new("per-key", kind, &format!("requests=60s/key={key}")).unwrap()
    }

    /// A message of a node that waits for a unit of each counter.
    fn outgoing(term: u64, scope: Scope) -> Outgoing {
        let mut node = Node::new("n", Incarnation(7), Config::default());
        let asks = ["k1", "k2"].map(|key| Ask {
            counter: counter(key),
            units: 1,
        });
        for ask in asks {
            node.reserve(NodeTime(0), &[ask], NodeTime(1_000));
        }
        let message = node.poll_message(NodeTime(1), scope).unwrap();
        Outgoing {
            term,
            scope,
            message,
        }
    }

    fn owned(epoch: i64, shards: impl IntoIterator<Item = Shard>) -> OwnedShards {
        let shards = shards.into_iter().map(|shard| u32::from(shard.0)).collect();
        OwnedShards {
            terms: vec![OwnedSince { epoch, shards }],
        }
    }

    fn open(links: &Links, index: usize, term: u64) -> mpsc::Receiver<StreamQuotaRequest> {
        let (sender, receiver) = mpsc::channel(8);
        links.open(index, term, sender);
        receiver
    }

    fn counters(receiver: &mut mpsc::Receiver<StreamQuotaRequest>) -> Option<Vec<String>> {
        let message = receiver.try_recv().ok()?;
        let accounts = message.accounts.into_iter();
        Some(accounts.map(|account| account.counter).collect())
    }

    #[test]
    fn each_owner_hears_its_part_and_all_hear_heartbeats() {
        let links = Links::new(3);
        let (mut a, mut b, mut c) = (open(&links, 0, 1), open(&links, 1, 1), open(&links, 2, 1));
        let (one, two) = (counter("k1"), counter("k2"));
        assert!(links.own(0, &owned(5, [one.shard()])));
        links.send(&outgoing(1, Scope::Changed), &Beside::default());
        let first = Some(vec![one.as_str().to_owned()]);
        assert_eq!(counters(&mut a), first);
        assert_eq!((counters(&mut b), counters(&mut c)), (None, None));

        assert!(links.own(1, &owned(5, [two.shard()])));
        links.send(&outgoing(1, Scope::All), &Beside::default());
        assert_eq!(counters(&mut a), first);
        assert_eq!(counters(&mut b), Some(vec![two.as_str().to_owned()]));
        assert_eq!(counters(&mut c), Some(Vec::new()));
        assert!(!links.is_complete());
    }

    #[test]
    fn the_highest_epoch_counts_and_a_lost_stream_leaves_the_other() {
        let links = Links::new(2);
        let (mut old, mut new) = (open(&links, 0, 1), open(&links, 1, 1));
        assert!(links.own(0, &owned(5, Shard::all())));
        assert!(links.is_complete());
        assert!(links.own(1, &owned(6, Shard::all())));
        assert!(!links.own(0, &owned(5, Shard::all())), "nothing is new");
        links.send(&outgoing(1, Scope::Changed), &Beside::default());
        assert_eq!(counters(&mut old), None);
        assert_eq!(counters(&mut new).map(|all| all.len()), Some(2));
        assert!(links.close(1), "the old one is not known to have lost them");
        assert!(!links.close(0));
    }

    #[test]
    fn a_stream_of_an_earlier_process_is_ended() {
        let links = Links::new(1);
        let mut stream = open(&links, 0, 1);
        assert!(links.own(0, &owned(5, Shard::all())));
        links.send(&outgoing(2, Scope::All), &Beside::default());
        let ended = stream.try_recv();
        assert_eq!(ended, Err(mpsc::error::TryRecvError::Disconnected));
        assert!(!links.is_complete());
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_has_fallen_silent_is_told_nothing_and_not_waited_for() {
        let links = Links::new(2);
        let (sender, _lively) = mpsc::channel(8);
        let waited_for = links.open(0, 1, sender);
        let (sender, _silent) = mpsc::channel(8);
        let given_up = links.open(1, 1, sender);
        let (one, two) = (counter("k1"), counter("k2"));
        links.own(0, &owned(5, [one.shard()]));
        links.own(1, &owned(5, [two.shard()]));
        tokio::time::advance(LIVELY).await;
        links.heard(0);
        assert!(links.lead_to(&one) && links.lead_to(&two));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(links.lead_to(&one) && !links.lead_to(&two));
        links.finish();
        assert!(given_up.is_cancelled() && !waited_for.is_cancelled());
    }
}
