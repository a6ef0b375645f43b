mod coming;
mod promised;
mod surplus;

use promised::Standing;
use smallvec::SmallVec;

use crate::node::Config;
use crate::node::mark::Mark;
use crate::node::units::{
    Bounds, DEMAND_FLOOR, Demand, Label, Ledger, Piece, Pieces, Queue, WindowEnd, signed,
};
use crate::{Coming, Counter, Epoch, Generation, Kind, LONGEST_LEASE_MS, NodeTime, OwnerAccount};

/// An account is forgotten this long after its deadline, in milliseconds: by then its window is over
/// on any owner's clock, so refusing that window for fresh accounts costs nothing.
const FORGET_AFTER_MS: u64 = 2_000;

/// One counter at this node: the ledgers of its newest window, and who waits for it.
///
/// What every request looks at lies together in the first 256 bytes: where there are very many counters, a request
/// waits for each part of an account that is in no cache.
#[derive(Debug, Clone)]
#[repr(C, align(128))]
pub(super) struct Account {
    /// Distinguishes this account from another that had its place before.
    pub(super) serial: u64,
    /// When units of `label` stop being usable: the best of the estimates so far, each of which is
    /// early (R6). 0 while nothing was heard.
    pub(super) deadline: NodeTime,
    /// Sum of the ledgers' idle units; negative for debt.
    avail: i64,
    demand: Demand,
    /// Size of the latest ask: what a next request is likely to need.
    usual: u64,
    /// How the counter's text begins.
    pub(super) prefix: u128,

    pub(super) label: Label,
    /// The limit, and what the fleet can still admit, as the owner said.
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Below this the node asks for more before it runs dry.
    low: i64,
    said_spent: u64,
    /// What was spent and held then.
    said_used: u64,
    /// What the owner said that binds this node.
    pub(super) bounds: Option<Box<Bounds>>,

    /// Ascending by epoch. Units of earlier epochs stay usable, but nobody takes them back.
    ledgers: SmallVec<[Ledger; 1]>,
    /// Requests that lack units of this counter, oldest first.
    pub(super) queue: Queue,

    /// How far the journal lets this process go, where one is kept.
    pub(super) mark: Option<Mark>,
    /// A question for more is under way.
    asked: bool,
    /// Changed since it was last reported.
    pub(super) dirty: bool,
    /// The counter's.
    kind: Kind,

    pub(super) counter: Counter,
    /// The highest epoch of its owners. Counters have owners of their own, whose epochs say nothing of each other.
    pub(super) epoch: Epoch,
    /// Orders what the owner says beyond totals: the highest (epoch, version) so far.
    pub(super) told_at: (Epoch, u64),
    pub(super) heard_at: NodeTime,
    /// Grants up to this label are refused: an account of them may have been forgotten (R3).
    floor: Label,
    /// By when the window is certainly over: the best of the estimates so far, each of which is late.
    pub(super) over_at: NodeTime,
    /// The need that was last reported.
    pub(super) said_need: u64,
    /// When it was last reported.
    reported_at: NodeTime,
    /// What the process is promised of windows to come.
    standing: Option<Box<Standing>>,
}

impl Account {
    pub(super) fn new(counter: Counter, serial: u64, floor: Label, now: NodeTime) -> Self {
        Self {
            serial,
            prefix: counter.prefix(),
            kind: counter.kind(),
            counter,
            floor,
            label: Label::default(),
            epoch: Epoch::default(),
            deadline: NodeTime(0),
            over_at: NodeTime(0),
            usual: 0,
            ledgers: SmallVec::new(),
            avail: 0,
            limit: 0,
            remaining: 0,
            bounds: None,
            told_at: (Epoch::default(), 0),
            heard_at: NodeTime(0),
            demand: Demand { rate: 0.0, at: now },
            queue: Queue::default(),
            dirty: false,
            said_need: 0,
            reported_at: NodeTime(0),
            said_spent: 0,
            said_used: 0,
            low: 0,
            asked: false,
            mark: None,
            standing: None,
        }
    }

    /// The ledger that an owner of that epoch grants to: one for all where it outlives terms.
    fn term(&self, epoch: Epoch) -> Epoch {
        if self.kind.is_ledger() {
            Epoch::default()
        } else {
            epoch
        }
    }

    /// Units reserved or spent, over all ledgers.
    pub(super) fn used(&self) -> u64 {
        let used = self.ledgers.iter().map(|ledger| ledger.spent + ledger.held);
        used.sum()
    }

