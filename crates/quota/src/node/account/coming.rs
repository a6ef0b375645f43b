//! When units come, as far as a node can tell.

use crate::node::account::Account;
use crate::node::units::{between, signed};
use crate::node::{Foresight, Why};
use crate::{Kind, NodeTime};

/// A slot may come free whenever a request ends: try again soon, in milliseconds.
const SLOT_RETRY_MS: u64 = 1_000;
/// Only an operator can add to a budget that never ends: try again tomorrow, in milliseconds.
const ENDLESS_RETRY_MS: u64 = 86_400_000;

impl Account {
    /// What would become of a request for so many units.
    pub(in crate::node) fn foresee(&self, now: NodeTime, units: u64) -> Foresight {
        if units == 0 || (self.queue.is_empty() && self.has(now, units)) {
            return Foresight::AtOnce;
        }
        match self.hopeless(now, units) {
            Some(why) => Foresight::Refused(why),
            None => Foresight::Asks,
        }
    }

    /// Why a request for `units` that cannot be taken now is hopeless, if it is.
    pub(in crate::node) fn hopeless(&self, now: NodeTime, units: u64) -> Option<Why> {
        if !self.is_open(now) {
            return None;
        }
        let limit = self.limit;
        if units > limit {
            return Some(Why::TooLarge { limit });
        }
        let short = signed(units)
            .saturating_sub(self.avail)
            .max(0)
            .unsigned_abs();
        // No owner can ever give more than the limit: beyond it lies only debt.
        let above = self.exhausted_above().unwrap_or(limit);
        // No bound outlasts the time when the owner expects more.
        let lasts = self.is_windowed() || now < self.comes_at(1);
        (short > above && lasts).then(|| {
            let retry_after_ms = self.retry_after_ms(now, short);
            match self.bounds.as_ref().and_then(|bounds| bounds.share) {
                None => Why::Exhausted {
                    limit,
                    retry_after_ms,
                },
                Some(share) => Why::OverShare {
                    limit,
                    share,
                    retry_after_ms,
                },
            }
        })
    }

    /// When it is worth trying again for so many units.
    pub(super) fn retry_after_ms(&self, now: NodeTime, short: u64) -> u64 {
        match self.kind {
            Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Sliding { .. }
            | Kind::Bucket { .. } => self.comes_at(short).since(now).max(1),
            Kind::Concurrent | Kind::Endless => self.round_ms(),
        }
    }

    /// In how many milliseconds as much as the whole limit comes again: as a rule, or where there is none, when it is worth
    /// trying again.
    pub(in crate::node) fn round_ms(&self) -> u64 {
        match self.kind {
            Kind::Fixed { .. }
            | Kind::Calendar { .. }
            | Kind::Sliding { .. }
            | Kind::Bucket { .. } => self.kind.window_ms(),
            Kind::Concurrent => SLOT_RETRY_MS,
            Kind::Endless => ENDLESS_RETRY_MS,
        }
    }

    /// When so many units can be had: in the next window, or as the owner said; between the amounts that
    /// it spoke of they come in steadily.
    pub(super) fn comes_at(&self, units: u64) -> NodeTime {
        if self.is_windowed() {
            return self.over_at;
        }
        let coming = self.coming();
        let next = coming.iter().position(|point| point.units >= units);
        let in_ms = match (next, coming.last()) {
            (Some(0), _) => coming[0].in_ms,
            (Some(next), _) => between(coming[next - 1], coming[next], units),
            (None, Some(last)) => last.in_ms,
            (None, None) => self.kind.window_ms(),
        };
        self.heard_at.after(in_ms)
    }

    /// Milliseconds until the whole limit can be had again, as far as known: the window's end, or what the owner
    /// expects, or a window's length; 0 where nobody can tell.
    pub(in crate::node) fn resets_in_ms(&self, now: NodeTime) -> u64 {
        if matches!(self.kind, Kind::Endless | Kind::Concurrent) {
            return 0;
        }
        let whole_at = match self.coming().last() {
            _ if self.is_windowed() => self.deadline,
            Some(whole) => self.heard_at.after(whole.in_ms),
            None if self.remaining >= self.limit => now,
            None => now.after(self.kind.window_ms()),
        };
        whole_at.since(now)
    }
}
