//! How many units a node is given at once.
//!
//! Factoring (Hummel, Schonberg, Flynn 1992; guided self-scheduling, Polychronopoulos, Kuck 1987):
//! blocks shrink with what is left, so that messages are few while units are plentiful and little is
//! in the wrong place when they run out. When the nodes together want more than half of what is left,
//! it is shared by weighted max-min (equal weights), so that the first to ask does not starve others.

/// What the block depends on.
#[derive(Debug)]
pub(super) struct Situation {
    /// Units missing at the node for its oldest waiting request.
    pub(super) need: u64,
    /// What the node wants for demand ahead in plenty, and when units are scarce; both at least `need`.
    pub(super) want: u64,
    pub(super) want_scarce: u64,
    /// Units that can be handed out in this window at all, debited or not. At least `need`.
    pub(super) free_total: u64,
    /// What every node with demand wants, in plenty and when scarce.
    pub(super) wants: Vec<(u64, u64)>,
}

/// The size of the node's next block: at least `need`, at most its factoring share.
pub(super) fn block(situation: &Situation) -> u64 {
    let Situation {
        need,
        want,
        want_scarce,
        free_total,
        ref wants,
    } = *situation;
    let nodes = u64::try_from(wants.len().max(1)).unwrap_or(u64::MAX);
    let cap = need.max(free_total / (2 * nodes));
    let sum = wants
        .iter()
        .fold(0u64, |sum, (want, _)| sum.saturating_add(*want));
    let size = if sum <= free_total / 2 {
        want
    } else {
        want_scarce.min(fair_share(
            wants.iter().map(|(_, scarce)| *scarce).collect(),
            free_total,
        ))
    };
    size.clamp(need, cap)
}

/// The level of max-min sharing: everybody who wants less gets what it wants, everybody else this.
fn fair_share(mut wants: Vec<u64>, total: u64) -> u64 {
    wants.sort_unstable();
    let mut left = total;
    let mut sharers = u64::try_from(wants.len()).unwrap_or(u64::MAX);
    for want in wants {
        let share = left / sharers;
        if want > share {
            return share;
        }
        left -= want;
        sharers -= 1;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |need, want, free_total, others: &[u64], expected| {
            let mut wants = vec![(want, want)];
            wants.extend(others.iter().map(|w| (*w, *w)));
            let situation = Situation {
                need,
                want,
                want_scarce: want,
                free_total,
                wants,
            };
            assert_eq!(block(&situation), expected, "{situation:?}");
        };
        // Alone and in plenty: what it wants, up to half.
        check(1, 40, 100, &[], 40);
        check(1, 400, 1_000, &[], 400);
        // Never below the need, even if that is all there is.
        check(90, 90, 100, &[], 90);
        check(1, 1, 1, &[1, 1], 1);
        // Four nodes: an eighth of what is left each time.
        check(1, 1_000, 800, &[1_000, 1_000, 1_000], 100);
        // The small wants are met, the rest is shared.
        check(1, 500, 100, &[2, 2, 2], 12);
    }

    #[test]
    fn max_min() {
        assert_eq!(fair_share(vec![1, 2, 30], 12), 9);
        assert_eq!(fair_share(vec![10, 10, 10], 12), 4);
        assert_eq!(fair_share(vec![1, 2], 12), 12);
        assert_eq!(fair_share(vec![], 12), 12);
    }
}
