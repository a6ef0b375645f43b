use crate::OwnerTime;
use crate::owner::account::{Context, Wishes};
use crate::owner::{LedgerRow, Load, Record};

/// The wait between failed reads is doubled this often at most.
const LONGEST_BACKOFF: u32 = 5;

/// The dealings of a keeping with the store: at most one at a time.
#[derive(Debug, Clone)]
pub(super) struct Link<W> {
    state: State<W>,
    /// Reads that failed one after another.
    failures: u32,
}

/// What a read found.
pub(super) struct Found {
    /// The record and its key's modification revision (0: there is none).
    pub(super) record: (Option<Record>, i64),
    /// The rows of a counter that is kept by them.
    pub(super) rows: Vec<LedgerRow>,
}

#[derive(Debug, Clone)]
enum State<W> {
    /// Being read.
    Reading,
    /// The read failed; to be tried again at that time.
    Retrying(OwnerTime),
    /// Nothing under way.
    Ready,
    /// That is being written.
    Writing(W),
}

impl<W> Link<W> {
    /// Begins with a read.
    pub(super) fn reading() -> Self {
        Self {
            state: State::Reading,
            failures: 0,
        }
    }

    /// Takes in what a read found. None where nothing was read, the read failed, or a later owner has written: its term
    /// is later than this one's.
    pub(super) fn loaded(
        &mut self,
        context: &Context<'_>,
        outcome: Load,
        wishes: &mut Wishes,
    ) -> Option<Found> {
        if !matches!(self.state, State::Reading) {
            return None;
        }
        let (record, rows) = match outcome {
            Load::Failed => {
                self.failed(context);
                return None;
            }
            Load::Absent => (None, Vec::new()),
            Load::Found(record, mod_revision) => (Some((record, mod_revision)), Vec::new()),
            Load::Rows { record, rows } => (record, rows),
        };
        let later = record.as_ref().map(|(record, _)| record.epoch);
        if let Some(epoch) = later.filter(|epoch| *epoch > context.epoch) {
            wishes.overtaken_by = Some(epoch);
            return None;
        }
        self.found();
        let record = match record {
            Some((record, mod_revision)) => (Some(record), mod_revision),
            None => (None, 0),
        };
        Some(Found { record, rows })
    }

    /// Whether a write can begin.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Whether nothing is under way.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.state, State::Ready | State::Retrying(_))
    }

    /// The read failed. The wait is doubled each time, so that many counters do not fall upon a store that
    /// recovers.
    fn failed(&mut self, context: &Context<'_>) {
        let wait = context.config.retry_ms << self.failures.min(LONGEST_BACKOFF);
        self.failures += 1;
        self.state = State::Retrying(context.now.after(wait));
    }

    /// The read succeeded.
    pub(super) fn found(&mut self) {
        self.failures = 0;
        self.state = State::Ready;
    }

    /// Begins a write.
    pub(super) fn write(&mut self, what: W) {
        self.state = State::Writing(what);
    }

    /// What is being written, if anything is.
    pub(super) fn writing(&self) -> Option<&W> {
        match &self.state {
            State::Writing(what) => Some(what),
            State::Reading | State::Retrying(_) | State::Ready => None,
        }
    }

    /// The same, to note what happens meanwhile.
    pub(super) fn writing_mut(&mut self) -> Option<&mut W> {
        match &mut self.state {
            State::Writing(what) => Some(what),
            State::Reading | State::Retrying(_) | State::Ready => None,
        }
    }

    /// Takes what was being written, if anything was; nothing is under way then.
    pub(super) fn written(&mut self) -> Option<W> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Writing(what) => Some(what),
            other @ (State::Reading | State::Retrying(_) | State::Ready) => {
                self.state = other;
                None
            }
        }
    }

    /// Reads anew: it is not known what the key holds.
    pub(super) fn read(&mut self, wishes: &mut Wishes) {
        self.state = State::Reading;
        wishes.read = true;
    }

    /// Tries a read anew that failed, when it is due.
    pub(super) fn retry(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        if let State::Retrying(at) = self.state {
            if context.now >= at {
                self.read(wishes);
            } else {
                wishes.look(at);
            }
        }
    }
}
