//! How fast new streams are let in: after a restart of the control plane all nodes come back at once, and
//! each wants the whole policy.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// A queue with a steady pace. The first ones of a burst pass at once; those whose turn would be too far
/// away are sent off to try again.
#[derive(Debug)]
pub(crate) struct Admission {
    pace: Duration,
    burst: u32,
    patience: Duration,
    /// When the next turn would be, were there no burst.
    next: Mutex<Option<Instant>>,
}

impl Admission {
    /// Lets in one every `pace`, `burst` at once, and keeps nobody waiting longer than `patience`.
    pub(crate) fn new(pace: Duration, burst: u32, patience: Duration) -> Self {
        Self {
            pace,
            burst,
            patience,
            next: Mutex::new(None),
        }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// [`Error::Busy`] where the wait would be too long.
    pub(crate) async fn enter(&self) -> Result<()> {
        tokio::time::sleep_until(self.turn(Instant::now())?).await;
        Ok(())
    }

    fn turn(&self, now: Instant) -> Result<Instant> {
        let mut next = self.next.lock();
        let ahead = self.pace * self.burst;
        let due = next.map_or(now, |due| due.max(now));
        let turn = due.checked_sub(ahead).map_or(now, |turn| turn.max(now));
        if turn > now + self.patience {
            return Err(Error::Busy("many nodes are connecting"));
        }
        *next = Some(due + self.pace);
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_the_pace_holds_then_patience_ends() {
        let admission = Admission::new(Duration::from_millis(20), 3, Duration::from_millis(50));
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..6 {
            waits.push(admission.turn(now).unwrap().duration_since(now).as_millis());
        }
        assert_eq!(waits, [0, 0, 0, 0, 20, 40]);
        assert!(matches!(admission.turn(now), Err(Error::Busy(_))));
        let later = now + Duration::from_secs(1);
        assert_eq!(admission.turn(later).unwrap(), later);
    }
}
