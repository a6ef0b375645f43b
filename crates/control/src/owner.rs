//! The shell around the owner of all limits: it feeds the state machine of `tollgate_quota` with messages,
//! time and the store's answers, and carries out what it decides.
//!
//! One task owns everything here. The machine itself decides nothing by looking at a clock or a store; its
//! effects are the only way anything happens.
//!
//! A **term** is one epoch of ownership. It ends when another replica takes over, when the wall clock and the
//! term's own clock part (a correction would move the windows' edges), or at shutdown. While the store is
//! away the term goes on: what has been debited can still be handed out, and writes are tried again.

mod horizon;
mod record;
mod sweep;
mod term;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollgate_proto::node::v1::StreamQuotaResponse;
use tollgate_quota::owner::CounterState;
use tollgate_quota::{Close, Incarnation, NodeMessage, OwnerMessage};
use tonic::Status;
use tracing::{error, info, warn};

use self::term::{End, Term};
use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::metrics;
use crate::ownership::{Ownership, Sighting};
use crate::snapshot::Current;
use crate::store::SharedStore;
use crate::wire;

/// Messages of nodes that may wait for the owner.
const INPUTS: usize = 1024;
/// A replica that waits looks for the owner so often,
const LOOK: Duration = Duration::from_millis(500);
/// and takes over when it has seen no sign of it so many times in a row. The owner gives one every second.
const LOOKS: u32 = 8;
/// The epoch of a replica that has not had one: no record's revision.
const NO_EPOCH: u64 = 0;
/// Pause before claiming again where nodes know a later epoch than the store.
const OVERTAKE: Duration = Duration::from_millis(10);

/// What a node's quota stream is sent.
pub(crate) type Answer = Result<StreamQuotaResponse, Status>;

/// Whether this replica hands out quota.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Not yet: the store has not answered so far.
    Starting,
    /// It does.
    Owner,
    /// Another replica does.
    Elsewhere { owner: String },
}

/// What came of a claim.
enum Claim {
    /// This replica is the owner, in this epoch.
    Made(u64),
    /// Another one was faster.
    Lost,
}

/// Where a stream's answers go.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    /// Answers that do not fit are dropped: the next heartbeat says them again.
    pub(crate) sender: mpsc::Sender<Answer>,
    /// Cancelled when the owner has nothing more to say.
    pub(crate) ended: CancellationToken,
}

#[derive(Debug)]
enum Input {
    Opened {
        stream: u64,
        incarnation: Incarnation,
        outlet: Outlet,
    },
    Closed {
        stream: u64,
        incarnation: Incarnation,
    },
    Message(NodeMessage),
    /// An operator vouches that a process is dead.
    Release(Close),
    Counters(oneshot::Sender<Vec<CounterState>>),
}

/// Speaks to the owner's task.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inputs: mpsc::Sender<Input>,
    standing: watch::Receiver<Standing>,
}

impl Handle {
    /// Opens a node's stream. `stream` tells it from the node's other ones.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here.
    pub(crate) async fn open(
        &self,
        stream: u64,
        incarnation: Incarnation,
        outlet: Outlet,
    ) -> Result<()> {
        self.check()?;
        let opened = Input::Opened {
            stream,
            incarnation,
            outlet,
        };
        self.send(opened).await
    }

    /// Hands a node's message on.
    ///
    /// # Errors
    /// [`Error::Busy`] where the task has ended.
    pub(crate) async fn hear(&self, message: NodeMessage) -> Result<()> {
        self.send(Input::Message(message)).await
    }

    /// Says that a node's stream has ended.
    pub(crate) async fn close(&self, stream: u64, incarnation: Incarnation) {
        // Where the task has ended, nobody is left who needs to know.
        let _ = self
            .send(Input::Closed {
                stream,
                incarnation,
            })
            .await;
    }

    /// Reads the live state of every counter.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here.
    pub(crate) async fn counters(&self) -> Result<Vec<CounterState>> {
        self.check()?;
        let (reply, states) = oneshot::channel();
        self.send(Input::Counters(reply)).await?;
        match states.await {
            Ok(states) => Ok(states),
            Err(_) => self.check().and(Err(starting())),
        }
    }

    /// Closes a dead process's share, on an operator's word. It becomes durable soon after.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here.
    pub(crate) async fn release(&self, close: Close) -> Result<()> {
        self.check()?;
        self.send(Input::Release(close)).await
    }

    /// Waits until it is known whether quota is handed out here or elsewhere.
    pub(crate) async fn settled(&mut self) {
        let starting = |standing: &Standing| *standing == Standing::Starting;
        // Where the task has ended, nothing will change any more.
        let _ = self.standing.wait_for(|standing| !starting(standing)).await;
    }

    fn check(&self) -> Result<()> {
        match &*self.standing.borrow() {
            Standing::Owner => Ok(()),
            Standing::Starting => Err(starting()),
            Standing::Elsewhere { owner } => Err(Error::NotOwner {
                owner: owner.clone(),
            }),
        }
    }

