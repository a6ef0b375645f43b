//! Who is worked on when not everybody can be: a node has so many places, and tenants share them by weight.
//!
//! While there is room anybody may use it: places are lent to whoever asks. When it gets scarce, a tenant may have its
//! *share*, in proportion to its weight among those who are here, and what others leave, as long as one of them has more
//! for its weight; beyond that it borrows. Requests are ranked, and what borrows counts as one rank lower. Each rank has a
//! ceiling, a sixteenth of all places below that of the rank above, so that the last places are kept for those who matter
//! more, and for tenants that have less. A place that comes free goes to the tenant with the fewest places for its weight
//! (max-min fairness). So a tenant that asks for twenty times its share turns away its own requests, and nobody else's.
//!
//! Requests last for seconds or minutes, and what is lent comes back only when they end. So as many places as a tenant
//! wants at the mean, within its share, are not lent while it does not use them: a flood that has taken everything while
//! others paused, or before they came, does not get back what it gives back. What it wants at the mean is how often it
//! asks, times how long its requests take (Little's law), which holds for requests that are refused, too.
//!
//! A request for which there is no place waits only if there will be one soon: by the rate at which places come free and
//! the number of those ahead, it is known on arrival, and who would wait in vain is refused at once. Whoever is owed a
//! place waits longer than who borrows. The queue is short: it bridges moments, not overload.
//!
//! Pure: time is an argument, since an origin of the caller's choice. It holds no lock and wakes nobody.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long a request that its tenant is owed a place for may wait. Within what deadlines are kept to.
pub(crate) const OWED_WAIT: Duration = Duration::from_millis(50);
/// How long one may wait that borrows: refusals are to come within 10 ms.
pub(crate) const BORROWER_WAIT: Duration = Duration::from_millis(5);
/// Most requests that wait. A place that comes free is offered by looking at all of them.
pub(crate) const MOST_WAITING: usize = 256;
/// How far back it counts how often tenants asked: it fades within this time, to a third.
pub(crate) const MEMORY: Duration = Duration::from_secs(3);
/// Parts of all places by which each rank's ceiling is below that of the rank above.
const STEPS: usize = 16;
/// The level of what is worth least: over quota, and borrowed.
const LOWEST: usize = Rank::OverQuota as usize + 1;
/// The weight of the newest among the gaps between places that come free, as one in so many.
const SMOOTHING: u32 = 16;

/// Whose requests share one share: an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TenantId(pub(crate) u64);

impl TenantId {
    /// That of an organisation. That two have the same is as good as impossible, and would have them share one share.
    pub(crate) fn of_org(name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        let first = hash.as_bytes().first_chunk().copied();
        Self(first.map_or(0, u64::from_le_bytes))
    }
}

/// Who asks for a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) tenant: TenantId,
    /// Its part of the places when they are scarce, in proportion to that of others. At least 1.
    pub(crate) weight: u32,
}

/// What a request is worth when there is not room for all, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Somebody waits for the answer.
    Interactive,
    /// Nobody waits for it now.
    Batch,
    /// A limit has refused the caller, and will not admit it yet.
    OverQuota,
}

impl Rank {
    /// Its name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
            Self::OverQuota => "over_quota",
        }
    }
}

/// Names a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has a place.
    Admitted,
    /// There will be one soon.
    Waits {
        ticket: Ticket,
        rank: Rank,
        /// How long it may wait at most.
        patience: Duration,
        /// Which one no longer waits for its sake.
        instead_of: Option<Ticket>,
    },
    /// There is none, and none will come free in time.
    Refused(Rank),
}

/// The places and who has them.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Places that may be used now.
    places: usize,
    taken: usize,
    /// Everybody who has a place or waits for one.
    tenants: HashMap<TenantId, Tenant>,
    /// The sum of their weights.
    weights: u64,
    /// The one that has most for its weight, or had when it last took a place.
    greatest: Option<TenantId>,
    /// The sum of what tenants have less than they want at the mean.
    kept: f32,
    /// How long a request takes at the mean, in seconds.
    takes: f32,
    /// Those who wait, in the order in which they came.
    queue: VecDeque<Waiting>,
    tickets: u64,
    pace: Pace,
}

#[derive(Debug, Default)]
struct Tenant {
    taken: usize,
    waiting: usize,
    /// The greatest that it was said to have since it came.
    weight: u64,
    /// How often it has asked since that was last counted, and how often it does a second at the mean.
    asked: u32,
    rate: f32,
    /// How long its requests take at the mean, in seconds.
    takes: f32,
    /// Places that it wants at the mean, within its share.
    wants: f32,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    ticket: Ticket,
    tenant: TenantId,
    rank: Rank,
}

/// How fast places come free.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Duration>,
    /// The mean gap between two, the newest counting most.
    gap: Duration,
}

// === impl Shares ===

