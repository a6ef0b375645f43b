//! What a provider says that it still lets through.

use std::time::Duration;

/// No word counts for longer: a provider that says nothing sensible is asked again after this.
const LONGEST: Duration = Duration::from_secs(60);

/// How many things providers count.
const UNITS: usize = 4;

/// What an attempt takes of each thing that providers count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests.
    pub requests: u64,
    /// Tokens of input and output together, at most.
    pub tokens: u64,
    /// Tokens of input.
    pub input_tokens: u64,
    /// Tokens of output, at most.
    pub output_tokens: u64,
}

/// What a provider says of each thing that it counts; none of what it does not speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Words {
    /// Of requests.
    pub requests: Option<Word>,
    /// Of tokens of input and output together.
    pub tokens: Option<Word>,
    /// Of tokens of input.
    pub input_tokens: Option<Word>,
    /// Of tokens of output.
    pub output_tokens: Option<Word>,
}

/// What a provider says of one thing that it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// What it lets through when nothing of it is used. None: it does not say.
    pub limit: Option<u64>,
    /// What it still lets through.
    pub remaining: u64,
    /// How long until nothing of it is used, counted from when that was said.
    pub reset: Duration,
}

/// How much had been sent to a target when an attempt began, to compare with what its answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    sent: [u64; UNITS],
    at: Duration,
}

/// What a target still lets through, by its own word and by what was sent to it since.
///
/// A provider speaks of the time at which it let an attempt through. What was sent after that attempt may be unknown
/// to it, so all of it is taken off. What is used comes back steadily until the reset, as from a token bucket; where
/// the provider does not tell its limit, nothing comes back before. Only what this process sends is known: what others
/// send shows in the next word.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowance {
    accounts: [Account; UNITS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// In all.
    sent: u64,
    said: Option<Said>,
}

/// The latest word.
#[derive(Debug, Clone, Copy)]
struct Said {
    remaining: u64,
    /// What comes back by the reset.
    used: Option<u64>,
    /// What had been sent when it held, the attempt that it answered included.
    sent: u64,
    at: Duration,
    reset_at: Duration,
    /// When it counts no more.
    stale_at: Duration,
}

impl Load {
    fn units(self) -> [u64; UNITS] {
        [
            self.requests,
            self.tokens,
            self.input_tokens,
            self.output_tokens,
        ]
    }
}

impl Allowance {
    /// An attempt begins.
    pub(crate) fn begin(&mut self, load: Load, now: Duration) -> Mark {
        let mut sent = [0; UNITS];
        let accounts = self.accounts.iter_mut();
        for ((account, units), sent) in accounts.zip(load.units()).zip(&mut sent) {
            account.sent = account.sent.saturating_add(units);
            *sent = account.sent;
        }
        Mark { sent, at: now }
    }

    /// The answer to an attempt says how the provider's limits stand. A word on a later attempt stays.
    pub(crate) fn told(&mut self, mark: &Mark, words: &Words, now: Duration) {
        let words = [
            words.requests,
            words.tokens,
            words.input_tokens,
            words.output_tokens,
        ];
        for ((account, word), sent) in self.accounts.iter_mut().zip(words).zip(mark.sent) {
            let Some(word) = word else { continue };
            if account.said.is_none_or(|said| said.sent <= sent) {
                account.said = Some(Said {
                    remaining: word.remaining,
                    used: word.limit.map(|it| it.saturating_sub(word.remaining)),
                    sent,
                    at: mark.at,
                    reset_at: now.saturating_add(word.reset),
                    stale_at: now.saturating_add(word.reset.min(LONGEST)),
                });
            }
        }
    }

    /// How long until the target has room for so much, as far as is known: none where it has.
    pub(crate) fn wait(&self, load: Load, now: Duration) -> Option<Duration> {
        let waits = self.accounts.iter().zip(load.units());
        waits
            .filter_map(|(account, units)| account.wait(units, now))
            .max()
    }

    /// What is left of the scarcest of its limits: 1 is all, or as much as is known.
    pub(crate) fn left(&self, now: Duration) -> f64 {
        let lefts = self.accounts.iter().filter_map(|it| it.left(now));
        lefts.fold(1.0, f64::min)
    }
}

impl Account {
    fn wait(&self, units: u64, now: Duration) -> Option<Duration> {
        let said = self.said.filter(|said| now < said.stale_at)?;
        let since = self.sent.saturating_sub(said.sent);
        let lacking = since.saturating_add(units).saturating_sub(said.remaining);
        let ready_at = said.back_at(lacking).min(said.stale_at);
        ready_at.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    fn left(&self, now: Duration) -> Option<f64> {
        let said = self.said.filter(|said| now < said.stale_at)?;
        let limit = said.used?.saturating_add(said.remaining).max(1);
        let since = self.sent.saturating_sub(said.sent);
        let remaining = said.remaining.saturating_sub(since);
        let thousandths = u128::from(remaining) * 1000 / u128::from(limit);
        Some(f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0)
    }
}

impl Said {
    /// When so many units have come back.
    fn back_at(&self, units: u64) -> Duration {
        match self.used {
            _ if units == 0 => self.at,
            Some(used) if units < used => {
                let whole = self.reset_at.saturating_sub(self.at).as_nanos();
                let part = whole.saturating_mul(units.into()) / u128::from(used);
                let part = u64::try_from(part).unwrap_or(u64::MAX);
                self.at.saturating_add(Duration::from_nanos(part))
            }
            Some(_) | None => self.reset_at,
        }
    }
}

#[cfg(test)]
mod tests;