    /// Units that this process has or had, over all ledgers.
    pub(super) fn held_at_most(&self) -> u64 {
        let had = self.ledgers.iter();
        had.map(|ledger| ledger.seen.saturating_sub(ledger.returned))
            .sum()
    }

    /// Size of the latest ask.
    pub(super) fn usual(&self) -> u64 {
        self.usual
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

    /// Units per second, rounded up; 0 when next to nothing.
    pub(super) fn demand(&self, now: NodeTime) -> u64 {
        let rate = self.demand.read(now);
        if rate < DEMAND_FLOOR {
            0
        } else {
            rate.ceil() as u64
        }
    }

    /// Whether so many units can be taken now.
    pub(super) fn has(&self, now: NodeTime, units: u64) -> bool {
        self.is_open(now)
            && self.avail >= signed(units)
            && self.mark.is_none_or(|mark| mark.allows(self, units))
    }

    /// Moves `units` from idle to held, all or none.
    pub(super) fn take(&mut self, now: NodeTime, units: u64) -> Option<Pieces> {
        if !self.has(now, units) {
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
        self.remaining = self.remaining.saturating_sub(units);
        Some(pieces)
    }

    pub(super) fn is_windowed(&self) -> bool {
        self.kind.is_windowed()
    }

    /// The generation of what the owner granted.
    pub(super) fn generation(&self) -> Generation {
        if self.label.epoch == self.epoch {
            self.label.generation
        } else {
            Generation::FIRST
        }
    }

    /// How long a report of what was taken and spent may wait for others, in milliseconds. It matters where some are
    /// refused for want of units, or where it is much of the limit: without windows, what is spent keeps others from
    /// coming in until it is reported. Else, where windows end, the next heartbeat says it soon enough.
    pub(super) fn patience_ms(&self, config: &Config) -> u64 {
        let unsaid = self.spent().saturating_sub(self.said_spent);
        let matters = self.is_bounded() || unsaid.saturating_mul(64) >= self.limit;
        match (self.is_windowed(), matters) {
            (true, true) | (false, false) => config.relaxed_ms,
            (true, false) => config.heartbeat_ms,
            (false, true) => (self.kind.window_ms() / 500).clamp(1, config.relaxed_ms),
        }
    }

    /// Units spent under the label, whoever granted them.
    pub(super) fn spent(&self) -> u64 {
        self.ledgers.iter().map(|ledger| ledger.spent).sum()
    }

    /// Notes that the account is reported now, with that need.
    pub(super) fn reported(&mut self, now: NodeTime, need: u64) {
        self.dirty = false;
        self.reported_at = now;
        self.said_need = need;
        self.said_spent = self.spent();
        self.said_used = self.used();
    }

    /// Whether all that was ever said of it is refused by a fresh account, or cannot be used by one.
    pub(super) fn is_forgettable(&self, now: NodeTime) -> bool {
        let idle = self.queue.is_empty() && self.demand(now) == 0;
        let held = self.ledgers.iter().any(|ledger| ledger.held > 0);
        // The longer the window, the earlier the deadline: drift is allowed for.
        let over = if self.is_windowed() {
            self.deadline.max(self.over_at).max(self.promised_until())
        } else {
            self.deadline
        };
        let over = over.after(FORGET_AFTER_MS);
        idle && now >= over
            && (self.is_windowed()
                || !held && now >= self.reported_at.after(LONGEST_LEASE_MS + FORGET_AFTER_MS))
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
                self.remaining = self.remaining.saturating_sub(left);
            }
            _ => {}
        }
        (actual - left, refunded, left)
    }

    /// Turns up to `units` of a hold spent, oldest epoch first. Answers how many.
    pub(super) fn spend(&mut self, pieces: &mut Pieces, units: u64) -> u64 {
        let mut left = units;
        for piece in pieces.iter_mut() {
            let spent = left.min(piece.units);
            let ledger = self.ledgers.iter_mut().find(|l| l.epoch == piece.epoch);
            if let Some(ledger) = ledger {
                ledger.held -= spent;
                ledger.spent += spent;
            }
            piece.units -= spent;
            left -= spent;
        }
        units - left
    }

    fn release(&mut self, piece: Piece, spent: u64) {
        if let Some(ledger) = self.ledgers.iter_mut().find(|l| l.epoch == piece.epoch) {
            ledger.held -= piece.units;
            ledger.spent += spent;
            self.avail += signed(piece.units - spent);
            self.remaining += piece.units - spent;
        }
    }

