//! Black-box tools: they see Tollgate only through its ports, its command line and `/proc`.
//!
//! - [`provider`]: a fake provider whose ledger is the ground truth of a test.
//! - [`load`]: an open-loop and closed-loop load generator that checks every reply.
//! - [`process`]: child processes that are ready when they say so, and gone when dropped.
//! - [`mod@bench`]: the comparison with no proxy and with nginx.
//! - [`chaos`]: faults on real processes, judged by what reaches the provider.
//! - [`faults`]: callers and providers that misbehave.
//! - [`overload`]: callers while a node is asked for more than it can do.
//! - [`routes`]: callers while deployments are slow, flap, limit and hang.
//!
//! This crate does NOT contain any part of the product, does not link the product's crates other
//! than the generated contract, and never talks to anything but the loopback network; [`chaos`]
//! brings a network of its own, and [`live`] passes a gateway's requests on to the providers that it is given keys for.

#![expect(
    clippy::disallowed_methods,
    reason = "a harness reads real clocks and measures real processes: nothing here runs in virtual time"
)]

mod arm;
pub mod bench;
pub mod chaos;
pub mod faults;
mod gateway;
pub mod live;
pub mod load;
pub mod overload;
pub mod process;
pub mod provider;
pub mod routes;
