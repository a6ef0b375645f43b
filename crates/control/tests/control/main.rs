//! The control plane over real stores and real connections: one test binary, so that it links once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod control;
mod etcd;
mod faulty;
mod quota;
mod services;
mod store;
