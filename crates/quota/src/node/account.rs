use std::collections::VecDeque;

use crate::node::{RequestId, Why};
use crate::{Counter, Epoch, Generation, NodeTime, OwnerAccount, Window};

/// Time constant of the demand estimate, in seconds.
const DEMAND_TAU_S: f64 = 1.0;
/// Demand below this many units per second counts as none.
const DEMAND_FLOOR: f64 = 0.05;

/// Units asked for per second: every unit adds `1/tau` and the sum decays with time constant `tau`,
/// whose expectation under steady arrivals is their rate.
#[derive(Debug, Clone, Copy)]
struct Demand {
    rate: f64,
    at: NodeTime,
}

impl Demand {
    fn read(self, now: NodeTime) -> f64 {
        match now.since(self.at) {
            // Not worth a power.
            _ if self.rate < DEMAND_FLOOR => 0.0,
            0 => self.rate,
            ms => self.rate * (-(ms as f64) / (1_000.0 * DEMAND_TAU_S)).exp(),
        }
    }

    fn add(&mut self, now: NodeTime, units: u64) {
        self.rate = self.read(now) + units as f64 / DEMAND_TAU_S;
        self.at = now;
    }
}

/// Totals of one account under one epoch. All four but `held` only rise (R3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Ledger {
    pub(super) epoch: Epoch,
    pub(super) seen: u64,
    pub(super) returned: u64,
    pub(super) spent: u64,
    /// Reserved: outstanding, but may still come back (R9).
    held: u64,
}

impl Ledger {
    fn avail(&self) -> i64 {
        signed(self.seen) - signed(self.returned) - signed(self.spent) - signed(self.held)
    }
}

/// Counts stay far below 2^63; one that does not is cut off rather than wrapped.
fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// Units taken from one epoch's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) epoch: Epoch,
    pub(super) units: u64,
}

/// Units taken for one ask, oldest epoch first. Nearly always one piece.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    first: Option<Piece>,
    rest: Vec<Piece>,
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        match self.first {
            None => self.first = Some(piece),
            Some(_) => self.rest.push(piece),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Piece> + '_ {
        self.first.iter().chain(&self.rest).copied()
    }
}

/// What the owner last said of an account beyond totals; the highest (epoch, version) wins.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    at: (Epoch, u64),
    exhausted_above: Option<u64>,
    keep: Option<u64>,
    pub(super) limit: u64,
    pub(super) remaining: u64,
}

/// Between which readings of the node's clock a window ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowEnd {
    pub(super) earliest: NodeTime,
    pub(super) latest: NodeTime,
}

/// One counter at this node: the ledgers of its newest window, and who waits for it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) counter: Counter,
    /// Distinguishes this account from another that had its place before.
    pub(super) serial: u64,
    /// Grants up to this window are refused: an account of them may have been forgotten (R3).
    floor: Window,
    pub(super) window: Window,
    /// When units of `window` stop being usable: the best of the estimates so far, each of which is
    /// early (R6). 0 while nothing was heard.
    pub(super) deadline: NodeTime,
    /// By when the window is certainly over: the best of the estimates so far, each of which is late.
    over_at: NodeTime,
    /// Size of the latest ask: what a next request is likely to need.
    usual: u64,
    /// Ascending by epoch. Units of earlier epochs stay usable, but nobody takes them back.
    ledgers: Vec<Ledger>,
    /// Sum of the ledgers' idle units; negative for debt.
    avail: i64,
    pub(super) told: Told,
    demand: Demand,
    /// Requests that lack units of this counter, oldest first.
    pub(super) queue: VecDeque<RequestId>,
    /// Changed since it was last reported.
    pub(super) dirty: bool,
    /// The need that was last reported.
    pub(super) said_need: u64,
    /// Below this the node asks for more before it runs dry.
    low: i64,
    /// That question is under way.
    asked: bool,
}

impl Account {
    pub(super) fn new(counter: Counter, serial: u64, floor: Window, now: NodeTime) -> Self {
        Self {
            counter,
            serial,
            floor,
            window: Window(0),
            deadline: NodeTime(0),
            over_at: NodeTime(0),
            usual: 0,
            ledgers: Vec::new(),
            avail: 0,
            told: Told::default(),
            demand: Demand { rate: 0.0, at: now },
            queue: VecDeque::new(),
            dirty: false,
            said_need: 0,
            low: 0,
            asked: false,
        }
    }

