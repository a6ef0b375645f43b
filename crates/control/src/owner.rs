//! The shell around the owner of all limits: it feeds the state machine of `tollgate_quota` with messages,
//! time and the store's answers, and carries out what it decides.
//!
//! One task owns everything here. The machine itself decides nothing by looking at a clock or a store; its
//! effects are the only way anything happens.
//!
//! A **term** is one epoch of ownership. It ends when another replica takes over, when the wall clock and the
//! term's own clock part (a correction would move the windows' edges), or at shutdown. While the store is
//! away the term goes on: what has been debited can still be handed out, and writes are tried again.

mod handle;
mod horizon;
mod leave;
mod raises;
mod record;
mod restore;
mod streams;
mod sweep;
mod term;
mod write;

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub(crate) use self::handle::Handle;
use self::handle::{Input, Raising, Standing, Thawing};
use self::streams::Streams;
pub(crate) use self::streams::{Answer, Outlet};
use self::term::{End, Term};
use crate::backoff::Backoff;
use crate::error::Error;
use crate::metrics;
use crate::origin::{self, Origin};
use crate::ownership::{Ownership, Replica, Sighting};
use crate::snapshot::Current;
use crate::store::SharedStore;

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

/// What came of a claim.
enum Claim {
    /// This replica is the owner, in this epoch.
    Made(u64),
    /// Another one was faster.
    Lost,
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
        me: Replica,
        current: Current,
        shutdown: CancellationToken,
    ) -> (Self, Handle) {
        let (sender, inputs) = mpsc::channel(INPUTS);
        let standing = watch::Sender::new(Standing::Starting);
        let handle = Handle::new(sender, standing.subscribe());
        let shell = Self {
            ownership: Ownership::new(SharedStore::clone(&store), me),
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
        let Some(origin) = self.settle(epoch).await? else {
            return self.stand_by(epoch).await.map(|over| (over, false));
        };
        let frozen_ms = origin.is_frozen().then_some(origin.frozen_ms);
        self.standing.send_replace(Standing::Owner { frozen_ms });
        self.streams.store = origin.store;
        metrics::quota_epoch(epoch);
        metrics::quota_frozen(origin.is_frozen());
        let mut term = Term::new(self, (epoch, origin), stepped);
        let end = term.run(self).await;
        if end == End::Shutdown {
            term.leave(&self.streams).await;
        }
        drop(term);
        metrics::quota_epoch(0);
        metrics::quota_frozen(false);
        self.standing.send_replace(Standing::Starting);
        match end {
            End::Shutdown => {
                self.release(epoch).await;
                None
            }
            // Whatever was thawed, or begins by another clock, counts on others until now.
            End::Anew => Some((epoch, true)),
            End::Lost => self.stand_by(epoch).await.map(|over| (over, false)),
        }
    }

    /// Finds out whether quota may be handed out in this store, trying until it answers. None inside where another
    /// replica is the owner by now; none at shutdown.
    async fn settle(&mut self, epoch: u64) -> Option<Option<Origin>> {
        loop {
            let store = SharedStore::clone(&self.store);
            let settled = self.meanwhile(async move { origin::settle(&store, epoch).await });
            match settled.await? {
                Ok(origin) => return Some(Some(origin)),
                Err(Error::NotOwner(_)) => return Some(None),
                Err(error) => warn!(%error, "cannot look which store this is yet"),
            }
            self.meanwhile(tokio::time::sleep(LOOK)).await?;
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
                Err(Error::NotOwner(_)) => return Some(Claim::Lost),
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
                    if seen.owner.name == self.ownership.name() || self.store.is_exclusive() =>
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
    fn retire(&mut self, owner: &Replica) {
        let standing = Standing::Elsewhere(owner.clone());
        if self.standing.send_replace(standing.clone()) != standing {
            info!(owner = owner.name, "another replica hands out quota");
        }
        self.streams.end(&Error::NotOwner(owner.clone()));
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
                    Input::Message(..)
                    | Input::Release(_)
                    | Input::Reset(_)
                    | Input::Raise(_)
                    | Input::Thaw(_)
                    | Input::Counters(_) => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
