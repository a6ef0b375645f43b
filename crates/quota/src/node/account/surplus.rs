//! What goes back to the owner.

use crate::NodeTime;
use crate::node::account::Account;
use crate::node::units::signed;

impl Account {
    /// Idle units worth keeping while nobody else needs them: some time's demand, enough for the next requests of a
    /// counter that is seldom asked for, and half of them each time, for those that follow a pause: the owner may be
    /// out of reach by then.
    pub(in crate::node) fn worth_keeping(&self, now: NodeTime, ahead_ms: u64) -> u64 {
        let ahead = self.demand(now).saturating_mul(ahead_ms) / 1_000;
        if self.is_windowed() {
            let half = self.avail.max(0).unsigned_abs() / 2;
            ahead.max(self.usual.saturating_mul(2)).max(half)
        } else {
            // Idle units keep others from coming in.
            ahead
        }
    }

    /// Gives idle units above `keep` back to the owner: they leave `avail` before they are told (R5). Units of
    /// earlier epochs have nobody to go to. What the process was promised goes last, and only if `all` is to go: it is
    /// there for a time when nothing else is. True if any moved.
    pub(in crate::node) fn give_back(&mut self, keep: u64, all: bool) -> bool {
        let epoch = self.term(self.epoch);
        let surplus = self.avail.saturating_sub(signed(keep)).max(0);
        let Some(at) = self.ledgers.iter().position(|l| l.epoch == epoch) else {
            return false;
        };
        let moved = surplus.min(self.ledgers[at].avail()).max(0);
        self.ledgers[at].returned += moved.unsigned_abs();
        let back = if all {
            self.give_back_promised(surplus - moved)
        } else {
            0
        };
        self.ledgers[at].promised_back += back;
        let moved = moved.saturating_add_unsigned(back);
        self.avail -= moved;
        moved > 0
    }
}
