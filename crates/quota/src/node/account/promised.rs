//! Windows that a process begins by itself, with what it was promised of them.
//!
//! Whether or not its owner can be asked, it uses these units first. They have a ledger of their own, that of no owner's
//! epoch: credited as a total (R3), so that whoever says so how often does not matter.

use crate::node::account::Account;
use crate::node::units::Label;
use crate::{Epoch, NodeTime, Promise, Window};

/// The epoch of the ledger of what is promised. Owners' are higher.
const PROMISED: Epoch = Epoch(0);

/// What is promised, and how long a window lasts on this clock.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    promises: Vec<Promise>,
    /// At least so long, in milliseconds, and at most.
    least_ms: u64,
    most_ms: u64,
}

impl Standing {
    fn units(&self, window: Window) -> u64 {
        let covering = self.promises.iter().filter(|it| it.covers(window));
        covering.map(|it| it.units).max().unwrap_or(0)
    }

    fn last(&self) -> Window {
        let through = self.promises.iter().map(|it| it.through);
        through.max().unwrap_or_default()
    }

    /// Takes in a promise, or that one reaches further than was known.
    fn add(&mut self, promise: Promise) {
        let mut known = self.promises.iter_mut();
        match known.find(|it| it.from == promise.from) {
            Some(known) => known.through = known.through.max(promise.through),
            None => self.promises.push(promise),
        }
    }
}

impl Account {
    /// Takes in what is promised: that is durable, and stands whoever says it, and when. Owners' clocks run at most so
    /// much faster or slower than this one, in parts per million.
    pub(in crate::node) fn hear_promises(&mut self, promises: &[Promise], drift_ppm: u64) {
        if promises.is_empty() || !self.is_windowed() {
            return;
        }
        let length_ms = self.kind.window_ms();
        let drift_ms = length_ms.saturating_mul(drift_ppm).div_ceil(1_000_000);
        let mut standing = self.standing.take().unwrap_or_else(|| {
            Box::new(Standing {
                promises: Vec::new(),
                least_ms: length_ms.saturating_sub(drift_ms).max(1),
                most_ms: length_ms + drift_ms,
            })
        });
        promises.iter().for_each(|it| standing.add(*it));
        let now = self.label.window;
        standing.promises.retain(|it| it.through >= now);
        self.standing = Some(standing);
        self.credit_promised();
    }

    /// What is promised from now on, as far as known.
    pub(in crate::node) fn promises(&self) -> Vec<Promise> {
        let standing = self.standing.as_ref();
        standing.map_or_else(Vec::new, |it| it.promises.clone())
    }

    /// Makes sure that what is promised of the window is here, or was.
    pub(super) fn credit_promised(&mut self) {
        let standing = self.standing.as_ref();
        let units = standing.map_or(0, |it| it.units(self.label.window));
        if units > 0 {
            self.credit(PROMISED, units);
        }
    }

    /// Begins the window of now by itself, if some of it is promised and it is certain that its owners are in it: the
    /// last one that was heard of ended between two readings of this clock, and each since lasted as long as any other,
    /// give or take the drift (R6). True if it did.
    pub(in crate::node) fn come_round(&mut self, now: NodeTime) -> bool {
        if now < self.deadline || self.label == Label::default() {
            return false;
        }
        let Some(standing) = &self.standing else {
            return false;
        };
        let (least_ms, most_ms) = (standing.least_ms, standing.most_ms);
        let before = now.since(self.deadline) / least_ms;
        let window = Window(self.label.window.0 + before + 1);
        let (units, limit) = (standing.units(window), self.limit);
        let begun = self.over_at.after(before.saturating_mul(most_ms));
        if units == 0 || now < begun {
            return false;
        }
        let deadline = self.deadline.after((before + 1).saturating_mul(least_ms));
        self.roll(Label::of(window));
        (self.deadline, self.over_at) = (deadline, begun.after(most_ms));
        (self.limit, self.remaining) = (limit, units.min(limit));
        self.credit_promised();
        true
    }

    /// When the last window is over that anything is promised of; 0 where nothing is.
    pub(super) fn promised_until(&self) -> NodeTime {
        match &self.standing {
            Some(standing) if self.label > Label::default() => {
                let windows = standing.last().0.saturating_sub(self.label.window.0);
                self.over_at.after(windows.saturating_mul(standing.most_ms))
            }
            Some(_) | None => NodeTime(0),
        }
    }

    /// Takes up to so many idle units out of what is promised, to be given back. Answers how many.
    pub(super) fn give_back_promised(&mut self, most: i64) -> u64 {
        let ledger = self.ledgers.first_mut();
        let Some(ledger) = ledger.filter(|it| it.epoch == PROMISED && !self.kind.is_ledger())
        else {
            return 0;
        };
        let back = most.min(ledger.avail()).max(0).unsigned_abs();
        ledger.returned += back;
        back
    }
}
