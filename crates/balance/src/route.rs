//! Pools of targets, in order of preference, and the walk of one request over them.

use crate::strategy::{Draw, Sight, Strategy, Target, choose, rank};
use crate::{Error, Standing};

mod set;

use set::Set;

/// Targets that stand in for each other, and how one of them is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    strategy: Strategy,
    targets: Vec<Target>,
}

impl Pool {
    /// A pool of these targets.
    ///
    /// # Errors
    /// `Error::Empty`, `Error::ZeroWeight`, `Error::Duplicate`.
    pub fn new(strategy: Strategy, targets: Vec<Target>) -> Result<Self, Error> {
        if targets.is_empty() {
            return Err(Error::Empty);
        }
        for (position, target) in targets.iter().enumerate() {
            if target.weight == 0 {
                return Err(Error::ZeroWeight { position });
            }
            let earlier = targets.iter().take(position);
            if earlier.into_iter().any(|earlier| earlier.id == target.id) {
                return Err(Error::Duplicate { position });
            }
        }
        Ok(Self { strategy, targets })
    }

    /// How one of them is chosen.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The targets, in the order given.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Chooses one of the targets that `see` shows, or nothing if there is none.
    #[must_use]
    pub fn pick(&self, draw: Draw, see: impl Fn(usize) -> Option<Sight>) -> Option<usize> {
        choose(self.strategy, &self.targets, draw, see)
    }
}

/// Why an attempt brought no answer, as far as it decides about where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The request is too long for the model.
    ContextLength,
    /// The request was refused for its content.
    ContentFilter,
    /// The target is over a limit, or has no room.
    RateLimit,
    /// The target failed in any other way.
    Other,
}

/// A set of causes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Causes(u8);

impl Cause {
    fn bit(self) -> u8 {
        match self {
            Self::ContextLength => 1,
            Self::ContentFilter => 2,
            Self::RateLimit => 4,
            Self::Other => 8,
        }
    }

    /// Whether the request itself is the cause: the route's other targets would say the same.
    #[must_use]
    pub fn is_of_request(self) -> bool {
        matches!(self, Self::ContextLength | Self::ContentFilter)
    }
}

impl Causes {
    /// Every cause.
    pub const ALL: Self = Self(0b1111);

    /// The set with this one in it.
    #[must_use]
    pub fn with(self, cause: Cause) -> Self {
        Self(self.0 | cause.bit())
    }

    /// Whether they have one in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this one is in it.
    #[must_use]
    pub fn has(self, cause: Cause) -> bool {
        self.0 & cause.bit() != 0
    }
}

impl FromIterator<Cause> for Causes {
    fn from_iter<I: IntoIterator<Item = Cause>>(causes: I) -> Self {
        causes.into_iter().fold(Self::default(), Self::with)
    }
}

/// A pool at its place in a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The pool.
    pub pool: Pool,
    /// It is tried only after an attempt that ended so. None: in any case.
    pub after: Option<Causes>,
}

/// Pools in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    steps: Vec<Step>,
}

impl Route {
    /// A route over these pools, the first preferred.
    ///
    /// # Errors
    /// `Error::Empty` if there is no pool that is tried in any case.
    pub fn new(steps: Vec<Step>) -> Result<Self, Error> {
        if steps.iter().all(|step| step.after.is_some()) {
            return Err(Error::Empty);
        }
        Ok(Self { steps })
    }

    /// The pools, the preferred first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Every target of the route once, the preferred pools first.
    pub fn targets(&self) -> impl Iterator<Item = usize> {
        self.targets_of(|_| true)
    }

    fn targets_of(&self, which: impl Fn(&Step) -> bool) -> impl Iterator<Item = usize> {
        let mut seen = Set::default();
        let steps = self.steps.iter().filter(move |step| which(step));
        let all = steps.flat_map(|step| step.pool.targets.iter().map(|target| target.id));
        all.filter(move |id| {
            let is_new = !seen.contains(*id);
            seen.insert(*id);
            is_new
        })
    }

    /// The walk of one request: at most `most` targets, each at most once.
    #[must_use]
    pub fn attempts(&self, most: u32) -> Attempts<'_> {
        self.resume(Tried {
            most,
            ..Tried::default()
        })
    }

    /// The walk of a request that has made a part of it.
    #[must_use]
    pub fn resume(&self, tried: Tried) -> Attempts<'_> {
        Attempts { route: self, tried }
    }
}

/// The targets one request tries, one by one.
#[derive(Debug, Clone)]
pub struct Attempts<'a> {
    route: &'a Route,
    tried: Tried,
}

/// What one request has tried of a route.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    /// Those that do not come again.
    gone: Set,
    /// Those that come last.
    shunned: Set,
    /// Why the attempts so far brought no answer.
    met: Causes,
    made: u32,
    most: u32,
}

/// How good a target has to be, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ready,
    Shunned,
    Ejected,
}

impl Grade {
    /// Every grade, the best first.
    const ALL: [Self; 3] = [Self::Ready, Self::Shunned, Self::Ejected];
}

/// A target at its place in a route, as a request would see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The place of its pool among the route's steps.
    pub step: usize,
    /// The target.
    pub target: usize,
    /// Its weight in the pool.
    pub weight: u32,
    /// What its pool's strategy sees of it.
    pub sight: Sight,
}

