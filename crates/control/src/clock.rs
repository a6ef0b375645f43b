//! The wall clock. Nothing else in the crate reads it.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use tokio::time::Instant;
use tollgate_quota::OwnerTime;

/// Milliseconds since the Unix epoch. A clock set before it reads as 0.
pub(crate) fn wall_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, millis)
}

/// A time in milliseconds since the Unix epoch, as the contract writes it.
pub(crate) fn timestamp(unix_ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_ms % 1000 * 1_000_000).unwrap_or(0),
    }
}

/// A time of the contract in milliseconds since the Unix epoch. None where it is before that, or no time.
pub(crate) fn unix_ms(time: Timestamp) -> Option<u64> {
    let millis = u64::try_from(time.nanos).ok()? / 1_000_000;
    let seconds = u64::try_from(time.seconds).ok()?;
    seconds.checked_mul(1000)?.checked_add(millis)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of one term of ownership: the wall clock at its start, moved on by the monotonic one. It never
/// goes back, whatever happens to the wall clock; where the two part, the term must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerClock {
    started_at: Instant,
    wall_ms: u64,
}

impl OwnerClock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self {
            started_at: Instant::now(),
            wall_ms: wall_ms(),
        }
    }

    pub(crate) fn now(&self) -> OwnerTime {
        OwnerTime(self.wall_ms + millis(self.started_at.elapsed()))
    }

    /// How long from now until that time.
    pub(crate) fn until(&self, time: OwnerTime) -> Duration {
        Duration::from_millis(time.since(self.now()))
    }

    /// How far the wall clock is from this one, in milliseconds.
    pub(crate) fn drift_ms(&self) -> u64 {
        wall_ms().abs_diff(self.now().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_keep_their_milliseconds() {
        let time = timestamp(1_700_000_000_123);
        assert_eq!((time.seconds, time.nanos), (1_700_000_000, 123_000_000));
        assert_eq!(unix_ms(time), Some(1_700_000_000_123));
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_runs_on_the_monotonic_clock() {
        let clock = OwnerClock::start();
        let start = clock.now();
        tokio::time::advance(Duration::from_secs(250)).await;
        assert_eq!(clock.now(), start.after(250_000));
        assert_eq!(clock.until(start.after(250_050)), Duration::from_millis(50));
        assert!(clock.drift_ms() > 200_000, "the wall clock has not moved");
    }
}
