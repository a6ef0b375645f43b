//! Choosing a deployment for a request: pools in order of preference and a strategy for each, the health, the speed and
//! the load of targets, and a budget for retries.
//!
//! A `Route` is what policy says: pools in order, targets and a `Strategy` in each. `Attempts` walks it for one request,
//! never the same target twice. `Fleet` remembers what traffic told about all targets, and `RetryBudget` keeps retries
//! a small share of the requests, so that a provider in trouble is not buried by its own callers.
//!
//! What this crate does NOT do: it knows no provider, no policy and no request, only a number per target and one per
//! provider. It reads no clock and draws no random numbers: `now` is a `Duration` since any origin the caller keeps to,
//! randomness a `u64`. It holds no lock; the owner shares it as it sees fit. Choosing allocates nothing
//! for pools of up to 16 targets.

mod allowance;
mod error;
mod fleet;
mod health;
mod pace;
mod retry_budget;
mod route;
mod saving;
mod strategy;

pub use allowance::{Load, Word, Words};
pub use error::Error;
pub use fleet::{Attempt, Fleet, Known, Member, Outcome, Report, Whom, Wish};
pub use health::{Condition, HealthConfig, Return, Standing};
pub use retry_budget::{RetryBudget, RetryBudgetConfig};
pub use route::{Attempts, Candidate, Cause, Causes, Pool, Route, Step, Tried};
pub use strategy::{Draw, Sight, Strategy, Target};