impl Attempts<'_> {
    /// The next target to try, or nothing when the attempts or the targets are used up.
    ///
    /// Of the first pool that has any left, one of the targets that stand `Ready`, by its strategy. Only when no pool
    /// has such a one, those are tried the same way that the request shuns, and then an `Ejected` one: ejection is a
    /// guess, so it never takes the last target away. `Cooling` targets are never tried.
    ///
    /// `random` must be uniform over all of `u64` and new for each call. `affinity` is asked for the affinity of the
    /// request at a step of the route whose pool is sticky; `see` is what is seen of a target by a strategy.
    pub fn next(
        &mut self,
        random: u64,
        affinity: impl Fn(usize) -> Option<u64>,
        see: impl Fn(usize, Strategy) -> Sight,
    ) -> Option<usize> {
        if self.tried.made >= self.tried.most {
            return None;
        }
        let mut chosen = Grade::ALL
            .into_iter()
            .filter_map(|grade| self.pick(random, grade, (&affinity, &see)));
        let chosen = chosen.next()?;
        self.tried.gone.insert(chosen);
        self.tried.made += 1;
        Some(chosen)
    }

    fn pick(
        &self,
        random: u64,
        grade: Grade,
        (affinity, see): (
            impl Fn(usize) -> Option<u64>,
            impl Fn(usize, Strategy) -> Sight,
        ),
    ) -> Option<usize> {
        let steps = self.route.steps.iter().enumerate();
        let mut open = steps.filter(|(_, step)| self.is_open(step));
        open.find_map(|(place, step)| {
            let pool = &step.pool;
            let is_sticky = pool.strategy == Strategy::Sticky;
            let draw = Draw {
                random,
                affinity: is_sticky.then(|| affinity(place)).flatten(),
            };
            pool.pick(draw, |id| {
                let sight = (!self.tried.gone.contains(id)).then(|| see(id, pool.strategy));
                sight.filter(|sight| self.grade(id, sight) == Some(grade))
            })
        })
    }

    /// Every target of the route as [`next`](Self::next) sees it, ranked among those that it would choose from with it.
    pub fn survey(
        &self,
        affinity: impl Fn(usize) -> Option<u64>,
        see: impl Fn(usize, Strategy) -> Sight,
    ) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (step, Step { pool, .. }) in self.route.steps.iter().enumerate() {
            let is_sticky = pool.strategy == Strategy::Sticky;
            let affinity = is_sticky.then(|| affinity(step)).flatten();
            let targets = &pool.targets;
            let mut sights: Vec<_> = targets.iter().map(|it| see(it.id, pool.strategy)).collect();
            for grade in Grade::ALL {
                let pairs = targets.iter().zip(&sights);
                let of_grade = pairs.map(|(target, sight)| {
                    (self.grade(target.id, sight) == Some(grade)).then_some(*sight)
                });
                let mut ranked: Vec<_> = of_grade.collect();
                rank(pool.strategy, targets, affinity, &mut ranked);
                let ranked = ranked.into_iter().zip(&mut sights);
                ranked.for_each(|(ranked, sight)| *sight = ranked.unwrap_or(*sight));
            }
            all.extend(targets.iter().zip(sights).map(|(target, sight)| Candidate {
                step,
                target: target.id,
                weight: target.weight,
                sight,
            }));
        }
        all
    }

    fn grade(&self, id: usize, sight: &Sight) -> Option<Grade> {
        match sight.standing {
            Standing::Ready if self.tried.shunned.contains(id) => Some(Grade::Shunned),
            Standing::Ready => Some(Grade::Ready),
            Standing::Ejected => Some(Grade::Ejected),
            Standing::Cooling => None,
        }
    }

    /// The targets whose turn came or may still come.
    pub fn targets(&self) -> impl Iterator<Item = usize> {
        self.route.targets_of(|step| self.is_open(step))
    }

    /// Whether its turn may come. Once the request itself was found at fault, only pools that are for such requests
    /// are left.
    fn is_open(&self, step: &Step) -> bool {
        let of_request = Causes(self.tried.met.0 & 0b0011);
        match step.after {
            None => of_request == Causes::default(),
            Some(after) if of_request == Causes::default() => after.meets(self.tried.met),
            Some(after) => after.meets(of_request),
        }
    }

    /// The target that came last was not tried after all: it is no attempt, and does not come again.
    pub fn pass_over(&mut self) {
        self.tried.made = self.tried.made.saturating_sub(1);
        self.tried.met = self.tried.met.with(Cause::RateLimit);
    }

    /// The target that came last cannot express the request: it is no attempt, and does not come again.
    pub fn unfit(&mut self) {
        self.tried.made = self.tried.made.saturating_sub(1);
    }

    /// An attempt brought no answer. False where the route has nothing for requests that are at fault in this way.
    pub fn failed(&mut self, cause: Cause) -> bool {
        self.tried.met = self.tried.met.with(cause);
        let mut steps = self.route.steps.iter();
        !cause.is_of_request() || steps.any(|step| step.after.is_some_and(|it| it.has(cause)))
    }

    /// Targets of which `which` is true come after all others that are ready.
    pub fn shun(&mut self, which: impl Fn(usize) -> bool) {
        for id in self.route.targets().filter(|id| which(*id)) {
            self.tried.shunned.insert(id);
        }
    }

    /// What was tried, to go on from there later.
    #[must_use]
    pub fn into_tried(self) -> Tried {
        self.tried
    }

    /// How many targets were tried, without those that were passed over.
    #[must_use]
    pub fn made(&self) -> u32 {
        self.tried.made
    }
}

#[cfg(test)]
mod tests;
