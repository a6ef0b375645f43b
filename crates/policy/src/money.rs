//! Money as text. Amounts are whole billionths of a US dollar everywhere; no fraction is ever lost.

/// Billionths in one dollar.
const BILLION: u64 = 1_000_000_000;

/// Returns an amount in US dollars without needless zeros, such as `0.15`.
#[must_use]
pub fn dollars(nanos: u64) -> String {
    let (whole, fraction) = (nanos / BILLION, nanos % BILLION);
    if fraction == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:09}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}
