//! End to end: real processes, a real etcd, real clients, and a provider that keeps its own account.
//!
//! Each file is a theme, each test a scenario. They start what they need on free ports and wait on
//! conditions, so they can run side by side and in any order. `cargo xtask test` tells them where etcd
//! and Python are.

#![expect(
    clippy::disallowed_methods,
    reason = "black-box tests read the real clock: limits are windows of it"
)]
#![expect(
    unreachable_pub,
    reason = "the modules of a test have no other user, and their names say what they hold"
)]

mod caller;
mod cluster;
mod condition;
mod environment;
mod etcd;
mod http;
mod logs;
mod shell;

mod autonomy;
mod balance;
mod ceilings;
mod clients;
mod continuation;
mod conversation;
mod deadlines;
mod dev;
mod edges;
mod embeddings;
mod explain;
mod failover;
mod inquiry;
mod limits;
mod live;
mod ops;
mod own;
mod policy;
mod providers;
mod readme;
mod sdks;
mod shadow;
mod sightings;
mod streams;
mod subjects;
