use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::Error;

/// The shortest window, exclusive, that the counted keeping serves, in milliseconds.
pub const SHORTEST_WINDOW_MS: u64 = 10_000;
/// The longest window, inclusive, that the counted keeping serves, in milliseconds.
pub const LONGEST_WINDOW_MS: u64 = 3_600_000;

/// Names one counter: a limit, its window length, and the subject it counts for (the values of the
/// limit's `per`, joined by whoever builds it; empty for a limit that counts everything together).
///
/// The window length is part of the name because a limit whose window changes from a minute to an
/// hour starts a new series of labels: were it the same counter, a change back within the minute
/// would find that minute's count gone.
///
/// A clone is one reference count. The order is that of the text form; requests over several
/// limits take them in this order on every node.
#[derive(Clone)]
pub struct Counter {
    /// `limit/window_ms/subject`.
    text: Arc<str>,
    /// Where the limit's name ends in `text`.
    limit_end: u32,
    /// Where the subject begins in `text`.
    subject_start: u32,
    window_ms: u64,
    /// Of `text`, worked out once: maps of very many counters are looked into for every request.
    hash: u64,
}

impl Counter {
    /// Builds the counter of `limit` with windows of `window_ms` milliseconds for `subject`.
    ///
    /// # Errors
    /// [`Error::LimitName`] when the name is empty or contains `/`; [`Error::WindowLength`] when the
    /// window is not longer than 10 s and at most 1 h.
    pub fn new(limit: &str, window_ms: u64, subject: &str) -> Result<Self, Error> {
        if limit.is_empty() || limit.contains('/') {
            return Err(Error::LimitName(limit.to_owned()));
        }
        check_window(window_ms)?;
        let text = format!("{limit}/{window_ms}/{subject}");
        let too_long = |_| Error::LimitName(limit.to_owned());
        Ok(Self {
            limit_end: u32::try_from(limit.len()).map_err(too_long)?,
            subject_start: u32::try_from(text.len() - subject.len()).map_err(too_long)?,
            window_ms,
            hash: hash(&text),
            text: text.into(),
        })
    }

    /// Reads the text form back.
    ///
    /// # Errors
    /// [`Error::CounterText`] when the text has another shape, else as [`Counter::new`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || Error::CounterText(text.to_owned());
        let (limit, rest) = text.split_once('/').ok_or_else(malformed)?;
        let (window, subject) = rest.split_once('/').ok_or_else(malformed)?;
        Self::new(limit, window.parse().map_err(|_| malformed())?, subject)
    }

    /// The text form `limit/window_ms/subject`: what travels and what keys are built from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The limit's name in policy.
    #[must_use]
    pub fn limit(&self) -> &str {
        &self.text[..self.limit_end as usize]
    }

    /// Whom the counter counts.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.text[self.subject_start as usize..]
    }

    /// The window's length in milliseconds.
    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }
}

/// Refuses a window length that the counted keeping does not serve.
pub(crate) fn check_window(window_ms: u64) -> Result<(), Error> {
    if window_ms > SHORTEST_WINDOW_MS && window_ms <= LONGEST_WINDOW_MS {
        Ok(())
    } else {
        Err(Error::WindowLength(window_ms))
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.text, &other.text);
        same || (self.hash == other.hash && self.text == other.text)
    }
}

impl Eq for Counter {}

impl PartialOrd for Counter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Counter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Counter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_reads_back() {
        for subject in ["", "k1", "org/team/user", "a//b"] {
            let counter = Counter::new("per-key", 60_000, subject).unwrap();
            let back = Counter::parse(counter.as_str()).unwrap();
            assert_eq!(back, counter);
            assert_eq!(
                (back.limit(), back.window_ms(), back.subject()),
                ("per-key", 60_000, subject)
            );
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        assert_eq!(
            Counter::new("a/b", 60_000, ""),
            Err(Error::LimitName("a/b".into()))
        );
        assert_eq!(
            Counter::new("", 60_000, ""),
            Err(Error::LimitName(String::new()))
        );
        assert_eq!(
            Counter::new("a", 10_000, ""),
            Err(Error::WindowLength(10_000))
        );
        assert_eq!(
            Counter::new("a", 3_600_001, ""),
            Err(Error::WindowLength(3_600_001))
        );
        for text in ["", "a", "a/60000", "a/sixty/k"] {
            assert_eq!(Counter::parse(text), Err(Error::CounterText(text.into())));
        }
    }
}
