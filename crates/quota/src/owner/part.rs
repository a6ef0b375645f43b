//! Those who share a counter.
//!
//! Where policy says so, nodes ask for the units of a counter in the name of one of those who share it. All parts are
//! one account and draw on the same units, so that alone somebody can have them all, and no more than the limit is ever
//! out. While they want more together than there is, each may go up to its [`Level`] only: who has more already is
//! refused, and what is left is there for those who have less.
//!
//! What somebody will want is what it asks for now, or has asked for lately, for as long as the window lasts. So what
//! is kept for those who are expected shrinks as the window goes by, and nothing is left over in its end. A part with a
//! share of its own is expected to want that.

use std::collections::{BTreeMap, BTreeSet};

use crate::owner::account::{Account, Context, Wishes};
use crate::owner::few::Few;
use crate::owner::level::{Claim, Level};
use crate::owner::row::Row;
use crate::{Coming, Counter, Incarnation, OwnerTime};

/// Shares are looked at again no sooner than this, in milliseconds.
const SHARES_EVERY_MS: u64 = 20;
/// Most who share a counter at a time. Further ones are not answered.
const MOST_PARTS: usize = 10_000;
/// So many of them are shown.
const MOST_SHOWN: usize = 10;
/// What was asked for counts for a window, and for so long at least, in milliseconds.
const SHORTEST_MEMORY_MS: u64 = 10_000;
/// A node that wants units speaks of them with every heartbeat: a word on demand says nothing of the time before.
const HEARTBEAT_MS: u64 = 1_000;
/// Demand that comes and goes is counted with so much to spare.
const SPARE: f64 = 2.0;

/// One who holds units of an account: a process, in the name of one of those who share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    /// Which of the account's parts; 0 where nobody is named.
    part: u32,
    pub(super) incarnation: Incarnation,
}

impl Holder {
    /// A process that asks in nobody's name.
    pub(super) fn whole(incarnation: Incarnation) -> Self {
        Self {
            part: 0,
            incarnation,
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.part == 0
    }
}

/// The parts of an account, by their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    by_number: Few<u32, Part>,
    last: u32,
    /// When it was worked out up to where each may go; none while somebody is not counted in.
    shared_out_at: Option<OwnerTime>,
    /// Of what is asked for in nobody's name.
    nameless: Stand,
}

/// What a part has, and up to where it may go; none where there is enough for all.
#[derive(Debug, Clone, Copy, Default)]
struct Stand {
    has: u64,
    most: Option<u64>,
}

#[derive(Debug, Clone)]
struct Part {
    name: Counter,
    /// Units asked for, and units spent.
    asked: Recent,
    spent: Recent,
    memory_ms: u64,
    stand: Stand,
}

/// A sum of which what is old counts less and less: by 1/e after the length of the memory.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    sum: f64,
    at: OwnerTime,
}

impl Recent {
    fn read(self, now: OwnerTime, memory_ms: u64) -> f64 {
        let age = now.since(self.at) as f64 / memory_ms as f64;
        self.sum * (-age).exp()
    }

    fn add(&mut self, now: OwnerTime, memory_ms: u64, units: f64) {
        self.sum = self.read(now, memory_ms) + units;
        self.at = now;
    }
}

impl Parts {
    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// The counter that a holder's node speaks of, where that is a part.
    pub(super) fn name(&self, holder: Holder) -> Option<&Counter> {
        Some(&self.by_number.get(&holder.part)?.name)
    }

    fn find(&self, name: &Counter) -> Option<u32> {
        let mut parts = self.by_number.iter();
        parts.find_map(|(number, part)| (part.name == *name).then_some(*number))
    }

    fn enter(&mut self, name: &Counter) -> Option<u32> {
        if let Some(number) = self.find(name) {
            return Some(number);
        }
        if self.by_number.len() >= MOST_PARTS {
            return None;
        }
        self.last += 1;
        let part = Part {
            name: name.clone(),
            asked: Recent::default(),
            spent: Recent::default(),
            memory_ms: name.kind().window_ms().max(SHORTEST_MEMORY_MS),
            stand: Stand::default(),
        };
        self.shared_out_at = None;
        self.by_number.insert(self.last, part);
        Some(self.last)
    }

    fn stand(&self, holder: Holder) -> Stand {
        let part = self.by_number.get(&holder.part);
        part.map_or(self.nameless, |part| part.stand)
    }

    /// Notes that so many units go out.
    pub(super) fn take(&mut self, holder: Holder, units: u64) {
        let stand = match self.by_number.get_mut(&holder.part) {
            Some(part) => &mut part.stand,
            None => &mut self.nameless,
        };
        stand.has = stand.has.saturating_add(units);
    }

    /// Notes the demand of which a holder speaks, for the time since it last did, and what it has spent since.
    pub(super) fn note(
        &mut self,
        now: OwnerTime,
        holder: Holder,
        (demand, since_ms): (u64, u64),
        spent: u64,
    ) {
        if let Some(part) = self.by_number.get_mut(&holder.part) {
            let seconds = since_ms.min(HEARTBEAT_MS) as f64 / 1_000.0;
            part.asked.add(now, part.memory_ms, demand as f64 * seconds);
            let window_ms = part.name.kind().window_ms();
            part.spent.add(now, window_ms, spent as f64);
        }
    }
}

