//! What was stamped when, for kinds whose promise is about every interval.

use std::collections::VecDeque;

use tollgate_quota::Kind;

/// What may be admitted: of a bucket, so many units in a window, and so many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) units: u64,
    pub(crate) burst: u64,
    /// Of a bucket, intervals up to this long: no other policy was in force within it.
    pub(crate) span_ms: u64,
}

/// The stamps of one counter by true time, earliest first, with what of each was not refunded.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps(VecDeque<(u64, u64, u64)>);

impl Stamps {
    /// Notes that the admission of that number took `units`.
    pub(super) fn add(&mut self, now: u64, number: u64, units: u64) {
        self.0.push_back((now, number, units));
    }

    pub(super) fn refund(&mut self, number: u64, units: u64) {
        let entry = self.0.iter_mut().rev().find(|(_, n, _)| *n == number);
        if let Some((_, _, left)) = entry {
            *left -= units;
        }
    }

    /// How many units too many were stamped in the worst interval that ends now, if `more` are added and
    /// time had begun `late_ms` later; not positive when there is room.
    pub(super) fn excess(
        &self,
        (now, late_ms): (u64, u64),
        kind: Kind,
        allowed: Allowed,
        more: u64,
    ) -> i64 {
        let window_ms = kind.window_ms();
        let mut sum = more.cast_signed();
        let mut worst = i64::MIN;
        for span in self.0.iter().rev() {
            let age = now - span.0;
            match kind {
                Kind::Bucket { .. } if age > allowed.span_ms => break,
                Kind::Sliding { .. } | Kind::Fixed { .. } if age >= window_ms + late_ms => break,
                Kind::Sliding { .. }
                | Kind::Fixed { .. }
                | Kind::Bucket { .. }
                | Kind::Calendar { .. }
                | Kind::Endless
                | Kind::Concurrent => {}
            }
            sum += span.2.cast_signed();
            worst = worst.max(sum - bound(kind, allowed, age.saturating_sub(late_ms)));
        }
        worst.max(more.cast_signed() - bound(kind, allowed, 0))
    }
}

/// The most that may be stamped in an interval of that length.
fn bound(kind: Kind, allowed: Allowed, age_ms: u64) -> i64 {
    match kind {
        Kind::Sliding { .. }
        | Kind::Fixed { .. }
        | Kind::Calendar { .. }
        | Kind::Endless
        | Kind::Concurrent => allowed.units.cast_signed(),
        Kind::Bucket { window_ms } => {
            let came = u128::from(allowed.units) * u128::from(age_ms) / u128::from(window_ms);
            (allowed.burst + u64::try_from(came).unwrap_or(u64::MAX)).cast_signed()
        }
    }
}