    async fn send(&self, input: Input) -> Result<()> {
        let gone = |_| Error::Busy("this control replica is going down");
        self.inputs.send(input).await.map_err(gone)
    }
}

fn starting() -> Error {
    Error::Busy("this control replica does not hand out quota yet")
}

/// The task.
#[derive(Debug)]
pub(crate) struct Shell {
    store: SharedStore,
    ownership: Ownership,
    current: Current,
    shutdown: CancellationToken,
    inputs: mpsc::Receiver<Input>,
    standing: watch::Sender<Standing>,
    streams: Streams,
    /// How often nodes have known a later epoch than the store.
    overtaken: u64,
}

impl Shell {
    pub(crate) fn new(
        store: SharedStore,
        name: String,
        current: Current,
        shutdown: CancellationToken,
    ) -> (Self, Handle) {
        let (sender, inputs) = mpsc::channel(INPUTS);
        let standing = watch::Sender::new(Standing::Starting);
        let handle = Handle {
            inputs: sender,
            standing: standing.subscribe(),
        };
        let shell = Self {
            ownership: Ownership::new(SharedStore::clone(&store), name),
            store,
            current,
            shutdown,
            inputs,
            standing,
            streams: Streams::default(),
            overtaken: 0,
        };
        (shell, handle)
    }

    /// Runs until shutdown.
    pub(crate) async fn run(mut self) {
        let mut current = self.current.clone();
        let read = async move { current.wait_for(Option::is_some).await.is_ok() };
        // Without limits the machine would take every counter for one that policy no longer has.
        if self.meanwhile(read).await != Some(true) {
            return;
        }
        let Some(mut over) = self.wait_for_turn().await else {
            return;
        };
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut stepped = false;
        while let Some(claim) = self.claim(over, &mut backoff).await {
            let next = match claim {
                Claim::Made(epoch) => self.term(epoch, stepped).await,
                Claim::Lost => self.wait_for_turn().await.map(|over| (over, false)),
            };
            let Some(next) = next else { return };
            (over, stepped) = next;
            backoff.succeed();
        }
    }

    /// Hands out quota until the term ends; `stepped` says that the one before ended because the clock was
    /// corrected. Returns the revision of the record that the next claim replaces, once there is one to make, and
    /// whether this term ended so; none at shutdown.
    async fn term(&mut self, epoch: u64, stepped: bool) -> Option<(u64, bool)> {
        self.standing.send_replace(Standing::Owner);
        metrics::quota_epoch(epoch);
        let mut term = Term::new(self, epoch, stepped);
        let end = term.run(self).await;
        if end == End::Shutdown {
            term.leave().await;
        }
        drop(term);
        metrics::quota_epoch(0);
        self.standing.send_replace(Standing::Starting);
        match end {
            End::Shutdown => {
                self.release(epoch).await;
                None
            }
            End::ClockStepped => Some((epoch, true)),
            End::Lost => self.stand_by(epoch).await.map(|over| (over, false)),
        }
    }

    /// Becomes the owner in place of the record of that revision, trying until the store answers. None at
    /// shutdown.
    async fn claim(&mut self, over: u64, backoff: &mut Backoff) -> Option<Claim> {
        loop {
            let ownership = self.ownership.clone();
            let claim = self.meanwhile(async move { ownership.claim(over).await });
            let wait = match claim.await? {
                Ok(epoch) => return Some(Claim::Made(epoch)),
                Err(Error::NotOwner { .. }) => return Some(Claim::Lost),
                Err(error) => {
                    let wait = backoff.fail();
                    warn!(%error, ?wait, "cannot become the owner of quota yet");
                    wait
                }
            };
            self.meanwhile(tokio::time::sleep(wait)).await?;
        }
    }

    /// At the start: an owner that is alive keeps what it has, so that replicas can be restarted one after the
    /// other, and one that crashes over and over takes nothing along. An owner of this replica's own name was
    /// its former process, and is gone; so is any other in a store that only one process can open. Returns as
    /// [`Self::stand_by`] does.
    async fn wait_for_turn(&mut self) -> Option<u64> {
        loop {
            let ownership = self.ownership.clone();
            match self
                .meanwhile(async move { ownership.look().await })
                .await?
            {
                Ok(None) => return Some(NO_EPOCH),
                Ok(Some(seen))
                    if seen.owner == self.ownership.name() || self.store.is_exclusive() =>
                {
                    return Some(seen.epoch);
                }
                Ok(Some(_)) => return self.stand_by(NO_EPOCH).await,
                Err(error) => warn!(%error, "cannot look for the owner of quota yet"),
            }
            self.meanwhile(tokio::time::sleep(LOOK)).await?;
        }
    }

