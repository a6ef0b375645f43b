//! What a process leaves that ends in good order: the next process of its node goes on in its place and under its
//! number, as if it had stood still meanwhile.
//!
//! Processes may stand still at any moment, so nothing of the protocol is new in that, as long as one process at most
//! takes up an estate, it reads the same clock, and nothing is missing of what the first one has heard and said (R3).
//! What the first one gave back before it ended, it gave back for both.

use crate::node::account::Account;
use crate::node::mark::Mark;
use crate::node::units::{Label, Ledger};
use crate::node::{Config, Node};
use crate::{Counter, Epoch, Incarnation, Kind, NodeTime, OwnerAccount, Window};

/// All that a process knows which has drained and holds nothing for anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estate {
    /// The number of the process, and of the one that goes on.
    pub incarnation: Incarnation,
    /// Per kind, the newest window of which it has forgotten an account: it takes no grants of that or earlier ones.
    pub floors: Vec<(Kind, Window)>,
    /// What it knows of each counter.
    pub bequests: Vec<Bequest>,
}

/// What a process knows of one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bequest {
    /// The epoch that units bear of kinds without windows; 0 for others.
    pub labelled: Epoch,
    /// The highest epoch of the counter's owners.
    pub epoch: Epoch,
    /// From when on units are not usable, by the process's own clock.
    pub deadline: NodeTime,
    /// By when the window is certainly over.
    pub over_at: NodeTime,
    /// The totals under each epoch, earliest first.
    pub totals: Vec<Totals>,
    /// What the owner said last: `granted` and `rem_ms` say nothing here, and times count from `heard_at`.
    pub told: OwnerAccount,
    /// The epoch of the owner that said so, and when it was heard.
    pub told_by: Epoch,
    /// When it was heard.
    pub heard_at: NodeTime,
    /// The mark that is noted durably, where the counter is noted at all.
    pub mark: Option<u64>,
}

/// Totals of one counter under one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Which epoch; 0 where totals outlive terms.
    pub epoch: Epoch,
    /// Units that arrived.
    pub seen: u64,
    /// Units given back.
    pub returned: u64,
    /// Units spent.
    pub spent: u64,
    /// Units given back of those that were promised, to the owner of that epoch.
    pub promised_back: u64,
}

impl Node {
    /// Begins to shut down: refuses all who wait, and from then on on the spot what lacks units.
    pub fn drain(&mut self, now: NodeTime) {
        self.draining = true;
        while !self.waits.is_empty() {
            self.expire_first(now);
        }
    }

    /// Gives back everything idle of the counters that `of` names, those whose owner can be told. Then poll and send
    /// [`crate::node::Scope::All`]. What is left can be kept in an [`Estate`].
    pub fn give_back(&mut self, now: NodeTime, of: impl Fn(&Counter) -> bool) {
        let Self { book, outbox, .. } = self;
        for (slot, account) in book.iter_mut().filter(|(_, it)| of(&it.counter)) {
            if account.give_back(0, true) {
                outbox.mark(account, slot, now);
            }
        }
    }

    /// All that the next process has to know to go on in this one's place. None unless it has drained and holds
    /// nothing for anybody. [`Node::last_notes`] are to be durable before it is used, and nothing is to be done with
    /// this process any more.
    #[must_use]
    pub fn estate(&self) -> Option<Estate> {
        let over = self.draining && self.requests.is_empty() && !self.disowned;
        over.then(|| Estate {
            incarnation: self.incarnation,
            floors: self.book.floors().collect(),
            bequests: self
                .book
                .iter()
                .filter_map(|(_, it)| it.bequeath())
                .collect(),
        })
    }

    /// Goes on in the place of a process that has ended in good order. Its estate must not be taken up by anybody else,
    /// and `now` is read from the clock that it read.
    #[must_use]
    pub fn resume(name: &str, config: Config, now: NodeTime, estate: &Estate) -> Self {
        let mut node = Self::new(name, estate.incarnation, config);
        for bequest in &estate.bequests {
            let slot = node.book.open(&bequest.told.counter, now);
            if let Some(account) = node.book.get_mut(slot) {
                account.resume(now, bequest);
                account.hear_promises(&bequest.told.promises, node.config.drift_ppm);
            }
        }
        node.book.raise_floors(&estate.floors);
        node
    }
}

impl Account {
    /// What is known of it; none while nothing was heard.
    fn bequeath(&self) -> Option<Bequest> {
        let Label {
            window,
            epoch: labelled,
            generation,
        } = self.label;
        let bounds = self.bounds.as_deref();
        (self.label > Label::default()).then(|| Bequest {
            labelled,
            epoch: self.epoch,
            deadline: self.deadline,
            over_at: self.over_at,
            totals: self.ledgers().map(Ledger::totals).collect(),
            told: OwnerAccount {
                counter: self.counter.clone(),
                window,
                generation,
                granted: 0,
                rem_ms: 0,
                version: self.told_at.1,
                exhausted_above: bounds.and_then(|bounds| bounds.exhausted_above),
                keep: bounds.and_then(|bounds| bounds.keep),
                share: bounds.and_then(|bounds| bounds.share),
                limit: self.limit,
                remaining: self.remaining,
                coming: bounds.map_or_else(Vec::new, |bounds| bounds.coming.clone()),
                promises: self.promises(),
            },
            told_by: self.told_at.0,
            heard_at: self.heard_at,
            mark: self.mark.filter(|mark| mark.is_open()).map(|_| self.used()),
        })
    }

    /// Takes over what is known of it.
    fn resume(&mut self, now: NodeTime, bequest: &Bequest) {
        let told = &bequest.told;
        self.label = Label {
            window: told.window,
            epoch: bequest.labelled,
            generation: told.generation,
        };
        self.epoch = bequest.epoch;
        self.deadline = bequest.deadline;
        self.over_at = bequest.over_at;
        self.take_over(bequest.totals.iter().map(|totals| Ledger {
            epoch: totals.epoch,
            seen: totals.seen,
            returned: totals.returned,
            spent: totals.spent,
            held: 0,
            promised_back: totals.promised_back,
        }));
        self.note(bequest.told_by, bequest.heard_at, told);
        let noted = bequest.mark.map(|mark| Mark::noted(mark, self.spent()));
        self.mark = self.mark.map(|fresh| noted.unwrap_or(fresh));
        let said = self.said_need;
        self.reported(now, said);
    }
}