    /// What the owner wants kept, if it set a bound.
    pub(super) fn keep(&self) -> Option<u64> {
        self.bounds.as_ref()?.keep
    }

    /// True once, when idle units have run low and more could be had.
    pub(super) fn runs_low(&mut self) -> bool {
        let low = !self.asked && self.avail <= self.low && self.exhausted_above().is_none();
        self.asked |= low;
        low
    }

    /// The most that the owner can give besides what is here, where it said so.
    fn exhausted_above(&self) -> Option<u64> {
        self.bounds.as_ref()?.exhausted_above
    }

    /// When more can be had, as the owner said, counted from `heard_at`.
    fn coming(&self) -> &[Coming] {
        self.bounds.as_ref().map_or(&[], |bounds| &bounds.coming)
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
    pub(super) fn hear(
        &mut self,
        (epoch, now): (Epoch, NodeTime),
        told: &OwnerAccount,
        end: WindowEnd,
    ) -> bool {
        let label = if self.is_windowed() {
            Label::of(told.window)
        } else {
            Label {
                epoch,
                generation: told.generation,
                ..Label::default()
            }
        };
        // Units that end with their window are never written off.
        let stray = self.is_windowed() && told.generation != Generation::FIRST;
        // A lease that is over brings nothing new, and an account that was forgotten since may have spent its units (R3).
        let late = !self.is_windowed() && label > self.label && end.earliest <= now;
        if stray || late || label <= self.floor || label < self.label {
            return false;
        }
        if label > self.label {
            self.roll(label);
        }
        self.credit_promised();
        self.epoch = self.epoch.max(epoch);
        self.deadline = self.deadline.max(end.earliest);
        self.over_at = self.over_at.min(end.latest);
        self.credit(epoch, told.granted);
        if (epoch, told.version) >= self.told_at {
            self.note(epoch, now, told);
            // What was used since the last report is not known to the owner.
            let known = told.remaining.saturating_add(self.said_used);
            self.remaining = known.saturating_sub(self.used()).min(told.limit);
        }
        self.asked = false;
        true
    }

    /// Keeps what an owner of that epoch said at that time beyond totals.
    pub(super) fn note(&mut self, epoch: Epoch, heard_at: NodeTime, told: &OwnerAccount) {
        self.told_at = (epoch, told.version);
        self.heard_at = heard_at;
        self.limit = told.limit;
        self.remaining = told.remaining;
        self.bounds = Bounds::of(told);
    }

    /// Everything of the earlier label is void: its units bear it, and nothing that is said
    /// about it will be heard again (R3, R8).
    fn roll(&mut self, label: Label) {
        self.label = label;
        self.deadline = NodeTime(0);
        self.over_at = NodeTime(u64::MAX);
        self.ledgers.clear();
        self.avail = 0;
        self.told_at = (Epoch::default(), 0);
        self.heard_at = NodeTime(0);
        self.limit = 0;
        self.remaining = 0;
        self.bounds = None;
        self.low = 0;
        self.mark = self.mark.map(Mark::rolled);
        (self.said_spent, self.said_used) = (0, 0);
    }

    fn credit(&mut self, epoch: Epoch, granted: u64) {
        let epoch = self.term(epoch);
        let at = self.ledgers.partition_point(|l| l.epoch < epoch);
        if self.ledgers.get(at).is_none_or(|l| l.epoch != epoch) {
            self.ledgers.insert(at, Ledger::new(epoch));
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

    pub(super) fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        self.ledgers.iter()
    }

    /// Has these ledgers, ascending by epoch, in which nothing is held.
    pub(super) fn take_over(&mut self, ledgers: impl Iterator<Item = Ledger>) {
        self.ledgers = ledgers.collect();
        self.avail = self.ledgers.iter().map(Ledger::avail).sum();
    }

    /// The owner's ledger, if it was heard in this window.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        let epoch = self.term(self.epoch);
        self.ledgers.iter().find(|l| l.epoch == epoch)
    }

    /// The highest version obeyed of what the owner of `epoch` said.
    pub(super) fn answered(&self, epoch: Epoch) -> u64 {
        if self.told_at.0 == epoch {
            self.told_at.1
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
        self.bounds.is_some()
    }

    /// Whether units are here, idle, owed or held.
    pub(super) fn has_units(&self, now: NodeTime) -> bool {
        self.is_open(now) && (self.avail != 0 || self.ledgers.iter().any(|l| l.held > 0))
    }
}
