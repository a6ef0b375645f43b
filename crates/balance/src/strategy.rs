//! How one of a pool's targets is chosen.

use crate::Standing;

/// How one of a pool's targets is chosen among those that can be asked.
///
/// Each but the first ranks them; those that share the best rank, about or exactly, share the traffic by their weights.
/// All targets are looked at rather than two of them at random: pools are a handful, and with two of them slow, a
/// choice of two often has only slow ones to choose from. What two random choices are for, that not everybody runs to
/// the same target, is seen to by the rank itself (see `LeastLatency`) and by the draw among equals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// By weight alone.
    #[default]
    Weighted,
    /// The fewest attempts under way, for its weight.
    LeastBusy,
    /// The soonest answer by experience: the time to the first token and for each token after it.
    LeastLatency,
    /// The lowest price for what the request is expected to use.
    Cheapest,
    /// The most room left under the limits of the provider.
    MostRoom,
    /// The same one for everything with the same affinity, by rendezvous hashing, unless it has more than 1 + s times
    /// its part of the attempts under way, where s is what the target's prompt cache has saved of late
    /// ([`Sight::saving`]): the more it saves, the longer it is worth a wait. By weight where there is no affinity.
    Sticky,
}

impl Strategy {
    /// How much worse than the best rank is as good as the best.
    fn tolerance(self) -> f64 {
        match self {
            // Differences of measured times below this are noise.
            Self::LeastLatency => 1.2,
            // Whether 52 % or 50 % is left does not matter.
            Self::MostRoom => 1.05,
            Self::Weighted | Self::LeastBusy | Self::Cheapest | Self::Sticky => 1.0,
        }
    }
}

/// What is seen of a target when one is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// Whether it can be asked.
    pub standing: Standing,
    /// At what share of its traffic, from 0 to 1: less while it comes back.
    pub share: f64,
    /// Its rank by the pool's strategy: less is better, never below 0.
    pub rank: f64,
    /// Attempts under way.
    pub in_flight: u32,
    /// What share of the price of its input its prompt cache has saved of late. None: that is not known.
    pub saving: Option<f64>,
}

impl Sight {
    /// A target that stands so, and of which nothing else is known.
    #[must_use]
    pub fn of(standing: Standing) -> Self {
        Self {
            standing,
            share: 1.0,
            rank: 0.0,
            in_flight: 0,
            saving: None,
        }
    }
}

/// A target and its share of the traffic of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The caller's number for the target.
    pub id: usize,
    /// Its weight relative to the others of the pool; at least 1.
    pub weight: u32,
    /// What tells it from others wherever and whenever it is hashed, such as a hash of its name.
    pub hash: u64,
}

/// A request in the eyes of a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// Uniform over all of `u64`, and new for each choice.
    pub random: u64,
    /// What is the same for requests that should meet the same target.
    pub affinity: Option<u64>,
}

/// What a prompt cache is thought to save while that is not known.
const USUAL_SAVING: f64 = 0.25;
/// Pools of up to so many targets are looked at without taking memory.
const FEW: usize = 16;

/// Chooses one of the targets that `see` shows.
pub(crate) fn choose(
    strategy: Strategy,
    targets: &[Target],
    draw: Draw,
    see: impl Fn(usize) -> Option<Sight>,
) -> Option<usize> {
    let (mut few, mut many) = ([None; FEW], Vec::new());
    let seen = match few.get_mut(..targets.len()) {
        Some(few) => few,
        None => {
            many.resize(targets.len(), None);
            many.as_mut_slice()
        }
    };
    for (target, seen) in targets.iter().zip(seen.iter_mut()) {
        *seen = see(target.id);
    }
    rank(strategy, targets, draw.affinity, seen);
    // Those that come back take part in a share of the choices; where nobody else is there, in every one.
    let takes_part = |target: &Target, sight: &Sight| {
        sight.share >= 1.0 || unit(mix(draw.random ^ target.hash)) < sight.share
    };
    let chosen = best(strategy, (targets, seen), draw.random, takes_part);
    chosen.or_else(|| best(strategy, (targets, seen), draw.random, |_, _| true))
}

