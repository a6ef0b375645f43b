//! What requests cost.
//!
//! A price comes from the policy, from the built-in [`catalog`](Catalog), or from both: [`of`] puts them together. It is
//! a list of rates, of which the day, the service and the length of the prompt choose one for a request. Rates are whole
//! billionths of a US dollar per million tokens, and a cost is rounded up once, after its parts have been added up: it
//! is never more than a billionth of a dollar above what the tokens come to, and never below it.

mod catalog;
mod merge;
mod rates;

use std::sync::Arc;

pub use catalog::{Catalog, Listed};
pub use merge::of;
pub(crate) use merge::{always_searches, field, listed, name, says_searches};
pub use rates::{Part, Rates, Tokens};

/// Tokens that a rate is for.
const MILLION: u128 = 1_000_000;

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// By ascending `from`, `service` and `above`. Never empty: the first is for the usual service and any prompt.
    rows: Vec<Row>,
    /// Revision of the catalog that it comes from, at least in part. None: the policy says it all.
    pub catalog: Option<Arc<str>>,
    /// Whether the policy says it, at least in part.
    pub is_stated: bool,
    /// Whether the model searches for every request, at least once, of which its answers tell nothing.
    searches: bool,
}

/// What holds from a day on, for one service, for prompts above a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Seconds since the Unix epoch at which it begins to hold. 0: always.
    pub from: i64,
    /// For whom.
    pub service: Service,
    /// Input tokens that the request must exceed. 0: for any.
    pub above: u64,
    /// The rates.
    pub rates: Rates,
}

impl Row {
    /// Returns the day from which on it holds, in UTC, such as `2026-12-01`. None: it always did.
    #[must_use]
    pub fn first_day(&self) -> Option<String> {
        let begins = jiff::Timestamp::from_second(self.from).ok();
        let day = begins.filter(|_| self.from > 0)?.strftime("%F");
        Some(day.to_string())
    }
}

/// How a provider serves a request, as far as it has prices of its own for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// As usual.
    #[default]
    Standard,
    /// Later, and cheaper.
    Flex,
    /// With precedence.
    Priority,
    /// With a faster model.
    Fast,
    /// Within a day.
    Batch,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [
        Self::Standard,
        Self::Flex,
        Self::Priority,
        Self::Fast,
        Self::Batch,
    ];

    /// Returns its name, as providers have it too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Fast => "fast",
            Self::Batch => "batch",
        }
    }

    /// Returns the service of a provider's name for it. Names that say nothing of a price are the usual service.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let named = |it: &Self| it.as_str().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named).unwrap_or_default()
    }
}

/// What decides about the rates of a request beside its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    /// How.
    pub service: Service,
}

/// The most that a request may use, before it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// When and how it is served.
    pub served: Served,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Whether the input may hold sound.
    pub audio: bool,
    /// Whether the input may hold pictures.
    pub image: bool,
    /// Whether the input may be cached for an hour.
    pub hour: bool,
    /// Searches that the provider may make.
    pub searches: u64,
}

impl Price {
    /// None where there are no rows, or the first is not one that always holds.
    fn new(mut rows: Vec<Row>, catalog: Option<Arc<str>>, is_stated: bool) -> Option<Self> {
        rows.sort_by_key(|row| (row.from, row.service, row.above));
        let first = rows.first()?;
        let always = first.service == Service::Standard && first.above == 0;
        always.then_some(Self {
            rows,
            catalog,
            is_stated,
            searches: false,
        })
    }

    /// Returns its rows, by day, service and length of the prompt.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether it says what this part costs: the policy does, or the catalog has a price of its own for it. Where it has
    /// none, [`cost`](Self::cost) takes sound and pictures for text, and searches for nothing, which is far too little.
    #[must_use]
    pub fn knows(&self, part: Part) -> bool {
        self.rows.iter().all(|row| row.rates.says(part))
    }

    /// Whether it says of a part that it costs as much as another.
    #[must_use]
    pub fn is_same(&self, part: Part, other: Part) -> bool {
        let is_same = |row: &Row| row.rates.of(part) == row.rates.of(other);
        self.knows(part) && self.rows.iter().all(is_same)
    }

    /// Returns the cost of a request in billionths of a US dollar, rounded up.
    #[must_use]
    pub fn cost(&self, served: Served, tokens: &Tokens) -> u64 {
        let tokens = &Tokens {
            searches: self.searches(tokens.searches),
            ..*tokens
        };
        let steps = self.steps(served);
        let beyond = |row: &&Row| tokens.input > row.above || row.above == 0;
        let row = steps.iter().rev().find(beyond).or(steps.first());
        row.map_or(0, |row| round_up(row.rates.cost(tokens)))
    }

    /// Returns the most that a request within these bounds can cost, in billionths of a US dollar, whatever of it
    /// comes from a cache, goes to one, or is thought.
    #[must_use]
    pub fn highest_cost(&self, bounds: &Bounds) -> u64 {
        let bounds = &Bounds {
            searches: self.searches(bounds.searches),
            ..*bounds
        };
        let within = |row: &&Row| bounds.input > row.above || row.above == 0;
        let steps = self.steps(bounds.served).iter().filter(within);
        let most = steps.map(|row| row.rates.highest_cost(bounds)).max();
        round_up(most.unwrap_or_default())
    }

    /// The searches of a request of which so many are told.
    fn searches(&self, told: u64) -> u64 {
        told.max(u64::from(self.searches))
    }

    /// The rows of the day for the service, by length of the prompt. Where the service has none, the usual ones.
    fn steps(&self, served: Served) -> &[Row] {
        let begun = self.rows.partition_point(|row| row.from <= served.at);
        // Before the first day, its prices are the best guess.
        let last = self.rows.get(begun.max(1) - 1);
        let day = last.map_or(0, |row| row.from);
        let start = self.rows.partition_point(|row| row.from < day);
        let end = self.rows.partition_point(|row| row.from <= day);
        let of_day = self.rows.get(start..end).unwrap_or_default();
        let of = |service: Service| {
            let start = of_day.partition_point(|row| row.service < service);
            let end = of_day.partition_point(|row| row.service <= service);
            of_day.get(start..end).unwrap_or_default()
        };
        match of(served.service) {
            [] => of(Service::Standard),
            rows => rows,
        }
    }
}

/// Billionths of a dollar, from as many millionths of them.
fn round_up(millionths: u128) -> u64 {
    u64::try_from(millionths.div_ceil(MILLION)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
