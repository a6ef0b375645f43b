//! What an heir must know. A process that may die keeps a journal: before it reserves and spends more of a
//! counter that is kept by rows, it has noted durably a *mark* that it will not go beyond, so that whoever
//! inherits its journal can say what it cannot have used. The mark is raised ahead of use: no request waits for
//! the disk, except for the first one of a counter.

use crate::node::Node;
use crate::node::account::Account;
use crate::node::book::Slot;
use crate::{Close, Counter, Incarnation, Kind, NodeTime, Window};

/// The mark goes ahead of what is used by this part of what is held, or more.
const AHEAD_PART: u64 = 4;
/// Most closings in one message.
const MOST_CLOSES: usize = 256;

/// One line of the journal. The latest of a process about a counter is the one that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The process that notes it.
    pub incarnation: Incarnation,
    /// Which counter.
    pub counter: Counter,
    /// The window; 0 while the process has heard of none. In later ones it has reserved nothing.
    pub window: Window,
    /// The process will not have reserved and spent more than this together, before it has noted more.
    pub mark: u64,
    /// What it has spent for good.
    pub settled: u64,
}

impl Note {
    /// What is to be said once the process is dead.
    #[must_use]
    pub fn close(&self) -> Close {
        Close {
            incarnation: self.incarnation,
            counter: self.counter.clone(),
            window: self.window,
            mark: self.mark,
            settled: self.settled,
        }
    }
}

/// How far the journal lets a process go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// The counter is durably noted. Before that its owner is not asked for anything, so that whatever is ever
    /// granted to this process can be found and closed.
    opened: bool,
    /// The mark of this window that is durably noted, and the highest that is being noted.
    durable: u64,
    asked: u64,
    /// The spent units that were noted last.
    settled: u64,
    /// Among those of which more is to be noted.
    queued: bool,
}

impl Mark {
    /// Whether so many units more may be reserved. Slots end with the process: it is enough that the counter is
    /// noted.
    pub(super) fn allows(&self, account: &Account, units: u64) -> bool {
        let slots = account.counter.kind() == Kind::Concurrent;
        let used = account.used().saturating_add(units);
        self.opened && (slots || used <= self.durable)
    }

