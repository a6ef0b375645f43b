//! The nodes' streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate_proto::node::v1::{OwnedShards, OwnedSince, StreamQuotaResponse};
use tollgate_quota::{Epoch, Incarnation, NodeTime, OwnerMessage, OwnerTime, Shard};
use tonic::Status;

use crate::error::{Error, Result};
use crate::{metrics, wire};

/// Machines that know a process hear of it so often at least, and it of this replica. A little less than the time
/// between its heartbeats.
const BEAT: Duration = Duration::from_millis(900);

/// What a node's quota stream is sent.
pub(crate) type Answer = Result<StreamQuotaResponse, Status>;

/// Where a stream's answers go.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    /// Answers that do not fit are dropped: the next heartbeat says them again.
    pub(crate) sender: mpsc::Sender<Answer>,
    /// Cancelled when there is nothing more to say.
    pub(crate) ended: CancellationToken,
}

/// The stream of a process.
#[derive(Debug)]
struct Stream {
    number: u64,
    outlet: Outlet,
    /// Shards whose machines know the process.
    shards: BTreeSet<Shard>,
    /// When they last heard of it all.
    beat_at: Option<Instant>,
    /// When it was last sent anything.
    said_at: Option<Instant>,
    /// Which version of what this replica owns it was told.
    told: u64,
}

/// The nodes' streams, by process.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: HashMap<Incarnation, Stream>,
    /// The store that grants stand in.
    pub(super) store: u64,
    owned: OwnedShards,
    version: u64,
    /// Somebody has not been told of it yet.
    untold: bool,
    /// What is to be said when everything that came together is dealt with.
    unsaid: BTreeMap<Incarnation, Vec<OwnerMessage>>,
}

impl Streams {
    /// A process has one stream: a later one ends it.
    pub(super) fn open(&mut self, number: u64, incarnation: Incarnation, outlet: Outlet) {
        let stream = Stream {
            number,
            outlet,
            shards: BTreeSet::new(),
            beat_at: None,
            said_at: None,
            told: 0,
        };
        self.untold = true;
        if let Some(old) = self.open.insert(incarnation, stream) {
            old.outlet.ended.cancel();
            if let Some(new) = self.open.get_mut(&incarnation) {
                new.shards = old.shards;
            }
        }
    }

    /// Returns whose machines are to know that the process has no stream any more.
    pub(super) fn close(&mut self, number: u64, incarnation: Incarnation) -> BTreeSet<Shard> {
        match self.open.get(&incarnation) {
            Some(stream) if stream.number == number => {}
            Some(_) | None => return BTreeSet::new(),
        }
        let closed = self.open.remove(&incarnation);
        closed.map(|stream| stream.shards).unwrap_or_default()
    }

    /// Notes that a shard's machine knows the process.
    pub(super) fn heard(&mut self, incarnation: Incarnation, shard: Shard) {
        if let Some(stream) = self.open.get_mut(&incarnation) {
            stream.shards.insert(shard);
        }
    }

    /// Notes that a shard has no machine here any more.
    pub(super) fn forget(&mut self, shard: Shard) {
        for stream in self.open.values_mut() {
            stream.shards.remove(&shard);
        }
    }

    /// The shards whose machines are to hear that the process is alive, where that is due.
    pub(super) fn beat(&mut self, incarnation: Incarnation) -> Option<Vec<Shard>> {
        let stream = self.open.get_mut(&incarnation)?;
        if stream.beat_at.is_some_and(|at| at.elapsed() < BEAT) {
            return None;
        }
        stream.beat_at = Some(Instant::now());
        Some(stream.shards.iter().copied().collect())
    }

    /// Notes what a machine says. That it has heard a sign of life is said once for all machines.
    pub(super) fn answer(&mut self, message: OwnerMessage) {
        if !message.accounts.is_empty() || !message.closed.is_empty() {
            let unsaid = self.unsaid.entry(message.incarnation).or_default();
            unsaid.push(message);
        }
    }

    /// Answers a message where no machine does, and nothing was said for a while.
    pub(super) fn keep_alive(
        &mut self,
        incarnation: Incarnation,
        t_node: NodeTime,
        now: OwnerTime,
    ) {
        let stream = self.open.get(&incarnation);
        let quiet = stream.is_some_and(|it| it.said_at.is_none_or(|at| at.elapsed() >= BEAT));
        if quiet {
            let unsaid = self.unsaid.entry(incarnation).or_default();
            if unsaid.is_empty() {
                unsaid.push(OwnerMessage {
                    epoch: Epoch(0),
                    incarnation,
                    echo_t_node: t_node,
                    owner_now: now,
                    accounts: Vec::new(),
                    closed: Vec::new(),
                });
            }
        }
    }

    /// Takes in what this replica owns, to be told to all.
    pub(super) fn own(&mut self, shards: &BTreeMap<Shard, u64>) {
        let mut terms: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for (shard, epoch) in shards {
            terms.entry(*epoch).or_default().push(u32::from(shard.0));
        }
        let terms = terms.into_iter().map(|(epoch, shards)| OwnedSince {
            epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
            shards,
        });
        let owned = OwnedShards {
            terms: terms.collect(),
        };
        if self.version == 0 || owned != self.owned {
            self.owned = owned;
            self.version += 1;
            self.untold = true;
        }
    }

    /// Says all that is to be said.
    pub(super) fn flush(&mut self) {
        let news = self.version;
        if std::mem::take(&mut self.untold) {
            // Whoever's stream is full is told with whatever comes next.
            let untold = self.open.iter().filter(|(_, stream)| stream.told != news);
            for (incarnation, _) in untold {
                self.unsaid.entry(*incarnation).or_default();
            }
        }
        for (incarnation, messages) in std::mem::take(&mut self.unsaid) {
            let Some(stream) = self.open.get_mut(&incarnation) else {
                continue;
            };
            let owned = (stream.told != news).then(|| self.owned.clone());
            let answers = wire::owner_messages(incarnation, &messages, self.store, owned);
            for answer in answers {
                let tells = answer.owned.is_some();
                if stream.outlet.sender.try_send(Ok(answer)).is_err() {
                    metrics::quota_answer_dropped();
                } else if tells {
                    stream.told = news;
                }
            }
            stream.said_at = Some(Instant::now());
        }
    }

    /// Ends all of them with a reason.
    pub(super) fn end(&mut self, error: &Error) {
        for (_, stream) in self.open.drain() {
            // A full channel means that nobody reads: the end of the stream must do then.
            let _ = stream.outlet.sender.try_send(Err(error.clone().into()));
            stream.outlet.ended.cancel();
        }
    }
}
