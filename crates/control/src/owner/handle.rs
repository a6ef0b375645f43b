//! How others speak to the owner's task.

use tokio::sync::{mpsc, oneshot, watch};
use tollgate_quota::owner::{CounterState, Raise};
use tollgate_quota::{Close, Counter, Incarnation, NodeMessage};

use super::Outlet;
use crate::audit;
use crate::error::{Error, Result};
use crate::ownership::Replica;

/// Whether this replica hands out quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not yet: the store has not answered so far.
    Starting,
    /// It does, or would, but for the freeze since that time in milliseconds since the Unix epoch.
    Owner { frozen_ms: Option<u64> },
    /// Another replica does.
    Elsewhere(Replica),
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
    standing: watch::Receiver<Standing>,
}

impl Handle {
    pub(super) fn new(inputs: mpsc::Sender<Input>, standing: watch::Receiver<Standing>) -> Self {
        Self { inputs, standing }
    }

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

    /// Forgives what was spent of a counter. [`CounterState::resetting`] tells when that is in force and durable.
    ///
    /// # Errors
    /// [`Error::NotOwner`] or [`Error::Busy`] where quota is not handed out here.
    pub(crate) async fn reset(&self, counter: Counter) -> Result<()> {
        self.check()?;
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
        self.check()?;
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
        self.check()?;
        let (done, outcome) = oneshot::channel();
        self.send(Input::Thaw(Box::new(Thawing { audit, done })))
            .await?;
        self.outcome(outcome).await
    }

    /// Since when nothing is handed out because the store was restored, in milliseconds since the Unix epoch.
    pub(crate) fn frozen_since(&self) -> Option<u64> {
        match &*self.standing.borrow() {
            Standing::Owner { frozen_ms } => *frozen_ms,
            Standing::Starting | Standing::Elsewhere(_) => None,
        }
    }

    /// What came of something asked; where the task dropped it, why.
    async fn outcome(&self, outcome: oneshot::Receiver<Result<()>>) -> Result<()> {
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => self.check().and(Err(starting())),
        }
    }

    /// Waits until it is known whether quota is handed out here or elsewhere.
    pub(crate) async fn settled(&mut self) {
        let starting = |standing: &Standing| *standing == Standing::Starting;
        // Where the task has ended, nothing will change any more.
        let _ = self.standing.wait_for(|standing| !starting(standing)).await;
    }

    fn check(&self) -> Result<()> {
        match &*self.standing.borrow() {
            Standing::Owner { .. } => Ok(()),
            Standing::Starting => Err(starting()),
            Standing::Elsewhere(owner) => Err(Error::NotOwner(owner.clone())),
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
