//! A limit of the fake provider's own, as real ones have: so many requests or tokens within any stretch of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a provider lets through of a model.
#[derive(Debug)]
pub struct Ceiling {
    counts: Unit,
    most: u64,
    within: Duration,
    is_told: bool,
    /// What was let through within the stretch that ends now.
    admitted: VecDeque<(Instant, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Requests,
    Tokens,
}

/// How a limit stands, as answers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    counts: Unit,
    limit: u64,
    remaining: u64,
    reset: Duration,
}

impl Standing {
    /// The headers that say so.
    pub(super) fn headers(self) -> [(&'static str, String); 3] {
        let [limit, remaining, reset] = match self.counts {
            Unit::Requests => [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ],
            Unit::Tokens => [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ],
        };
        [
            (limit, self.limit.to_string()),
            (remaining, self.remaining.to_string()),
            (reset, format!("{}ms", self.reset.as_millis())),
        ]
    }
}

impl Ceiling {
    /// No more than `most` requests within any stretch of that length. Answers tell how it stands, in OpenAI's headers.
    pub fn requests(most: u64, within: Duration) -> Self {
        Self::of(Unit::Requests, most, within)
    }

    /// The same of tokens, those of the prompt and of the answer: a request counts when it comes in.
    pub fn tokens(most: u64, within: Duration) -> Self {
        Self::of(Unit::Tokens, most, within)
    }

    /// The same, but answers do not tell how it stands, as those of many providers do not.
    #[must_use]
    pub fn untold(self) -> Self {
        Self {
            is_told: false,
            ..self
        }
    }

    fn of(counts: Unit, most: u64, within: Duration) -> Self {
        Self {
            counts,
            most,
            within,
            is_told: true,
            admitted: VecDeque::new(),
        }
    }

    /// Lets a request of so many tokens through and says how things stand then, or says how long until there is more
    /// room.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        tokens: u64,
    ) -> Result<Option<Standing>, Duration> {
        let gone = |(at, _): &mut (Instant, u64)| now.duration_since(*at) >= self.within;
        while self.admitted.pop_front_if(gone).is_some() {}
        let amount = match self.counts {
            Unit::Requests => 1,
            Unit::Tokens => tokens,
        };
        let used: u64 = self.admitted.iter().map(|(_, amount)| amount).sum();
        let Some(remaining) = self.most.checked_sub(used + amount) else {
            let first = self.admitted.front();
            return Err(first.map_or(self.within, |(at, _)| self.within - now.duration_since(*at)));
        };
        self.admitted.push_back((now, amount));
        Ok(self.is_told.then_some(Standing {
            counts: self.counts,
            limit: self.most,
            remaining,
            reset: self.within,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left after a request of so many tokens at such a time, milliseconds.
    fn left(it: &mut Ceiling, begin: Instant, ms: u64, tokens: u64) -> Result<u64, Duration> {
        let standing = it.admit(begin + Duration::from_millis(ms), tokens)?;
        Ok(standing.map_or(u64::MAX, |standing| standing.remaining))
    }

    #[test]
    fn no_stretch_of_time_holds_more() {
        let begin = Instant::now();
        let mut it = Ceiling::requests(2, Duration::from_millis(100));
        let mut left = |ms| left(&mut it, begin, ms, 7);
        assert_eq!(left(0), Ok(1));
        assert_eq!(left(60), Ok(0));
        assert_eq!(left(90), Err(Duration::from_millis(10)));
        assert_eq!(left(100), Ok(0));
        assert_eq!(left(159), Err(Duration::from_millis(1)));
    }

    #[test]
    fn tokens_count_as_many_as_they_are() {
        let begin = Instant::now();
        let mut it = Ceiling::tokens(10, Duration::from_millis(100));
        assert_eq!(left(&mut it, begin, 0, 11), Err(Duration::from_millis(100)));
        assert_eq!(left(&mut it, begin, 0, 4), Ok(6));
        assert_eq!(left(&mut it, begin, 50, 6), Ok(0));
        assert_eq!(left(&mut it, begin, 60, 1), Err(Duration::from_millis(40)));
        assert_eq!(left(&mut it, begin, 100, 4), Ok(0));
    }

    #[test]
    fn one_that_is_not_told_of_holds_as_well() {
        let mut it = Ceiling::requests(1, Duration::from_secs(1)).untold();
        let now = Instant::now();
        assert_eq!(it.admit(now, 1), Ok(None));
        assert_eq!(it.admit(now, 1), Err(Duration::from_secs(1)));
    }
}
