//! A limit of the fake provider's own, as real ones have: so many requests within any stretch of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a limit stands, as answers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: usize,
    pub(super) remaining: usize,
    pub(super) reset: Duration,
}

impl Standing {
    /// The headers that say so.
    pub(super) fn headers(self) -> [(&'static str, String); 3] {
        [
            ("x-ratelimit-limit-requests", self.limit.to_string()),
            ("x-ratelimit-remaining-requests", self.remaining.to_string()),
            (
                "x-ratelimit-reset-requests",
                format!("{}ms", self.reset.as_millis()),
            ),
        ]
    }
}

/// Counts the requests let through.
#[derive(Debug)]
pub(super) struct Ceiling {
    most: usize,
    within: Duration,
    admitted: VecDeque<Instant>,
}

impl Ceiling {
    pub(super) fn new(most: usize, within: Duration) -> Self {
        Self {
            most,
            within,
            admitted: VecDeque::new(),
        }
    }

    /// Lets a request through and says how things stand then, or says how long until it would.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Standing, Duration> {
        let gone = |at: &mut Instant| now.duration_since(*at) >= self.within;
        while self.admitted.pop_front_if(gone).is_some() {}
        match self.admitted.front() {
            Some(first) if self.admitted.len() >= self.most => {
                Err(self.within - now.duration_since(*first))
            }
            Some(_) | None => {
                self.admitted.push_back(now);
                Ok(Standing {
                    limit: self.most,
                    remaining: self.most - self.admitted.len(),
                    reset: self.within,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stretch_of_time_holds_more() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut it = Ceiling::new(2, Duration::from_millis(100));
        let mut left = |ms| it.admit(at(ms)).map(|standing| standing.remaining);
        assert_eq!(left(0), Ok(1));
        assert_eq!(left(60), Ok(0));
        assert_eq!(left(90), Err(Duration::from_millis(10)));
        assert_eq!(left(100), Ok(0));
        assert_eq!(left(159), Err(Duration::from_millis(1)));
    }
}