/// One of those who share a counter, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// Whose part it is ([`Counter::who`]).
    pub who: Box<str>,
    /// Units that it has used and still count.
    pub used: u64,
    /// Up to where it may go while others want what is left; none while there is enough for all.
    pub most: Option<u64>,
    /// Requests that wait for it.
    pub waiting: u32,
}

/// What the rows of one part come to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// Units that went out and did not come back; where no window ends, of those that are not spent.
    out: u64,
    idle: u64,
    need: u64,
    demand: u64,
}

impl Sum {
    fn add(&mut self, row: &Row, windowed: bool) {
        self.out += if windowed {
            row.granted - row.returned
        } else {
            row.outstanding()
        };
        self.idle = self.idle.saturating_add(row.idle());
        self.need = self.need.saturating_add(row.need);
        self.demand = self.demand.saturating_add(row.demand);
    }
}

impl Account {
    /// The holder that speaks of a counter, which is this account's or a part of it. None where there are too many
    /// parts, or the charge is kept by rows, which know no parts.
    pub(super) fn enter(&mut self, counter: &Counter, incarnation: Incarnation) -> Option<Holder> {
        if counter.who().is_empty() {
            return Some(Holder::whole(incarnation));
        }
        if self.keeping.grants_by_writing() {
            return None;
        }
        let part = self.parts.enter(counter)?;
        Some(Holder { part, incarnation })
    }

    /// The same, where it is known.
    pub(super) fn holder(&self, counter: &Counter, incarnation: Incarnation) -> Option<Holder> {
        if counter.who().is_empty() {
            return Some(Holder::whole(incarnation));
        }
        let part = self.parts.find(counter)?;
        Some(Holder { part, incarnation })
    }

    /// Forgets parts of which nobody holds or wants anything.
    pub(super) fn forget_parts(&mut self, now: OwnerTime) {
        let spoken: BTreeSet<u32> = self.rows.keys().map(|holder| holder.part).collect();
        self.parts.by_number.retain(|number, part| {
            let recent = |sum: Recent| sum.read(now, part.memory_ms);
            spoken.contains(number) || recent(part.asked) + recent(part.spent) > 0.5
        });
    }

    /// Works out up to where each part may go; once in a millisecond at most, unless somebody new is there.
    pub(super) fn share_out(&mut self, context: &Context<'_>) {
        if self.parts.is_empty() || self.parts.shared_out_at == Some(context.now) {
            return;
        }
        let claims = self.claims(context);
        let total = claims
            .values()
            .fold(0u64, |sum, it| sum.saturating_add(it.has));
        let total = total.saturating_add(self.keeping.free_total(context));
        let claimed: Vec<Claim> = claims
            .values()
            .copied()
            .chain(self.expected(context))
            .collect();
        let level = Level::of(&claimed, total);
        self.parts.shared_out_at = Some(context.now);
        for (number, claim) in claims {
            let stand = Stand {
                has: claim.has,
                most: level.most(claim.weight),
            };
            match self.parts.by_number.get_mut(&number) {
                Some(part) => part.stand = stand,
                None => self.parts.nameless = stand,
            }
        }
    }

    /// What each part has and wants, by its number.
    fn claims(&self, context: &Context<'_>) -> BTreeMap<u32, Claim> {
        let windowed = self.keeping.ends_at().is_some();
        // A part of which nobody speaks now may still be expected.
        let numbers = self.parts.by_number.keys().copied();
        let mut sums: BTreeMap<u32, Sum> = numbers.map(|it| (it, Sum::default())).collect();
        for (holder, row) in self.rows.iter() {
            sums.entry(holder.part).or_default().add(row, windowed);
        }
        let claims = sums.into_iter().map(|(number, sum)| {
            let part = self.parts.by_number.get(&number);
            let weight = self.weight(context, part);
            (number, self.claim(context, part, weight, sum))
        });
        claims.collect()
    }

    /// What those are sure of of whom nothing was heard.
    fn expected(&self, context: &Context<'_>) -> Vec<Claim> {
        let heard = |who: &str| {
            let mut parts = self.parts.by_number.values();
            parts.any(|part| part.name.who() == who)
        };
        let others = context.shares.iter().filter(|(who, _)| !heard(who));
        others
            .map(|(_, share)| self.claim(context, None, *share, Sum::default()))
            .collect()
    }

