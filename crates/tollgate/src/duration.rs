//! Durations as they are written on the command line.

use std::time::Duration;

/// Reads `250ms`, `30s`, `5m` or `1h`.
///
/// # Errors
/// What is expected instead.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number: Option<u64> = number.parse().ok();
    match number.and_then(|n| n.checked_mul(milliseconds)) {
        Some(total) if milliseconds > 0 => Ok(Duration::from_millis(total)),
        _ => Err("expected a duration such as 250ms, 30s, 5m or 1h".to_owned()),
    }
}

/// Writes a duration short enough to read: `0.25s`, `12s`, `2m 5s`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.2}s", duration.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        _ => format!("{}m {}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "1d", "99999999999999999999s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(show(Duration::from_millis(254)), "0.25s");
        assert_eq!(show(Duration::from_secs(125)), "2m 5s");
    }
}
