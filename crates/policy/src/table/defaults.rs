//! What holds where a policy says nothing. The comments of the contract name the same values.

use std::time::Duration;

/// For the connection to a provider.
pub const CONNECT: Duration = Duration::from_secs(5);
/// For the first byte of a provider's answer.
pub const FIRST_BYTE: Duration = Duration::from_secs(60);
/// Between two events of a provider's stream.
pub const IDLE: Duration = Duration::from_secs(30);
/// Tokens in a simulated answer.
pub const SIMULATED_OUTPUT_TOKENS: u32 = 16;
/// Share of requests that meet a simulated fault, in per cent.
pub const FAULT_PERCENT: u32 = 100;
/// A target's weight.
pub const WEIGHT: u32 = 1;
/// Attempts of a request.
pub const ATTEMPTS: u32 = 3;
/// Copies of requests under way at once at a node.
pub const COPIES_IN_FLIGHT: u32 = 20;
/// For a whole request.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// Output tokens of a request.
pub const MAX_OUTPUT_TOKENS: u32 = 4096;
/// For a limit to have room again, where requests wait for that.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How much of each window of a limit is promised to nodes ahead, in per cent, where it says that some is.
pub const PROMISED_PERCENT: u32 = 50;
/// Failures in a row that take a deployment out of use.
pub const FAILURES: u32 = 3;
/// Failed of a hundred requests that do so.
pub const ERROR_PERCENT: u32 = 25;
/// The fewest requests of which that percentage says anything.
pub const LEAST_REQUESTS: u32 = 10;
/// For how long at first.
pub const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// For how long at most.
pub const LONGEST_EJECTION: Duration = Duration::from_secs(30);
/// How long the share of a deployment grows that is back.
pub const SLOW_START: Duration = Duration::from_secs(10);
