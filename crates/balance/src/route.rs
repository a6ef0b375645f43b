//! Pools of weighted targets, in order of preference, and the walk of one request over them.

use crate::{Error, Standing};

/// A target and its share of the traffic of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<T> {
    /// The caller's id of the target.
    pub id: T,
    /// Its weight relative to the others of the pool; at least 1.
    pub weight: u32,
}

/// Targets that stand in for each other, chosen by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool<T> {
    targets: Vec<Target<T>>,
}

impl<T: Copy + Eq> Pool<T> {
    /// A pool of these targets.
    ///
    /// # Errors
    /// `Error::Empty`, `Error::ZeroWeight`, `Error::Duplicate`.
    pub fn new(targets: Vec<Target<T>>) -> Result<Self, Error> {
        if targets.is_empty() {
            return Err(Error::Empty);
        }
        for (position, target) in targets.iter().enumerate() {
            if target.weight == 0 {
                return Err(Error::ZeroWeight { position });
            }
            if targets
                .iter()
                .take(position)
                .any(|earlier| earlier.id == target.id)
            {
                return Err(Error::Duplicate { position });
            }
        }
        Ok(Self { targets })
    }

    /// The targets, in the order given.
    #[must_use]
    pub fn targets(&self) -> &[Target<T>] {
        &self.targets
    }

    /// Picks one of the targets that `may` allows, with the probability of its weight among them,
    /// or nothing if there is none. `random` must be uniform over all of `u64`.
    #[must_use]
    pub fn pick(&self, random: u64, may: impl Fn(T) -> bool) -> Option<T> {
        let allowed = || self.targets.iter().filter(|target| may(target.id));
        let total: u64 = allowed().map(|target| u64::from(target.weight)).sum();
        if total == 0 {
            return None;
        }
        let mut point = scale(random, total);
        for target in allowed() {
            let weight = u64::from(target.weight);
            if point < weight {
                return Some(target.id);
            }
            point -= weight;
        }
        None
    }
}

/// Maps a uniform `u64` to `0..total` by the high half of the product (D. Lemire, "Fast Random
/// Integer Generation in an Interval", 2019), without its rejection step: over 2^64 inputs no
/// outcome is favoured by more than one of them.
fn scale(random: u64, total: u64) -> u64 {
    let product = u128::from(random) * u128::from(total);
    // The high half of a product of two u64 fits into one.
    u64::try_from(product >> 64).unwrap_or(0)
}

/// Pools in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<T> {
    pools: Vec<Pool<T>>,
}

impl<T: Copy + Eq> Route<T> {
    /// A route over these pools, the first preferred.
    ///
    /// # Errors
    /// `Error::Empty` if there is no pool.
    pub fn new(pools: Vec<Pool<T>>) -> Result<Self, Error> {
        if pools.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self { pools })
    }

    /// The pools, the preferred first.
    #[must_use]
    pub fn pools(&self) -> &[Pool<T>] {
        &self.pools
    }

    /// Every target of the route once, the preferred pools first.
    pub fn targets(&self) -> impl Iterator<Item = T> + '_ {
        let all = || {
            self.pools
                .iter()
                .flat_map(|pool| pool.targets.iter().map(|target| target.id))
        };
        all()
            .enumerate()
            .filter(move |(at, id)| !all().take(*at).any(|earlier| earlier == *id))
            .map(|(_, id)| id)
    }

    /// The walk of one request: at most `most` targets, each at most once.
    #[must_use]
    pub fn attempts(&self, most: u32) -> Attempts<'_, T> {
        Attempts {
            route: self,
            tried: Vec::new(),
            passed: 0,
            most,
        }
    }
}

/// The targets one request tries, one by one.
#[derive(Debug, Clone)]
pub struct Attempts<'a, T> {
    route: &'a Route<T>,
    tried: Vec<T>,
    /// How many of them were passed over.
    passed: u32,
    most: u32,
}

impl<T: Copy + Eq> Attempts<'_, T> {
    /// The next target to try, or nothing when the attempts or the targets are used up.
    ///
    /// Of the first pool that has any left, one of the targets that stand `Ready`, by weight. Only
    /// when no pool has such a one, an `Ejected` target is tried the same way: ejection is a guess,
    /// so it never takes the last target away. `Cooling` targets are never tried.
    ///
    /// `random` must be uniform over all of `u64` and new for each call.
    pub fn next(&mut self, random: u64, standing: impl Fn(T) -> Standing) -> Option<T> {
        if self.made() >= self.most {
            return None;
        }
        let chosen = self
            .pick(random, |id| standing(id) == Standing::Ready)
            .or_else(|| self.pick(random, |id| standing(id) == Standing::Ejected))?;
        self.tried.push(chosen);
        Some(chosen)
    }

    fn pick(&self, random: u64, may: impl Fn(T) -> bool) -> Option<T> {
        let fresh = |id: T| !self.tried.contains(&id) && may(id);
        self.route
            .pools
            .iter()
            .find_map(|pool| pool.pick(random, fresh))
    }

    /// The target that came last was not tried after all: it is no attempt, and does not come again.
    pub fn pass_over(&mut self) {
        self.passed += 1;
    }

    /// How many targets were tried, without those that were passed over.
    #[must_use]
    pub fn made(&self) -> u32 {
        let tried = u32::try_from(self.tried.len()).unwrap_or(u32::MAX);
        tried.saturating_sub(self.passed)
    }

    /// The targets that came, in order.
    #[must_use]
    pub fn tried(&self) -> &[T] {
        &self.tried
    }
}

#[cfg(test)]
mod tests;
