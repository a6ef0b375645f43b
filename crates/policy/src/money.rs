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

/// Returns the billionths of an amount in US dollars such as `0.15`. None where it is no such amount, or negative.
pub(crate) fn nanos(text: &str) -> Option<u64> {
    decimal(text, 9).ok().and_then(|it| u64::try_from(it).ok())
}

/// Why a text is not a decimal number that fits.
pub(crate) enum Not {
    /// It is none.
    Decimal,
    /// It has more decimals.
    Short,
    /// It is too large.
    Small,
}

/// Reads a decimal number of at most so many decimals, in units of the last of them.
pub(crate) fn decimal(text: &str, decimals: usize) -> Result<i128, Not> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(Not::Decimal);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > decimals {
        return Err(Not::Short);
    }
    // Padded to all its decimals, the number is a whole one of the smallest unit.
    let number: i128 = format!("{whole}{fraction:0<decimals$}")
        .parse()
        .map_err(|_| Not::Small)?;
    Ok(if negative { -number } else { number })
}