    pub(super) fn is_open(&self, now: NodeTime) -> bool {
        now < self.deadline
    }

    pub(super) fn avail(&self) -> i64 {
        self.avail
    }

    pub(super) fn note_demand(&mut self, now: NodeTime, units: u64) {
        self.demand.add(now, units);
        self.usual = units;
    }

    /// Idle units worth keeping while nobody else needs them: some time's demand, and enough for the
    /// next requests of a counter that is seldom asked for.
    pub(super) fn worth_keeping(&self, now: NodeTime, ahead_ms: u64) -> u64 {
        let ahead = self.demand(now).saturating_mul(ahead_ms) / 1_000;
        ahead.max(self.usual.saturating_mul(2))
    }

    /// Units per second, rounded up; 0 when next to nothing.
    pub(super) fn demand(&self, now: NodeTime) -> u64 {
        let rate = self.demand.read(now);
        if rate < DEMAND_FLOOR {
            0
        } else {
            rate.ceil() as u64
        }
    }

    /// Moves `units` from idle to held, all or none.
    pub(super) fn take(&mut self, now: NodeTime, units: u64) -> Option<Pieces> {
        if !self.is_open(now) || self.avail < signed(units) {
            return None;
        }
        let mut pieces = Pieces::default();
        let mut missing = units;
        for ledger in &mut self.ledgers {
            let part = missing.min(ledger.avail().max(0).unsigned_abs());
            if part > 0 {
                ledger.held += part;
                missing -= part;
                pieces.push(Piece {
                    epoch: ledger.epoch,
                    units: part,
                });
            }
        }
        self.avail -= signed(units);
        self.told.remaining = self.told.remaining.saturating_sub(units);
        Some(pieces)
    }

    /// Moves held units back to idle.
    pub(super) fn put_back(&mut self, pieces: &Pieces) {
        for piece in pieces.iter() {
            self.release(piece, 0);
        }
    }

    /// Ends a hold: `actual` units are spent, oldest epoch first, the rest is idle again. What goes
    /// beyond the hold becomes debt. Returns (spent, refunded, overrun).
    pub(super) fn settle(&mut self, pieces: &Pieces, actual: u64) -> (u64, u64, u64) {
        let (mut left, mut refunded) = (actual, 0);
        for piece in pieces.iter() {
            let spent = left.min(piece.units);
            self.release(piece, spent);
            left -= spent;
            refunded += piece.units - spent;
        }
        match self.ledgers.last_mut() {
            Some(ledger) if left > 0 => {
                ledger.spent += left;
                self.avail -= signed(left);
                self.told.remaining = self.told.remaining.saturating_sub(left);
            }
            _ => {}
        }
        (actual - left, refunded, left)
    }

    fn release(&mut self, piece: Piece, spent: u64) {
        if let Some(ledger) = self.ledgers.iter_mut().find(|l| l.epoch == piece.epoch) {
            ledger.held -= piece.units;
            ledger.spent += spent;
            self.avail += signed(piece.units - spent);
            self.told.remaining += piece.units - spent;
        }
    }

    /// Gives idle units above `keep` back to the owner of `epoch`: they leave `avail` before they are
    /// told (R5). Units of other epochs have nobody to go to. True if any moved.
    pub(super) fn give_back(&mut self, epoch: Epoch, keep: u64) -> bool {
        let surplus = self.avail.saturating_sub(signed(keep)).max(0);
        let Some(ledger) = self.ledgers.iter_mut().find(|l| l.epoch == epoch) else {
            return false;
        };
        let moved = surplus.min(ledger.avail()).max(0);
        ledger.returned += moved.unsigned_abs();
        self.avail -= moved;
        moved > 0
    }

    /// What the owner wants kept, if it set a bound.
    pub(super) fn keep(&self) -> Option<u64> {
        self.told.keep
    }

    /// True once, when idle units have run low and more could be had.
    pub(super) fn runs_low(&mut self) -> bool {
        let low = !self.asked && self.avail <= self.low && self.told.exhausted_above.is_none();
        self.asked |= low;
        low
    }

