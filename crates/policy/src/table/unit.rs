//! What limits count, and how many units of it a request is.

use std::fmt;

use crate::money;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Input and output tokens.
    Tokens,
    /// Input tokens.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Money, in billionths of a US dollar.
    Cost,
    /// Requests at once.
    Concurrent,
}

impl Unit {
    /// Every unit, each at the place of its number.
    pub const ALL: [Self; 6] = [
        Self::Requests,
        Self::Tokens,
        Self::InputTokens,
        Self::OutputTokens,
        Self::Cost,
        Self::Concurrent,
    ];

    /// Returns its name as in a policy, such as `input_tokens` or `cost_usd`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Cost => "cost_usd",
            Self::Concurrent => "concurrent",
        }
    }

    /// Returns the most that a limit may let through: what the counters of nodes hold with room to spare. Of money it
    /// is a hundred million dollars.
    #[must_use]
    pub fn most(self) -> u64 {
        match self {
            Self::Requests | Self::Tokens | Self::InputTokens | Self::OutputTokens => {
                1_000_000_000_000
            }
            Self::Cost => 100_000_000_000_000_000,
            Self::Concurrent => 1_000_000,
        }
    }

    /// Returns the unit of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.as_str() == name)
    }

    /// Returns so many units as text without the unit's name: a count, or US dollars such as `2.5`.
    #[must_use]
    pub fn figure(self, units: u64) -> String {
        match self {
            Self::Requests
            | Self::Tokens
            | Self::InputTokens
            | Self::OutputTokens
            | Self::Concurrent => units.to_string(),
            Self::Cost => money::dollars(units),
        }
    }
}

/// So many units, as people read it: `100 requests`, `20 output tokens`, `2.5 USD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// What is counted.
    pub unit: Unit,
    /// How much of it.
    pub units: u64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.unit {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
            Unit::InputTokens => "input tokens",
            Unit::OutputTokens => "output tokens",
            Unit::Cost => "USD",
            Unit::Concurrent => "requests at once",
        };
        write!(f, "{} {name}", self.unit.figure(self.units))
    }
}

/// What a request uses, or may use, of everything that limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Requests: 1, or 0 for a further part of one that is counted already.
    pub requests: u64,
    /// Input tokens.
    pub input: u64,
    /// Those of `input` that the provider read from its cache.
    pub cached_input: u64,
    /// Output tokens.
    pub output: u64,
    /// Billionths of a US dollar.
    pub cost: u64,
}

/// How use is counted in the units of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What is counted.
    pub unit: Unit,
    /// How much of `tokens` each kind of token is; of `input_tokens`, how much those read from a cache are.
    pub weights: Weights,
}

/// How much of a limit on tokens each kind of token is, in thousandths of an input token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Of an input token read from the provider's cache. At most 1000.
    pub cached_input: u32,
    /// Of an output token.
    pub output: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            cached_input: 1000,
            output: 1000,
        }
    }
}

impl Measure {
    /// Returns the units of a use. A weighted sum of tokens is rounded up. Cached input that exceeds the input is
    /// the provider's slip, and counted once.
    #[must_use]
    pub fn units(&self, used: &Use) -> u64 {
        match self.unit {
            Unit::Requests => used.requests,
            Unit::Tokens => self.weights.tokens(used),
            Unit::InputTokens => self.weights.tokens(&Use { output: 0, ..*used }),
            Unit::OutputTokens => used.output,
            Unit::Cost => used.cost,
            // A slot is held while the request runs, and never used up.
            Unit::Concurrent => 0,
        }
    }
}

impl Weights {
    fn tokens(&self, used: &Use) -> u64 {
        let cached = used.cached_input.min(used.input);
        let part = |tokens: u64, thousandths: u32| u128::from(tokens) * u128::from(thousandths);
        let sum = part(used.input - cached, 1000)
            + part(cached, self.cached_input)
            + part(used.output, self.output);
        u64::try_from(sum.div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

/// What is held of a limit while a request runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reserve {
    /// All the output that the request may have.
    #[default]
    WorstCase,
    /// The output that answers mostly stay within. What goes beyond is debt.
    Expected,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Amount, Measure, Unit, Use, Weights};

    fn used(input: u64, cached_input: u64, output: u64) -> Use {
        Use {
            requests: 1,
            input,
            cached_input,
            output,
            cost: 77,
        }
    }

    #[test]
    fn each_unit_counts_its_own() {
        let units = |unit| {
            let weights = Weights::default();
            Measure { unit, weights }.units(&used(10, 4, 3))
        };
        assert_eq!(Unit::ALL.map(units), [1, 13, 10, 3, 77, 0]);
        for unit in Unit::ALL {
            assert_eq!(Unit::parse(unit.as_str()), Some(unit));
            assert!(Unit::ALL[unit as usize] == unit);
        }
    }

    #[test]
    fn weighted_sums_are_rounded_up() {
        let weights = Weights {
            cached_input: 100,
            output: 4000,
        };
        let measure = Measure {
            unit: Unit::Tokens,
            weights,
        };
        for (use_of, units) in [
            (used(10, 0, 0), 10),
            (used(10, 1, 0), 10),
            (used(10, 10, 0), 1),
            (used(10, 20, 0), 1),
            (used(0, 0, 5), 20),
            (used(u64::MAX, 0, u64::MAX), u64::MAX),
        ] {
            assert_eq!(measure.units(&use_of), units, "{use_of:?}");
        }
    }

    #[test]
    fn amounts_read_in_their_own_terms() {
        let shown = |unit, units| Amount { unit, units }.to_string();
        assert_eq!(shown(Unit::Requests, 100), "100 requests");
        assert_eq!(shown(Unit::OutputTokens, 5), "5 output tokens");
        assert_eq!(shown(Unit::Cost, 2_500_000_000), "2.5 USD");
        assert_eq!(shown(Unit::Cost, 1), "0.000000001 USD");
    }

    proptest! {
        /// What is reserved without knowing what comes from the cache always suffices.
        #[test]
        fn cached_input_never_counts_more(
            input in 0..1_000_000u64, cached in 0..1_000_000u64, output in 0..1_000_000u64,
            cached_weight in 0..=1000u32, output_weight in 0..=100_000u32,
        ) {
            let weights = Weights { cached_input: cached_weight, output: output_weight };
            let measure = Measure { unit: Unit::Tokens, weights };
            let reserved = measure.units(&used(input, 0, output));
            prop_assert!(measure.units(&used(input, cached, output)) <= reserved);
        }
    }
}
