use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::{Error, Kind};

/// Bytes by which most counters of one request differ: names of limits come first.
const PREFIX: usize = 16;

/// Names one counter: a limit, its kind, and the subject it counts for (the values of the limit's
/// `per`, joined by whoever builds it; empty for a limit that counts everything together).
///
/// A clone is one reference count. The order is that of the text form; requests over several
/// limits take them in this order on every node.
#[derive(Clone)]
pub struct Counter {
    name: Arc<Name>,
    seat: Seat,
}

/// What a name is made of. What every request looks at comes first and lies together.
#[repr(C)]
struct Name {
    /// Of `text`, worked out once: maps of very many counters are looked into for every request.
    hash: u64,
    /// How `text` begins: nearly always enough to tell the order of two without looking at their texts, which
    /// are far away.
    prefix: u128,
    kind: Kind,
    /// Where the limit's name ends in `text`.
    limit_end: u32,
    /// Where the subject begins in `text`.
    subject_start: u32,
    /// `limit/kind/subject`.
    text: Box<str>,
    /// What it is a part of, if it is one.
    pool: Option<Counter>,
}

/// Where a counter was found last, and the number of what was there: a hint that saves looking it up, to be checked by
/// whoever follows it, and no part of the name.
#[derive(Default)]
struct Seat {
    slot: AtomicU32,
    serial: AtomicU64,
}

impl Clone for Seat {
    fn clone(&self) -> Self {
        Self {
            slot: AtomicU32::new(self.slot.load(Ordering::Relaxed)),
            serial: AtomicU64::new(self.serial.load(Ordering::Relaxed)),
        }
    }
}

impl Counter {
    /// Builds the counter of `limit`, which is of that kind, for `subject`.
    ///
    /// # Errors
    /// [`Error::LimitName`] when the name is empty or contains `/`; [`Error::WindowLength`] when no
    /// keeping serves the window.
    pub fn new(limit: &str, kind: Kind, subject: &str) -> Result<Self, Error> {
        if limit.is_empty() || limit.contains('/') {
            return Err(Error::LimitName(limit.to_owned()));
        }
        kind.check()?;
        let text = format!("{limit}/{kind}/{subject}");
        let too_long = |_| Error::LimitName(limit.to_owned());
        let name = Name {
            limit_end: u32::try_from(limit.len()).map_err(too_long)?,
            subject_start: u32::try_from(text.len() - subject.len()).map_err(too_long)?,
            kind,
            hash: hash(&text),
            prefix: prefix(&text),
            text: text.into(),
            pool: None,
        };
        Ok(Self::of(name))
    }

    fn of(name: Name) -> Self {
        Self {
            name: Arc::new(name),
            seat: Seat::default(),
        }
    }

    /// The part of one of those who share the counter. Nodes hold units of parts as of any counter; what they come
    /// out of, and whose owner grants them, is the [`Counter::pool`].
    #[must_use]
    pub fn part(&self, who: &str) -> Self {
        let pool = self.pool();
        let (limit, kind, subject) = (pool.limit(), pool.kind(), pool.subject());
        let text = format!("{limit}/{kind}~{}/{subject}/{who}", subject.len());
        let start = text.len() - subject.len() - 1 - who.len();
        Self::of(Name {
            limit_end: pool.name.limit_end,
            subject_start: u32::try_from(start).unwrap_or(u32::MAX),
            kind,
            hash: hash(&text),
            prefix: prefix(&text),
            text: text.into(),
            pool: Some(pool.clone()),
        })
    }

    /// What it is a part of: itself, unless it is one.
    #[must_use]
    pub fn pool(&self) -> &Self {
        self.name.pool.as_ref().unwrap_or(self)
    }

    /// Whose part it is; nothing where it is none.
    #[must_use]
    pub fn who(&self) -> &str {
        let part = |pool: &Self| self.subject().get(pool.subject().len() + 1..);
        self.name.pool.as_ref().and_then(part).unwrap_or("")
    }

    /// Reads the text form back.
    ///
    /// # Errors
    /// [`Error::CounterText`] when the text has another shape, else as [`Counter::new`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || Error::CounterText(text.to_owned());
        let (limit, rest) = text.split_once('/').ok_or_else(malformed)?;
        let (kind, subject) = rest.split_once('/').ok_or_else(malformed)?;
        let (kind, pool) = match kind.split_once('~') {
            Some((kind, pool)) => (kind, Some(pool)),
            None => (kind, None),
        };
        let kind = kind.parse().map_err(|_| malformed())?;
        let Some(pool) = pool else {
            return Self::new(limit, kind, subject);
        };
        let length: usize = pool.parse().map_err(|_| malformed())?;
        let parts = subject.split_at_checked(length).ok_or_else(malformed)?;
        let who = parts.1.strip_prefix('/').ok_or_else(malformed)?;
        let part = Self::new(limit, kind, parts.0)?.part(who);
        // One name, one text.
        (part.as_str() == text)
            .then_some(part)
            .ok_or_else(malformed)
    }

    /// The text form `limit/kind/subject`, and `limit/kind~LENGTH/subject/who` of a part, where the subject is so many
    /// bytes long: what travels and what keys are built from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name.text
    }

    /// The limit's name in policy.
    #[must_use]
    pub fn limit(&self) -> &str {
        &self.name.text[..self.name.limit_end as usize]
    }

    /// Whom the counter counts.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.name.text[self.name.subject_start as usize..]
    }

    /// How it counts over time.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.name.kind
    }

    /// How the text form begins: where two of these differ, they order as the counters do.
    pub(crate) fn prefix(&self) -> u128 {
        self.name.prefix
    }

    /// Where it was found last, as given to [`Counter::sit`]; zeros where it never was.
    pub(crate) fn seat(&self) -> (u32, u64) {
        let Seat { slot, serial } = &self.seat;
        (slot.load(Ordering::Relaxed), serial.load(Ordering::Relaxed))
    }

    /// Notes where it is found.
    pub(crate) fn sit(&self, slot: u32, serial: u64) {
        self.seat.slot.store(slot, Ordering::Relaxed);
        self.seat.serial.store(serial, Ordering::Relaxed);
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The first bytes as a number, the first one in the highest place, followed by zeros where there are fewer: these
/// order as the texts do, unless they are equal.
fn prefix(text: &str) -> u128 {
    let mut prefix = [0; PREFIX];
    for (into, from) in prefix.iter_mut().zip(text.bytes()) {
        *into = from;
    }
    u128::from_be_bytes(prefix)
}

impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.name, &other.name);
        same || (self.name.hash == other.name.hash && self.name.text == other.name.text)
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
        let by_prefix = self.name.prefix.cmp(&other.name.prefix);
        by_prefix.then_with(|| self.name.text.cmp(&other.name.text))
    }
}

