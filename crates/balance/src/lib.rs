//! Choosing a deployment for a request: weighted pools in order of preference, the health of
//! targets, and a budget for retries.
//!
//! A `Route` is what policy says: pools in order, weighted targets in each. `Attempts` walks it for
//! one request, never the same target twice. `Health` remembers what traffic told about targets, and
//! `RetryBudget` keeps retries a small share of the requests, so that a provider in trouble is not
//! buried by its own callers.
//!
//! What this crate does NOT do: it knows no provider, no policy and no request, only an id `T` per
//! target. It reads no clock and draws no random numbers: `now` is a `Duration` since any origin the
//! caller keeps to, randomness a `u64`. It holds no lock; the owner shares it as it sees fit.

mod allowance;
mod error;
mod health;
mod retry_budget;
mod route;

pub use allowance::{Allowances, Load, Mark, Word, Words};
pub use error::Error;
pub use health::{Health, HealthConfig, Standing};
pub use retry_budget::{RetryBudget, RetryBudgetConfig};
pub use route::{Attempts, Pool, Route, Target};