    /// That of a counter of which `durable` is noted, and that so much is settled.
    pub(super) fn noted(durable: u64, settled: u64) -> Self {
        Self {
            opened: true,
            durable,
            asked: durable,
            settled,
            queued: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    /// In a new window nothing is used and nothing noted.
    pub(super) fn rolled(self) -> Self {
        Self {
            opened: self.opened,
            queued: self.queued,
            ..Self::default()
        }
    }

    /// The mark to note now, with `lacking` units asked for besides what is used; none when the one noted, or
    /// being noted, will do.
    fn next(&self, account: &Account, lacking: u64) -> Option<u64> {
        if account.label.window == Window(0) || account.counter.kind() == Kind::Concurrent {
            return None;
        }
        let held = account.held_at_most();
        let ahead = (held / AHEAD_PART).max(account.usual().saturating_mul(2));
        let needed = account.used().saturating_add(lacking);
        let most = held.max(needed);
        let enough = needed.saturating_add(ahead / 2).min(most);
        (self.asked < enough).then(|| needed.saturating_add(ahead).min(most))
    }
}

impl Account {
    /// True once, when more is to be noted of it than is, or is being noted.
    pub(super) fn wants_note(&mut self, lacking: u64) -> bool {
        let Some(mark) = self.mark.filter(|mark| !mark.queued) else {
            return false;
        };
        let wants = !mark.opened || mark.next(self, lacking).is_some();
        self.mark = Some(Mark {
            queued: wants,
            ..mark
        });
        wants
    }
}

impl Node {
    /// Sees to it that the mark of an account goes on ahead of its use.
    pub(super) fn note(&mut self, slot: Slot) {
        let lacking = self.lacks(slot).unwrap_or(0);
        let Some(account) = self.book.get_mut(slot) else {
            return;
        };
        if account.wants_note(lacking) {
            self.unnoted.push(slot);
        }
    }

    /// Units that the oldest waiting request would have, were they noted already.
    pub(super) fn waits_for_note(&self, slot: Slot) -> u64 {
        let lacking = self.lacks(slot).unwrap_or(0);
        let there =
            |account: &&Account| account.mark.is_some() && account.avail() >= lacking.cast_signed();
        let account = self.book.get(slot).filter(there);
        account.map_or(0, |_| lacking)
    }

    /// Has what was spent noted now and then, so that little is in doubt after a crash.
    pub(super) fn note_settled(&mut self) {
        let Self { book, unnoted, .. } = self;
        for (slot, account) in book.iter_mut() {
            let spent = account.spent();
            if let Some(mark) = account.mark.as_mut()
                && mark.settled != spent
                && !mark.queued
            {
                mark.queued = true;
                unnoted.push(slot);
            }
        }
    }

    /// Whether [`Node::poll_notes`] has something.
    #[must_use]
    pub fn has_notes(&self) -> bool {
        !self.unnoted.is_empty()
    }

    /// What is to be made durable in the journal, in this order; then call [`Node::noted`]. May be called again
    /// before that, and the notes are then to be made durable in the order in which they were polled.
    pub fn poll_notes(&mut self) -> Vec<Note> {
        let slots = std::mem::take(&mut self.unnoted);
        let notes = slots.into_iter().filter_map(|slot| {
            let lacking = self.lacks(slot).unwrap_or(0);
            let account = self.book.get_mut(slot)?;
            let mut mark = account.mark?;
            mark.queued = false;
            mark.asked = mark.next(account, lacking).unwrap_or(mark.asked);
            mark.settled = account.spent();
            account.mark = Some(mark);
            Some(Note {
                incarnation: self.incarnation,
                counter: account.counter.clone(),
                window: account.label.window,
                mark: mark.asked,
                settled: mark.settled,
            })
        });
        notes.collect()
    }

    /// Those notes are durable: what waited for them goes on.
    pub fn noted(&mut self, now: NodeTime, notes: &[Note]) {
        for note in notes
            .iter()
            .filter(|note| note.incarnation == self.incarnation)
        {
            let Some(slot) = self.book.find(&note.counter) else {
                continue;
            };
            let Some(account) = self.book.get_mut(slot) else {
                continue;
            };
            let same = account.label.window == note.window;
            let Some(mark) = account.mark.as_mut() else {
                continue;
            };
            if same {
                mark.durable = mark.durable.max(note.mark);
                self.refilled.push(slot);
            }
            if !std::mem::replace(&mut mark.opened, true) {
                // Now its owner can be asked.
                self.outbox
                    .mark(account, slot, now.after(self.config.urgent_ms));
            }
        }
        self.refill(now);
    }

    /// The last notes of a process that has drained and of which nothing runs any more: it has used this and
    /// will use no more.
    pub fn last_notes(&self) -> Vec<Note> {
        let accounts = self.book.iter().map(|(_, account)| account);
        let noted = accounts.filter(|account| account.mark.is_some_and(|mark| mark.opened));
        noted
            .map(|account| Note {
                incarnation: self.incarnation,
                counter: account.counter.clone(),
                window: account.label.window,
                mark: account.used(),
                settled: account.spent(),
            })
            .collect()
    }

    /// Takes over what dead processes of this node have left: it is said with every heartbeat until the owner
    /// answers that it is closed.
    pub fn inherit(&mut self, closes: Vec<Close>) {
        self.inherited.extend(closes);
    }

    /// What is not closed yet of what was inherited.
    #[must_use]
    pub fn inherited(&self) -> &[Close] {
        &self.inherited
    }

    /// Whether the owner has closed this very process, taking it for dead. What it holds is void: begin a new
    /// one, with another incarnation.
    #[must_use]
    pub fn is_disowned(&self) -> bool {
        self.disowned
    }

    pub(super) fn closes(&mut self) -> Vec<Close> {
        // In turn, should the owner not be able to answer some of them.
        let said = self.inherited.len().min(MOST_CLOSES);
        self.inherited.rotate_left(said);
        let first = self.inherited.len() - said;
        self.inherited[first..].to_vec()
    }

    pub(super) fn hear_closed(&mut self, closed: &[Close]) {
        self.disowned |= closed
            .iter()
            .any(|close| close.incarnation == self.incarnation);
        self.inherited
            .retain(|close| !closed.iter().any(|done| done.is_of_same(close)));
    }
}