impl Hash for Counter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.name.hash);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.text)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(limit: &str, window_ms: u64, subject: &str) -> Result<Counter, Error> {
        Counter::new(limit, Kind::Fixed { window_ms }, subject)
    }

    #[test]
    fn text_form_reads_back() {
        let window_ms = 60_000;
        let kinds = [
            Kind::Fixed { window_ms },
            Kind::Sliding { window_ms },
            Kind::Bucket { window_ms },
        ];
        for (subject, kind) in ["", "k1", "org/team/user", "a//b"]
            .iter()
            .zip(kinds.iter().cycle())
        {
            let counter = Counter::new("per-key", *kind, subject).unwrap();
            let back = Counter::parse(counter.as_str()).unwrap();
            assert_eq!(back, counter);
            let parts = (back.limit(), back.kind(), back.subject());
            assert_eq!(parts, ("per-key", *kind, *subject));
        }
    }

    #[test]
    fn a_part_names_its_pool_and_whose_it_is() {
        let pool = fixed("team", 60_000, "requests=60s/team=a/b").unwrap();
        let part = pool.part("user=a/b/c");
        assert_eq!(
            part.as_str(),
            "team/60000~21/requests=60s/team=a/b/user=a/b/c"
        );
        let back = Counter::parse(part.as_str()).unwrap();
        assert_eq!((&back, back.pool()), (&part, &pool));
        assert_eq!((back.who(), back.kind()), ("user=a/b/c", pool.kind()));
        assert_eq!(back.subject(), "requests=60s/team=a/b/user=a/b/c");
        assert_eq!(part.shard(), pool.shard());
        assert_eq!((pool.who(), pool.pool()), ("", &pool));
        assert_eq!(part.part("user=d"), pool.part("user=d"));
        let empty = fixed("all", 60_000, "").unwrap().part("x");
        assert_eq!(Counter::parse(empty.as_str()).unwrap().pool().subject(), "");
        for text in [
            "a/60000~9/b/c",
            "a/60000~1/b",
            "a/60000~01/b/c",
            "a/60000~/b/c",
        ] {
            assert_eq!(Counter::parse(text), Err(Error::CounterText(text.into())));
        }
    }

    #[test]
    fn every_kind_reads_back() {
        let zone = crate::Zone::named("America/Argentina/Buenos_Aires").unwrap();
        let period = crate::Period::Month;
        for (kind, text) in [
            (Kind::Fixed { window_ms: 60_000 }, "60000"),
            (
                Kind::Calendar { period, zone },
                "1mo@America:Argentina:Buenos_Aires",
            ),
            (Kind::Endless, "endless"),
            (Kind::Concurrent, "concurrent"),
        ] {
            let counter = Counter::new("a", kind, "b/c").unwrap();
            assert_eq!(counter.as_str(), format!("a/{text}/b/c"));
            assert_eq!(Counter::parse(counter.as_str()).unwrap().kind(), kind);
        }
        for text in ["a/1mo@Nowhere/k", "a/2mo@UTC/k", "a/ever/k"] {
            assert_eq!(Counter::parse(text), Err(Error::CounterText(text.into())));
        }
    }

    #[test]
    fn order_is_that_of_the_text_form() {
        let texts = [
            "a/60000/",
            "a/60000/\u{0}",
            "a/60000/k",
            "ab/60000/",
            "requests-per-key/60000/k1",
            "requests-per-key/60000/k2",
            "requests-per-keys/60000/k1",
            "requests-per-team/60000/k1",
            "tö/60000/",
        ];
        for (one, other) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
            let order = Counter::parse(one)
                .unwrap()
                .cmp(&Counter::parse(other).unwrap());
            assert_eq!(order, one.cmp(other), "{one} {other}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        assert_eq!(
            fixed("a/b", 60_000, ""),
            Err(Error::LimitName("a/b".into()))
        );
        assert_eq!(fixed("", 60_000, ""), Err(Error::LimitName(String::new())));
        assert_eq!(fixed("a", 999, ""), Err(Error::WindowLength(999)));
        assert_eq!(
            fixed("a", 366 * 86_400_000 + 1, ""),
            Err(Error::WindowLength(366 * 86_400_000 + 1))
        );
        for text in ["", "a", "a/60000", "a/sixty/k"] {
            assert_eq!(Counter::parse(text), Err(Error::CounterText(text.into())));
        }
    }
}