/// Ranks targets by what the strategy looks at, where that is not their speed, price or room.
pub(crate) fn rank(
    strategy: Strategy,
    targets: &[Target],
    affinity: Option<u64>,
    seen: &mut [Option<Sight>],
) {
    let pairs = || targets.iter().zip(&*seen);
    let present = pairs().filter_map(|(target, sight)| Some((target, (*sight)?)));
    let (mut weights, mut busy) = (0, 1);
    for (target, sight) in present {
        weights += u64::from(target.weight);
        busy += u64::from(sight.in_flight);
    }
    for (target, sight) in targets.iter().zip(seen) {
        let Some(sight) = sight else { continue };
        sight.rank = match (strategy, affinity) {
            (Strategy::Sticky, Some(affinity)) => sticky(affinity, target, sight, busy, weights),
            (Strategy::Sticky | Strategy::Weighted, _) => 0.0,
            (Strategy::LeastBusy, _) => {
                (f64::from(sight.in_flight) + 1.0) / f64::from(target.weight)
            }
            (Strategy::LeastLatency | Strategy::Cheapest | Strategy::MostRoom, _) => sight.rank,
        };
    }
}

/// Draws one of those that are as good as the best, by weight.
fn best(
    strategy: Strategy,
    (targets, seen): (&[Target], &[Option<Sight>]),
    random: u64,
    takes_part: impl Fn(&Target, &Sight) -> bool,
) -> Option<usize> {
    let pairs = || {
        let pairs = targets.iter().zip(seen);
        let present = pairs.filter_map(|(target, sight)| Some((target, sight.as_ref()?)));
        present.filter(|(target, sight)| takes_part(target, sight))
    };
    let least = pairs()
        .map(|(_, sight)| sight.rank)
        .min_by(f64::total_cmp)?;
    let good = least * strategy.tolerance();
    let equals = || pairs().filter(|(_, sight)| sight.rank <= good);
    let total = equals().map(|(target, _)| u64::from(target.weight)).sum();
    let mut point = scale(random, total);
    for (target, _) in equals() {
        let weight = u64::from(target.weight);
        if point < weight {
            return Some(target.id);
        }
        point -= weight;
    }
    None
}

/// Highest-random-weight hashing (D. Thaler and C. Ravishankar, 1998) with weights by the logarithmic method, and with
/// bounded loads (V. Mirrokni, M. Thorup, M. Zadimoghaddam, 2018): whoever has more of what is under way than its part
/// and as much more as its prompt cache saves comes after all others. They cannot all have.
fn sticky(affinity: u64, target: &Target, sight: &Sight, busy: u64, all: u64) -> f64 {
    const OVERLOADED: f64 = 1e12;
    let slack = sight.saving.unwrap_or(USUAL_SAVING).clamp(0.0, 1.0);
    let percent = 100 + (slack * 100.0).round() as u128;
    let part = u128::from(busy) * u128::from(target.weight);
    let bound = (part * percent).div_ceil(u128::from(all.max(1)) * 100);
    let overload = if u128::from(sight.in_flight) < bound {
        0.0
    } else {
        OVERLOADED
    };
    overload - unit(mix(affinity ^ target.hash)).ln() / f64::from(target.weight)
}

/// Maps a uniform `u64` to `0..total` by the high half of the product (D. Lemire, "Fast Random Integer Generation in an
/// Interval", 2019), without its rejection step: over 2^64 inputs no outcome is favoured by more than one of them.
fn scale(random: u64, total: u64) -> u64 {
    let product = u128::from(random) * u128::from(total);
    // The high half of a product of two u64 fits into one.
    u64::try_from(product >> 64).unwrap_or(0)
}

/// A number above 0 and at most 1, from the upper half of a uniform one.
fn unit(random: u64) -> f64 {
    let upper = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    (f64::from(upper) + 1.0) / (f64::from(u32::MAX) + 1.0)
}

/// The finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014): near inputs become far apart.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