    /// Why a request for `units` that cannot be taken now is hopeless, if it is.
    pub(super) fn hopeless(&self, now: NodeTime, units: u64) -> Option<Why> {
        if !self.is_open(now) {
            return None;
        }
        let limit = self.told.limit;
        if units > limit {
            return Some(Why::TooLarge { limit });
        }
        let short = signed(units)
            .saturating_sub(self.avail)
            .max(0)
            .unsigned_abs();
        // No owner can ever give more than the limit: beyond it lies only debt.
        let above = self.told.exhausted_above.unwrap_or(limit);
        (short > above).then(|| Why::Exhausted {
            limit,
            retry_after_ms: self.over_at.since(now).max(1),
        })
    }

    /// Units missing for the oldest waiting request of `units`, or to pay the debt.
    pub(super) fn need(&self, now: NodeTime, units: Option<u64>) -> u64 {
        match units {
            // What is idle, or owed, in a window that may be over does not count in the next.
            units if !self.is_open(now) => units.unwrap_or(0),
            units => (signed(units.unwrap_or(0)) - self.avail)
                .max(0)
                .unsigned_abs(),
        }
    }

    /// Takes in the owner's state of this account. False when it is of a window or generation that is
    /// refused from now on.
    pub(super) fn hear(&mut self, epoch: Epoch, told: &OwnerAccount, end: WindowEnd) -> bool {
        let over = told.window <= self.floor || told.window < self.window;
        if over || told.generation != Generation::FIRST {
            return false;
        }
        if told.window > self.window {
            self.roll(told.window);
        }
        self.deadline = self.deadline.max(end.earliest);
        self.over_at = self.over_at.min(end.latest);
        self.credit(epoch, told.granted);
        if (epoch, told.version) >= self.told.at {
            self.told = Told {
                at: (epoch, told.version),
                exhausted_above: told.exhausted_above,
                keep: told.keep,
                limit: told.limit,
                remaining: told.remaining,
            };
        }
        self.asked = false;
        true
    }

    /// Everything of the earlier window is void: its units bear its label, and nothing that is said
    /// about it will be heard again (R3, R8).
    fn roll(&mut self, window: Window) {
        self.window = window;
        self.deadline = NodeTime(0);
        self.over_at = NodeTime(u64::MAX);
        self.ledgers.clear();
        self.avail = 0;
        self.told = Told::default();
        self.low = 0;
    }

    fn credit(&mut self, epoch: Epoch, granted: u64) {
        let at = self.ledgers.partition_point(|l| l.epoch < epoch);
        if self.ledgers.get(at).is_none_or(|l| l.epoch != epoch) {
            self.ledgers.insert(
                at,
                Ledger {
                    epoch,
                    seen: 0,
                    returned: 0,
                    spent: 0,
                    held: 0,
                },
            );
        }
        let ledger = &mut self.ledgers[at];
        // A total: an old or repeated message changes nothing.
        let fresh = granted.saturating_sub(ledger.seen);
        if fresh > 0 {
            ledger.seen = granted;
            self.avail += signed(fresh);
            self.low = signed(fresh) / 10;
        }
    }

    /// The ledger of `epoch`, if that owner was heard in this window.
    pub(super) fn ledger(&self, epoch: Epoch) -> Option<&Ledger> {
        self.ledgers.iter().find(|l| l.epoch == epoch)
    }

    /// The highest version obeyed of what the owner of `epoch` said.
    pub(super) fn answered(&self, epoch: Epoch) -> u64 {
        if self.told.at.0 == epoch {
            self.told.at.1
        } else {
            0
        }
    }

    /// Whether totals were reported that the owner might have missed.
    pub(super) fn is_accountable(&self, now: NodeTime) -> bool {
        self.is_open(now) && self.ledgers.iter().any(|ledger| ledger.seen > 0)
    }

    /// Whether every heartbeat has to speak of it: someone wants units, or what the owner said binds
    /// this node until it is taken back.
    pub(super) fn is_busy(&self, now: NodeTime) -> bool {
        !self.queue.is_empty() || (self.is_bounded() && self.is_open(now)) || self.demand(now) > 0
    }

    /// Whether the owner has said anything that binds this node.
    pub(super) fn is_bounded(&self) -> bool {
        self.told.exhausted_above.is_some() || self.told.keep.is_some()
    }

    /// Whether units are here, idle, owed or held.
    pub(super) fn has_units(&self, now: NodeTime) -> bool {
        self.is_open(now) && (self.avail != 0 || self.ledgers.iter().any(|l| l.held > 0))
    }
}
