//! Believing a provider's numbers, or not.

/// The largest count believed: beyond it a number is a bug, not a bill.
const MOST: f64 = 2_147_483_648.0;

/// Reads a count. One that is negative, fractional, beyond 2^31 or not a number is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number was just found to be whole and between 0 and 2^31"
)]
pub(crate) fn count(number: f64) -> Option<u64> {
    ((0.0..=MOST).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// Reads a count that may be missing, which means none.
pub(crate) fn part(number: Option<f64>) -> Option<u64> {
    number.map_or(Some(0), count)
}
