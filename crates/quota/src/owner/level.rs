//! How much each of those who share a limit may have, while they want more together than there is.
//!
//! Weighted max-min fairness (Bertsekas, Gallager, Data Networks, 1992, section 6.5.2): whoever wants less than its
//! part gets what it wants, and what that leaves is shared by the others in the same way. What somebody has already
//! is not taken back, so it counts as wanted.

/// What one of them has and wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// Units that it has, used or not.
    pub(super) has: u64,
    /// Units that it would have in the end, were there enough; at least `has`.
    pub(super) wants: u64,
    /// Its part against those of the others. 0: it gets what nobody else wants.
    pub(super) weight: u32,
}

/// Up to where each may go, in proportion to its weight. None: there is enough for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    /// Units for each unit of weight, times [`SCALE`].
    weighted: Option<u128>,
    /// The same for each that has no weight, of what the others leave.
    rest: Option<u128>,
}

/// Levels are exact to this part of a unit.
const SCALE: u128 = 1 << 16;

impl Level {
    /// The level at which `total` units are shared out.
    pub(super) fn of(claims: &[Claim], total: u64) -> Self {
        let total = u128::from(total) * SCALE;
        let (weighted, rest): (Vec<_>, Vec<_>) = claims
            .iter()
            .copied()
            .partition(|claim: &Claim| claim.weight > 0);
        let has = |claims: &[Claim]| claims.iter().map(|it| u128::from(it.has) * SCALE).sum();
        let rest_has: u128 = has(&rest);
        if let Some(level) = level(&weighted, total.saturating_sub(rest_has)) {
            return Self {
                weighted: Some(level),
                rest: Some(0),
            };
        }
        let wanted: u128 = weighted.iter().map(|it| u128::from(it.wants) * SCALE).sum();
        let equal: Vec<_> = rest
            .into_iter()
            .map(|it| Claim { weight: 1, ..it })
            .collect();
        Self {
            weighted: None,
            rest: level(&equal, total - wanted),
        }
    }

    /// The most that one of that weight may have, rounded up: shares differ by a unit at most. None: all it wants.
    pub(super) fn most(self, weight: u32) -> Option<u64> {
        let most = match weight {
            0 => self.rest?,
            weight => self.weighted?.saturating_mul(u128::from(weight)),
        };
        Some(u64::try_from(most.div_ceil(SCALE)).unwrap_or(u64::MAX))
    }
}

/// The highest level at which there is enough; none where there is for all that is wanted.
fn level(claims: &[Claim], total: u128) -> Option<u128> {
    let enough = |level: u128| {
        let got = claims.iter().map(|claim| {
            let up_to = level.saturating_mul(u128::from(claim.weight));
            up_to.clamp(
                u128::from(claim.has) * SCALE,
                u128::from(claim.wants) * SCALE,
            )
        });
        got.sum::<u128>() <= total
    };
    let most = claims.iter().map(|claim| claim.wants).max().unwrap_or(0);
    let (mut low, mut high) = (0, u128::from(most) * SCALE);
    if enough(high) {
        return None;
    }
    while low + 1 < high {
        let middle = low.midpoint(high);
        if enough(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim((has, wants, weight): (u64, u64, u32)) -> Claim {
        Claim {
            has,
            wants: wants.max(has),
            weight,
        }
    }

    fn most(claims: &[(u64, u64, u32)], total: u64) -> Vec<Option<u64>> {
        let claims: Vec<_> = claims.iter().copied().map(claim).collect();
        let level = Level::of(&claims, total);
        claims.iter().map(|it| level.most(it.weight)).collect()
    }

    fn check(claims: &[(u64, u64, u32)], total: u64, expected: &[u64]) {
        let expected: Vec<_> = expected.iter().copied().map(Some).collect();
        assert_eq!(most(claims, total), expected, "{claims:?} of {total}");
    }

    #[test]
    fn who_wants_less_leaves_the_rest_to_others() {
        assert_eq!(most(&[(0, 500, 1), (0, 500, 1)], 1_000), [None; 2]);
        check(&[(0, 5_000, 1), (0, 5_000, 1)], 1_000, &[500, 500]);
        check(&[(0, 5_000, 1), (0, 100, 1)], 1_000, &[900, 900]);
        // What somebody has stays, whatever it wants.
        check(&[(800, 5_000, 1), (0, 5_000, 1)], 1_000, &[200, 200]);
        check(&[(7, 9, 1)], 7, &[7]);
        // By weight; without any, what nobody else wants.
        check(&[(0, 900, 60), (0, 900, 20)], 800, &[600, 200]);
        check(&[(0, 900, 60), (0, 900, 0)], 800, &[800, 0]);
        let lent = most(&[(0, 100, 60), (0, 900, 0)], 800);
        assert_eq!(lent, [None, Some(700)]);
        // Ten units for three: who comes first has the tenth.
        check(&[(0, 90, 1); 3], 10, &[4, 4, 4]);
        assert_eq!(most(&[], 10), []);
    }

    proptest! {
        /// All that is there is shared out, and nobody has less than he wants while another has more for its weight.
        #[test]
        fn shares_are_max_min_fair(
            claims in prop::collection::vec((0..1_000u64, 0..5_000u64, 1..100u32), 1..20),
            free in 0..10_000u64,
        ) {
            let claims: Vec<_> = claims.into_iter().map(claim).collect();
            let has: u64 = claims.iter().map(|it| it.has).sum();
            let total = has + free;
            let level = Level::of(&claims, total);
            let got = |it: &Claim| level.most(it.weight).map_or(it.wants, |most| it.wants.min(most).max(it.has));
            let sum: u64 = claims.iter().map(got).sum();
            let wanted: u64 = claims.iter().map(|it| it.wants).sum();
            let rounding = claims.len() as u64;
            prop_assert!(sum.abs_diff(total.min(wanted)) <= rounding, "{} of {}", sum, total.min(wanted));
            for one in claims.iter().filter(|it| got(it) < it.wants) {
                for other in claims.iter().filter(|it| got(it) > it.has) {
                    let (mine, theirs) = (got(one) as f64 / f64::from(one.weight), got(other) as f64 / f64::from(other.weight));
                    prop_assert!(theirs <= mine + 1.0, "{:?} {:?}", one, other);
                }
            }
        }
    }
}