    fn claim(&self, context: &Context<'_>, part: Option<&Part>, weight: u32, sum: Sum) -> Claim {
        let asked = part.map_or(0.0, |part| part.asked.read(context.now, part.memory_ms));
        let Some(end) = self.keeping.ends_at() else {
            // Whoever goes on asking as it did is to have as much again.
            let window_ms = self.counter.kind().window_ms();
            let spent = part.map_or(0.0, |part| part.spent.read(context.now, window_ms));
            let has = sum.out.saturating_add(spent as u64);
            let wants = (asked.ceil() as u64).saturating_add(sum.need).max(has);
            return Claim { has, wants, weight };
        };
        let memory_s = part.map_or(1.0, |part| part.memory_ms as f64 / 1_000.0);
        let mut rate = (asked * SPARE / memory_s).max(sum.demand as f64);
        if !context.shares.is_empty() {
            let limit = self.keeping.limit(context).unwrap_or(0) as f64;
            let window_s = self.counter.kind().window_ms() as f64 / 1_000.0;
            rate = rate.max(limit * f64::from(weight) / 100.0 / window_s);
        }
        let left_s = end.since(context.now) as f64 / 1_000.0;
        let comes = (rate * left_s).ceil() as u64;
        let used = sum.out.saturating_sub(sum.idle);
        let wants = used.saturating_add(sum.need).saturating_add(comes);
        Claim {
            has: sum.out,
            wants: wants.max(sum.out),
            weight,
        }
    }

    /// The weight of a part: one like the others', or what it is sure of in per cent.
    fn weight(&self, context: &Context<'_>, part: Option<&Part>) -> u32 {
        if context.shares.is_empty() {
            return 1;
        }
        let who = part.map_or("", |part| part.name.who());
        let share = context.shares.iter().find(|(name, _)| **name == *who);
        share.map_or(0, |(_, percent)| *percent)
    }

    /// How much a holder may be given besides what its part has.
    pub(super) fn room(&self, holder: Holder) -> u64 {
        let Stand { has, most } = self.parts.stand(holder);
        most.map_or(u64::MAX, |most| most.saturating_sub(has))
    }

    /// Those who use most of the counter, most first.
    pub(super) fn sharers(&self, context: &Context<'_>) -> Vec<Sharer> {
        let window_ms = self.counter.kind().window_ms();
        let windowed = self.keeping.ends_at().is_some();
        let mut sums: BTreeMap<u32, (Sum, u32)> = BTreeMap::new();
        for (holder, row) in self.rows.iter() {
            let (sum, waiting) = sums.entry(holder.part).or_default();
            sum.add(row, windowed);
            *waiting = waiting.saturating_add(row.waiters);
        }
        let parts = self.parts.by_number.iter();
        let mut sharers: Vec<_> = parts
            .map(|(number, part)| {
                let (sum, waiting) = sums.get(number).copied().unwrap_or_default();
                // Where no window ends, what is spent is out no more.
                let spent = if windowed {
                    0
                } else {
                    part.spent.read(context.now, window_ms) as u64
                };
                Sharer {
                    who: part.name.who().into(),
                    used: sum.out.saturating_sub(sum.idle).saturating_add(spent),
                    most: part.stand.most,
                    waiting,
                }
            })
            .collect();
        sharers.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.who.cmp(&b.who)));
        sharers.truncate(MOST_SHOWN);
        sharers
    }

    /// Up to where the holder's part may go, where it may not go on.
    pub(super) fn share_of(&self, holder: Holder) -> Option<u64> {
        self.parts
            .stand(holder)
            .most
            .filter(|_| self.room(holder) == 0)
    }

    /// Refuses the head because others want what is left.
    pub(super) fn refuse_share(&mut self, head: Holder, wishes: &mut Wishes) {
        if let Some(row) = self.rows.get_mut(&head) {
            row.over_share = true;
            self.version += 1;
        }
        self.dismiss(wishes);
    }

    /// Whoever has its share is to ask again soon: it depends on others.
    pub(super) fn coming_of_share(&self, limit: u64) -> Vec<Coming> {
        if self.keeping.ends_at().is_some() {
            return Vec::new();
        }
        let coming = |units, in_ms| Coming { units, in_ms };
        let window_ms = self.counter.kind().window_ms();
        vec![
            coming(1, self.shares_every_ms()),
            coming(limit.max(2), window_ms),
        ]
    }

    /// Who was refused for its share is looked after this often, in milliseconds: no more of a window goes by meanwhile
    /// than does not matter.
    fn shares_every_ms(&self) -> u64 {
        (self.counter.kind().window_ms() / 250).clamp(SHARES_EVERY_MS, 1_000)
    }

    /// Lets those go on who were refused for their share and may have more now. Shares grow as the window goes by.
    pub(super) fn relieve_shares(&mut self, context: &Context<'_>, wishes: &mut Wishes) {
        let refused = self.rows.iter().filter(|(_, row)| row.over_share);
        let refused: Vec<Holder> = refused.map(|(holder, _)| *holder).collect();
        let mut left = false;
        for holder in refused {
            if self.room(holder) == 0 {
                left = true;
            } else if let Some(row) = self.rows.get_mut(&holder) {
                row.over_share = false;
                self.version += 1;
                wishes.tell.insert(holder);
            }
        }
        if left {
            wishes.look(context.now.after(self.shares_every_ms()));
        }
    }
}
