//! The one place of this crate that randomness comes from. None of it guards a secret.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(SmallRng::seed_from_u64(seed()));
}

/// A number uniform over all of `u64`.
pub(crate) fn number() -> u64 {
    GENERATOR.with_borrow_mut(Rng::random)
}

/// A number below `bound`, or 0 where that is 0.
pub(crate) fn below(bound: u32) -> u32 {
    let scaled = u128::from(number()) * u128::from(bound);
    // The high half of the product is below the bound.
    u32::try_from(scaled >> 64).unwrap_or(0)
}

/// A number from 0 to 1.
pub(crate) fn fraction() -> f64 {
    GENERATOR.with_borrow_mut(Rng::random)
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // A machine without randomness still has a clock, and nothing here needs to be secret.
        u64::try_from(crate::clock::boot_time().as_nanos()).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_eq!(below(0), 0);
        assert_eq!(below(1), 0);
        let mut seen = [false; 3];
        for _ in 0..1000 {
            seen[below(3) as usize] = true;
            assert!((0.0..1.0).contains(&fraction()));
        }
        assert_eq!(seen, [true; 3]);
        assert_ne!(number(), number());
    }
}