impl Shares {
    /// So many places, all free.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            taken: 0,
            tenants: HashMap::new(),
            weights: 0,
            greatest: None,
            kept: 0.0,
            takes: 0.0,
            queue: VecDeque::new(),
            tickets: 0,
            pace: Pace::default(),
        }
    }

    /// Asks for a place. The rank is only asked for where places are scarce.
    pub(crate) fn enter(
        &mut self,
        now: Duration,
        visitor: Visitor,
        rank: impl FnOnce() -> Rank,
    ) -> Verdict {
        self.meet(visitor);
        if self.has_plenty() {
            self.take(visitor.tenant);
            return Verdict::Admitted;
        }
        let rank = rank();
        let is_before = |it: &&Waiting| it.tenant == visitor.tenant && it.rank <= rank;
        let before = self.queue.iter().filter(is_before).count();
        let is_borrower = self.borrows(visitor.tenant, before);
        if self.has_room(visitor.tenant, rank, is_borrower) {
            self.take(visitor.tenant);
            return Verdict::Admitted;
        }
        let verdict = self.wait(now, visitor.tenant, rank, is_borrower);
        self.forget_idle(visitor.tenant);
        verdict
    }

    /// Gives a place back that a tenant has had since then. [`next`](Self::next) is to be called after that, until it
    /// names nobody.
    pub(crate) fn leave(&mut self, now: Duration, tenant: TenantId, since: Duration) {
        self.pace.freed(now);
        let took = now.saturating_sub(since).as_secs_f32();
        self.takes += (took - self.takes) / SMOOTHING as f32;
        self.taken = self.taken.saturating_sub(1);
        self.change(tenant, |it| {
            it.taken = it.taken.saturating_sub(1);
            it.takes += (took - it.takes) / SMOOTHING as f32;
        });
        self.forget_idle(tenant);
    }

    /// Gives a free place to the one who waits and is to have it.
    pub(crate) fn next(&mut self) -> Option<Ticket> {
        let of = |(at, it): (usize, &Waiting)| (self.level_of(it), self.load(it.tenant), at);
        let (_, _, at) = self.queue.iter().enumerate().map(of).min()?;
        let it = *self.queue.get(at)?;
        if !self.has_room(it.tenant, it.rank, self.borrows(it.tenant, 0)) {
            return None;
        }
        let first = self.dequeue(at)?;
        self.take(first.tenant);
        Some(first.ticket)
    }

    /// One who waits gives up. False where it does not wait any more.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> bool {
        let at = self.queue.iter().position(|it| it.ticket == ticket);
        let Some(gone) = at.and_then(|at| self.dequeue(at)) else {
            return false;
        };
        self.forget_idle(gone.tenant);
        true
    }

    /// So much time has passed since this was last called: what tenants want at the mean is brought up to now.
    /// [`next`](Self::next) is to be called after that, until it names nobody.
    pub(crate) fn pass(&mut self, time: Duration) {
        let seconds = time.as_secs_f32().max(0.001);
        let part = (seconds / MEMORY.as_secs_f32()).min(1.0);
        self.kept = 0.0;
        for it in self.tenants.values_mut() {
            it.rate += (it.asked as f32 / seconds - it.rate) * part;
            it.asked = 0;
            let share = self.places as f32 * it.weight as f32 / self.weights.max(1) as f32;
            it.wants = (it.rate * it.takes).min(share);
            self.kept += it.kept();
        }
    }

    /// Changes how many places may be used. Those that are taken stay so. [`next`](Self::next) is to be called after
    /// that, until it names nobody.
    pub(crate) fn resize(&mut self, places: usize) {
        self.places = places.max(1);
    }

    /// Whether there are places for whoever comes, whatever it is worth.
    pub(crate) fn has_plenty(&self) -> bool {
        self.taken + self.kept_places() < self.ceiling(LOWEST)
    }

    /// Places that may be used now.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn wait(&mut self, now: Duration, tenant: TenantId, rank: Rank, is_borrower: bool) -> Verdict {
        let level = level(rank, is_borrower);
        let Some(patience) = patience(rank, is_borrower) else {
            return Verdict::Refused(rank);
        };
        let ahead = self.queue.iter().filter(|it| self.level_of(it) <= level);
        if self.pace.comes_free(now, ahead.count() + 1) > patience {
            return Verdict::Refused(rank);
        }
        let instead_of = if self.queue.len() < MOST_WAITING {
            None
        } else {
            let Some(last) = self.least_worthy(level) else {
                return Verdict::Refused(rank);
            };
            Some(last)
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.queue.push_back(Waiting {
            ticket,
            tenant,
            rank,
        });
        if let Some(it) = self.tenants.get_mut(&tenant) {
            it.waiting += 1;
        }
        Verdict::Waits {
            ticket,
            rank,
            patience,
            instead_of,
        }
    }

    /// Takes the one who waits and is worth least out of the queue, where that is less than this.
    fn least_worthy(&mut self, level: usize) -> Option<Ticket> {
        let of = |(at, it): (usize, &Waiting)| (self.level_of(it), self.load(it.tenant), at);
        let (worst, _, at) = self.queue.iter().enumerate().map(of).max()?;
        if worst <= level {
            return None;
        }
        let gone = self.dequeue(at)?;
        self.forget_idle(gone.tenant);
        Some(gone.ticket)
    }

    fn dequeue(&mut self, at: usize) -> Option<Waiting> {
        let gone = self.queue.remove(at)?;
        if let Some(it) = self.tenants.get_mut(&gone.tenant) {
            it.waiting -= 1;
        }
        Some(gone)
    }

    /// Places taken, as far as requests of this level may take them.
    fn ceiling(&self, level: usize) -> usize {
        let kept = self.places / STEPS * level;
        (self.places - kept).max(1)
    }

    /// Places that are not lent.
    fn kept_places(&self) -> usize {
        // Never more than there are places, by the shares.
        self.kept.max(0.0) as usize
    }

    /// Whether a request may have one of the places that are free.
    fn has_room(&self, tenant: TenantId, rank: Rank, is_borrower: bool) -> bool {
        let kept = if is_borrower {
            let own = self.tenant(tenant).kept();
            (self.kept - own).max(0.0) as usize
        } else {
            0
        };
        self.taken + kept < self.ceiling(level(rank, is_borrower))
    }

    fn level_of(&self, it: &Waiting) -> usize {
        level(it.rank, self.borrows(it.tenant, 0))
    }

    /// Whether one more place, after so many others, is more than a tenant's share, and than what anybody else has for
    /// its weight. One is never.
    fn borrows(&self, tenant: TenantId, others: usize) -> bool {
        let it = self.tenant(tenant);
        let wanted = (it.taken + others + 1) as u64;
        if wanted <= 1 || wanted * self.weights <= self.places as u64 * it.weight {
            return false;
        }
        let greatest = self.greatest.filter(|greatest| *greatest != tenant);
        let is_less = greatest.is_some_and(|greatest| {
            let greatest = self.tenant(greatest);
            wanted * greatest.weight < greatest.taken as u64 * it.weight
        });
        !is_less
    }

    /// Places of a tenant, and one more, for its weight: who has the least is next.
    fn load(&self, tenant: TenantId) -> u64 {
        let it = self.tenant(tenant);
        ((it.taken as u64 + 1) << 20) / it.weight
    }

    fn tenant(&self, tenant: TenantId) -> &Tenant {
        const NOBODY: &Tenant = &Tenant {
            taken: 0,
            waiting: 0,
            weight: 1,
            asked: 0,
            rate: 0.0,
            takes: 0.0,
            wants: 0.0,
        };
        self.tenants.get(&tenant).unwrap_or(NOBODY)
    }

    fn meet(&mut self, visitor: Visitor) {
        let weight = u64::from(visitor.weight.max(1));
        let takes = self.takes;
        let it = self
            .tenants
            .entry(visitor.tenant)
            .or_insert_with(|| Tenant {
                takes,
                ..Tenant::default()
            });
        it.asked += 1;
        if it.weight < weight {
            self.weights += weight - it.weight;
            it.weight = weight;
        }
    }

    fn take(&mut self, tenant: TenantId) {
        self.taken += 1;
        self.change(tenant, |it| it.taken += 1);
        let greatest = self.greatest.map(|greatest| self.load(greatest));
        if greatest.is_none_or(|greatest| self.load(tenant) >= greatest) {
            self.greatest = Some(tenant);
        }
    }

    /// Changes what is known of a tenant, and what is kept for it with that.
    fn change(&mut self, tenant: TenantId, change: impl FnOnce(&mut Tenant)) {
        if let Some(it) = self.tenants.get_mut(&tenant) {
            let before = it.kept();
            change(it);
            self.kept += it.kept() - before;
        }
    }

    fn forget_idle(&mut self, tenant: TenantId) {
        if let Some(it) = self.tenants.get(&tenant)
            && it.taken == 0
            && it.waiting == 0
        {
            self.weights -= it.weight;
            self.kept -= it.kept();
            self.tenants.remove(&tenant);
            self.greatest = self.greatest.filter(|greatest| *greatest != tenant);
        }
    }
}

impl Tenant {
    /// What it has less than it wants at the mean.
    fn kept(&self) -> f32 {
        (self.wants - self.taken as f32).max(0.0)
    }
}

/// Which ceiling holds for a request.
fn level(rank: Rank, is_borrower: bool) -> usize {
    rank as usize + usize::from(is_borrower)
}

fn patience(rank: Rank, is_borrower: bool) -> Option<Duration> {
    match (rank, is_borrower) {
        (Rank::Interactive | Rank::Batch, false) => Some(OWED_WAIT),
        (Rank::Interactive, true) => Some(BORROWER_WAIT),
        (Rank::Batch, true) | (Rank::OverQuota, _) => None,
    }
}

// === impl Pace ===

impl Pace {
    fn freed(&mut self, now: Duration) {
        if let Some(last) = self.last {
            let gap = now.saturating_sub(last);
            self.gap = (self.gap * (SMOOTHING - 1) + gap) / SMOOTHING;
        }
        self.last = Some(now);
    }

    /// How long it will be until so many places have come free. Nothing where that was never seen.
    fn comes_free(&self, now: Duration, places: usize) -> Duration {
        let since = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_sub(last));
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        self.gap.max(since).saturating_mul(places)
    }
}

#[cfg(test)]
mod tests;
