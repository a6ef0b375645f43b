//! Callers that race for the units of a window, and the clock they race by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::Code;

use crate::caller::{self, Caller, ask};

/// How long a refused caller waits before it tries again, although it was told to wait longer.
const IMPATIENCE: Duration = Duration::from_millis(15);

/// Windows of the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    length_ms: u64,
}

impl Clock {
    pub fn new(window: Duration) -> Self {
        Self {
            length_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Number of the window that a moment is in.
    pub fn window_of(self, unix_ms: u64) -> u64 {
        unix_ms / self.length_ms
    }

    /// Number of the current window.
    pub fn window(self) -> u64 {
        self.window_of(now_ms())
    }

    /// Waits for the moment `offset` after the start of a window.
    pub async fn wait_for(self, window: u64, offset: Duration) {
        let offset = u64::try_from(offset.as_millis()).unwrap_or(u64::MAX);
        let moment = window * self.length_ms + offset;
        let left = moment.saturating_sub(now_ms());
        tokio::time::sleep(Duration::from_millis(left)).await;
    }

    /// How long to wait to be `margin` away from both edges of a window; zero if that is so now.
    fn until_inside(self, margin: Duration) -> Duration {
        let margin = u64::try_from(margin.as_millis()).unwrap_or(u64::MAX);
        let into = now_ms() % self.length_ms;
        let wait = if into < margin {
            margin - into
        } else if into + margin > self.length_ms {
            self.length_ms - into + margin
        } else {
            0
        };
        Duration::from_millis(wait)
    }
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// One caller that never rests.
#[derive(Debug)]
pub struct Racer {
    pub caller: Caller,
    pub nonce: &'static str,
    pub margin: Duration,
    pub clock: Clock,
}

/// What callers met.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answered: u64,
    pub refused: u64,
    /// Errors that are no refusal by the limit.
    pub failures: Vec<String>,
}

impl Outcome {
    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.failures.extend(other.failures);
    }
}

impl Racer {
    /// Calls until the end of window `last`.
    pub async fn run(self, last: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let text = format!("race nonce={}", self.nonce);
        loop {
            tokio::time::sleep(self.clock.until_inside(self.margin)).await;
            if self.clock.window() > last {
                return outcome;
            }
            match self.caller.complete("chat", &text).await {
                Ok(_) => outcome.answered += 1,
                Err(status) => {
                    match check_refusal(&status) {
                        Ok(()) => outcome.refused += 1,
                        Err(failure) => outcome.failures.push(failure),
                    }
                    tokio::time::sleep(IMPATIENCE).await;
                }
            }
        }
    }
}

fn check_refusal(status: &tonic::Status) -> Result<(), String> {
    refusal_of(status, "per-key")
}

/// A refusal names the limit and says when to come back.
pub fn refusal_of(status: &tonic::Status, limit: &str) -> Result<(), String> {
    let named = caller::refused_by(status);
    let wait = caller::retry_delay(status);
    let whole = status.code() == Code::ResourceExhausted
        && caller::reason(status) == "LIMIT_EXCEEDED"
        && named.iter().any(|name| name.contains(limit))
        && wait.is_some_and(|wait| wait > Duration::ZERO && wait <= Duration::from_secs(12));
    match whole {
        true => Ok(()),
        false => Err(format!(
            "{}: limits {named:?}, wait {wait:?}",
            status.message()
        )),
    }
}

/// Streams one answer after the other until the end of window `last`.
pub async fn streams(caller: Caller, clock: Clock, last: u64) {
    while clock.window() <= last {
        let answer = caller.stream(ask("chat", "nonce=rest count to forty"));
        if answer.await.is_err() {
            tokio::time::sleep(IMPATIENCE).await;
        }
    }
}
