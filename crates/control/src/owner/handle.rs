//! How others speak to the owner's task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tollgate_quota::owner::{CounterState, Raise};
use tollgate_quota::{Close, Counter, Incarnation, NodeMessage, Shard};

use super::Outlet;
use crate::audit;
use crate::error::{Error, Result};
use crate::ownership::Replica;

/// Who hands out quota of which shards.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Who does was found out once since the start.
    pub(super) settled: bool,
    /// Nothing is handed out since that time, in milliseconds since the Unix epoch.
    pub(super) frozen_ms: Option<u64>,
    /// This replica does, or would, but for the freeze.
    pub(super) held: BTreeSet<Shard>,
    /// Others that are alive do.
    pub(super) others: BTreeMap<Shard, Arc<Replica>>,
}

/// What the owner's task is told and asked.
#[derive(Debug)]
pub(super) enum Input {
    Opened {
        stream: u64,
        incarnation: Incarnation,
        outlet: Outlet,
    },
    Closed {
        stream: u64,
        incarnation: Incarnation,
    },
    /// A node's message, and the store that its totals stand in.
    Message(NodeMessage, u64),
    /// An operator vouches that a process is dead.
    Release(Close),
    /// An operator forgives what was spent.
    Reset(Counter),
    /// An operator raises a limit.
    Raise(Box<Raising>),
    /// An operator has units handed out again.
    Thaw(Box<Thawing>),
    Counters(oneshot::Sender<Vec<CounterState>>),
}

/// A limit to be raised for a while, or no more.
#[derive(Debug)]
pub(super) struct Raising {
    pub(super) counter: Counter,
    pub(super) raise: Option<Raise>,
    /// What the audit says of it.
    pub(super) audit: audit::Record,
    pub(super) done: oneshot::Sender<Result<()>>,
}

/// Quota to be thawed.
#[derive(Debug)]
pub(super) struct Thawing {
    /// What the audit says of it.
    pub(super) audit: audit::Record,
    pub(super) done: oneshot::Sender<Result<()>>,
}

/// Speaks to the owner's task.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inputs: mpsc::Sender<Input>,
    standing: watch::Receiver<Arc<Standing>>,
}

impl Handle {
    pub(super) fn new(
        inputs: mpsc::Sender<Input>,
        standing: watch::Receiver<Arc<Standing>>,
    ) -> Self {
        Self { inputs, standing }
    }

    /// Opens a node's stream. `stream` tells it from the node's other ones.
    ///
    /// # Errors
    /// [`Error::Busy`] where it is not known yet who hands out quota.
    pub(crate) async fn open(
        &self,
        stream: u64,
        incarnation: Incarnation,
        outlet: Outlet,
    ) -> Result<()> {
        self.check_settled()?;
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
    pub(crate) async fn hear(&self, (message, store): (NodeMessage, u64)) -> Result<()> {
        self.send(Input::Message(message, store)).await
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

    /// Reads the live state of every counter of this replica's.
    ///
    /// # Errors
    /// [`Error::Busy`] where it is not known yet who hands out quota.
    pub(crate) async fn counters(&self) -> Result<Vec<CounterState>> {
        self.check_settled()?;
        let (reply, states) = oneshot::channel();
        self.send(Input::Counters(reply)).await?;
        states.await.map_err(|_| starting())
    }

    /// The other replicas that own counters.
    ///
    /// # Errors
    /// [`Error::Busy`] where nobody is known to own some.
    pub(crate) fn others(&self) -> Result<Vec<Arc<Replica>>> {
        let standing = Arc::clone(&self.standing.borrow());
        let mut others: Vec<Arc<Replica>> = Vec::new();
        for shard in Shard::all().filter(|shard| !standing.held.contains(shard)) {
            let owner = standing.others.get(&shard).ok_or_else(ownerless)?;
            if !others.contains(owner) {
                others.push(Arc::clone(owner));
            }
        }
        Ok(others)
    }

    /// Closes a dead process's share, on an operator's word. It becomes durable soon after.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here.
    pub(crate) async fn release(&self, close: Close) -> Result<()> {
        self.check(&close.counter)?;
        self.send(Input::Release(close)).await
    }

    /// Forgives what was spent of a counter. [`CounterState::pending`] tells when that is in force and durable.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here.
    pub(crate) async fn reset(&self, counter: Counter) -> Result<()> {
        self.check(&counter)?;
        self.send(Input::Reset(counter)).await
    }

    /// Raises a counter's limit for a while, or no more. When it returns, that and its audit are durable, and it is
    /// in force.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here, and those of the store.
    pub(crate) async fn raise(
        &self,
        counter: Counter,
        raise: Option<Raise>,
        audit: audit::Record,
    ) -> Result<()> {
        self.check(&counter)?;
        let (done, outcome) = oneshot::channel();
        let raising = Raising {
            counter,
            raise,
            audit,
            done,
        };
        self.send(Input::Raise(Box::new(raising))).await?;
        self.outcome(outcome).await
    }

    /// Hands out units again after a restore. When it returns, that and its audit are durable.
    ///
    /// # Errors
    /// [`Error::NotPossible`] where nothing is frozen or shares are open, else as [`Handle::raise`].
    pub(crate) async fn thaw(&self, audit: audit::Record) -> Result<()> {
        self.check_settled()?;
        let (done, outcome) = oneshot::channel();
        self.send(Input::Thaw(Box::new(Thawing { audit, done })))
            .await?;
        self.outcome(outcome).await
    }

    /// Since when nothing is handed out because the store was restored, in milliseconds since the Unix epoch.
    pub(crate) fn frozen_since(&self) -> Option<u64> {
        self.standing.borrow().frozen_ms
    }

    /// What came of something asked; where the task dropped it, its shard has another owner by now.
    async fn outcome(&self, outcome: oneshot::Receiver<Result<()>>) -> Result<()> {
        outcome.await.unwrap_or_else(|_| Err(ownerless()))
    }

    /// Waits until it is known who hands out quota.
    pub(crate) async fn settled(&mut self) {
        // Where the task has ended, nothing will change any more.
        let _ = self.standing.wait_for(|standing| standing.settled).await;
    }

    /// Whether this replica owns the counter.
    ///
    /// # Errors
    /// [`Error::NotOwner`] where another one does, [`Error::Busy`] where nobody is known to.
    pub(crate) fn check(&self, counter: &Counter) -> Result<()> {
        let standing = self.standing.borrow();
        let shard = counter.shard();
        if standing.held.contains(&shard) {
            return Ok(());
        }
        let owner = standing.others.get(&shard).ok_or_else(ownerless)?;
        Err(Error::NotOwner(Replica::clone(owner)))
    }

    fn check_settled(&self) -> Result<()> {
        match self.standing.borrow().settled {
            true => Ok(()),
            false => Err(starting()),
        }
    }

    async fn send(&self, input: Input) -> Result<()> {
        let gone = |_| Error::Busy("this control replica is going down");
        self.inputs.send(input).await.map_err(gone)
    }
}

fn starting() -> Error {
    Error::Busy("this control replica does not know yet who hands out quota")
}

fn ownerless() -> Error {
    Error::Busy("nobody hands out quota of some limits at this moment")
}
