//! A clock that ticks on time: the runtime's own timers have a grain of a millisecond, which is
//! more than what a gateway adds to a request.

use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Ticks of the kernel's high-resolution timer.
#[derive(Debug)]
pub(super) struct Pacer {
    /// A timer is read as a pipe is: eight bytes, the number of ticks since the last read.
    timer: Receiver,
    start: Instant,
    interval: Duration,
    ticked: u64,
}

impl Pacer {
    /// Starts now; the first tick is due after one interval.
    pub(super) fn start(rate: f64) -> anyhow::Result<Self> {
        anyhow::ensure!(
            rate > 0.0 && rate <= 1e6,
            "the rate must be from 0 to 1,000,000 per second"
        );
        let interval = Duration::from_secs_f64(1.0 / rate);
        let spec = Timespec {
            tv_sec: i64::try_from(interval.as_secs())?,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("create a timer")?;
        let ticks = Itimerspec {
            it_interval: spec,
            it_value: spec,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks).context("set the timer")?;
        Ok(Self {
            start: Instant::now(),
            timer: Receiver::from_owned_fd_unchecked(timer).context("watch the timer")?,
            interval,
            ticked: 0,
        })
    }

    /// When it was started.
    pub(super) fn started(&self) -> Instant {
        self.start
    }

    /// Waits for the next tick and returns the moments of all that have fallen due.
    pub(super) async fn due(&mut self) -> anyhow::Result<impl Iterator<Item = Instant> + use<>> {
        // Read with room to spare: a short read tells the runtime, at no cost, that nothing is left.
        let mut buffer = [0; 16];
        let read = self
            .timer
            .read(&mut buffer)
            .await
            .context("read the timer")?;
        let (ticks, _room) = buffer[..read]
            .split_first_chunk()
            .context("a timer of no ticks")?;
        let ticks = u64::from_ne_bytes(*ticks);
        let (start, interval, ticked) = (self.start, self.interval.as_nanos(), self.ticked);
        self.ticked += ticks;
        let moment = move |tick: u64| {
            let after = interval * u128::from(tick);
            start + Duration::from_nanos(u64::try_from(after).unwrap_or(u64::MAX))
        };
        Ok((ticked + 1..=ticked + ticks).map(moment))
    }
}