    /// Waits while another replica is the owner and alive. Returns the revision of the record that may be
    /// replaced, 0 where there is none; nothing at shutdown.
    async fn stand_by(&mut self, lost: u64) -> Option<u64> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last: Option<Sighting> = None;
        let mut unchanged = 0;
        loop {
            let ownership = self.ownership.clone();
            let look = async {
                looks.tick().await;
                (ownership.holds(lost).await, ownership.look().await)
            };
            match self.meanwhile(look).await? {
                (Ok(true), _) => return self.overtake(lost).await,
                (Ok(false), Ok(None)) => return Some(NO_EPOCH),
                (Ok(false), Ok(Some(sighting))) if last.as_ref() == Some(&sighting) => {
                    unchanged += 1;
                    if unchanged == LOOKS {
                        warn!("the owner of quota has fallen silent, taking over");
                        return Some(sighting.epoch);
                    }
                }
                (Ok(false), Ok(Some(sighting))) => {
                    self.retire(&sighting.owner);
                    (last, unchanged) = (Some(sighting), 0);
                }
                // Nothing is known of the owner; it is not held against it.
                (Err(error), _) | (_, Err(error)) => {
                    warn!(%error, "cannot look for the owner of quota")
                }
            }
        }
    }

    /// A node has spoken of a later epoch than the store knows. It will not listen to an earlier one, so the
    /// epoch is raised, claim by claim, until it is beyond the node's: that serves it again without its
    /// restart. Returns as [`Self::stand_by`] does.
    async fn overtake(&mut self, lost: u64) -> Option<u64> {
        self.overtaken += 1;
        if self.overtaken.is_power_of_two() {
            let times = self.overtaken;
            error!(
                epoch = lost,
                times, "nodes know a later epoch than the store: was it replaced by an older copy?"
            );
        }
        self.meanwhile(tokio::time::sleep(OVERTAKE)).await?;
        Some(lost)
    }

    /// Sends the nodes to the owner.
    fn retire(&mut self, owner: &str) {
        let owner = owner.to_owned();
        let standing = Standing::Elsewhere {
            owner: owner.clone(),
        };
        if self.standing.send_replace(standing.clone()) != standing {
            info!(owner, "another replica hands out quota");
        }
        self.streams.end(&Error::NotOwner { owner });
    }

    async fn release(&mut self, epoch: u64) {
        if let Err(error) = self.ownership.release(epoch).await {
            warn!(%error, "cannot release quota, another replica will wait a few seconds");
        }
        self.streams
            .end(&Error::Busy("this control replica is going down"));
    }

    /// Does something while there is no term: streams may open and close, their messages are of no use.
    /// None at shutdown.
    async fn meanwhile<T>(&mut self, doing: impl Future<Output = T>) -> Option<T> {
        let mut doing = std::pin::pin!(doing);
        loop {
            tokio::select! {
                done = &mut doing => return Some(done),
                () = self.shutdown.cancelled() => return None,
                input = self.inputs.recv() => match input? {
                    Input::Opened { stream, incarnation, outlet } => {
                        self.streams.open(stream, incarnation, outlet);
                    }
                    Input::Closed { stream, incarnation } => {
                        self.streams.close(stream, incarnation);
                    }
                    // Dropping the reply tells the asker to look at the standing.
                    Input::Message(_) | Input::Release(_) | Input::Counters(_) => {}
                },
            }
        }
    }
}

/// The nodes' streams, by process.
#[derive(Debug, Default)]
struct Streams {
    open: HashMap<Incarnation, (u64, Outlet)>,
}

impl Streams {
    /// A process has one stream: a later one ends it.
    fn open(&mut self, stream: u64, incarnation: Incarnation, outlet: Outlet) {
        if let Some((_, old)) = self.open.insert(incarnation, (stream, outlet)) {
            old.ended.cancel();
        }
    }

    /// Returns whether the process has no stream any more.
    fn close(&mut self, stream: u64, incarnation: Incarnation) -> bool {
        let current = self.open.get(&incarnation);
        let gone = current.is_some_and(|(open, _)| *open == stream);
        if gone {
            self.open.remove(&incarnation);
        }
        gone
    }

    fn send(&self, message: &OwnerMessage) {
        if let Some((_, outlet)) = self.open.get(&message.incarnation) {
            let answer = Ok(wire::owner_message(message));
            if outlet.sender.try_send(answer).is_err() {
                metrics::quota_answer_dropped();
            }
        }
    }

    /// Ends all of them with a reason. Returns whose they were.
    fn end(&mut self, error: &Error) -> Vec<Incarnation> {
        let ended = self.open.drain().map(|(incarnation, (_, outlet))| {
            // A full channel means that nobody reads: the end of the stream must do then.
            let _ = outlet.sender.try_send(Err(error.clone().into()));
            outlet.ended.cancel();
            incarnation
        });
        ended.collect()
    }
}

#[cfg(test)]
mod tests;
