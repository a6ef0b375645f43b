//! The one place of this crate that reads the system's clocks.
//!
//! Leases live on CLOCK_BOOTTIME: it never steps, and unlike CLOCK_MONOTONIC it goes on while the machine is
//! suspended, so that a lease cannot outlive its window in a laptop's or a virtual machine's sleep. Timers of
//! requests use `tokio::time`. The wall clock is only ever shown to people.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How far the two clocks may move against each other between two looks at [`offset`]. Corrections of a running clock
/// are a thousand times smaller.
pub(crate) const LARGEST_JUMP: Duration = Duration::from_millis(100);

/// Time since the machine started, suspension included.
pub(crate) fn boot_time() -> Duration {
    read(ClockId::Boottime)
}

/// Time since the Unix epoch by the wall clock, for dates in answers. It may step: nothing is decided by it alone.
pub(crate) fn unix_time() -> Duration {
    read(ClockId::Realtime)
}

/// How far the wall clock is ahead of the boot clock. It stays the same unless one of them is set, or both stood
/// still, as in a snapshot of a virtual machine. None where the thread was held up between reading the two.
pub(crate) fn offset() -> Option<Duration> {
    let before = boot_time();
    let wall = unix_time();
    let held_up = boot_time().saturating_sub(before) > Duration::from_millis(5);
    (!held_up).then(|| wall.saturating_sub(before))
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Neither clock is ever before its own zero on a running system; a wall clock set before 1970 reads as 0.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}
