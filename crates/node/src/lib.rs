//! The data plane: what callers talk to.
//!
//! A node authenticates a caller, takes units from every limit that applies, brings the request to a provider
//! that answers it, and settles what it really used. `app` puts the parts together. A request comes in at an
//! edge (`grpc`, `http`), is decoded once (`decode`, or the provider crate's parser for OpenAI's format), and
//! runs through `complete` → `limiter` → `dispatch` → `upstream`, measured by `meter` until its last byte.
//! Policy and keys come over `config_stream` and are kept in `snapshot`; leases travel over `quota_stream`.
//!
//! What it does NOT do: it never waits for the control plane to admit a request, except for the first use of a
//! key or a limit here and when a limit is nearly used up. It stores no prompt and no answer, logs neither, and
//! sends neither to the control plane. Which deployment is tried, what a lease admits, how a provider is spoken
//! to and what a policy means are decided in `balance`, `quota`, `provider` and `policy`, which know no socket.

mod address;
pub mod app;
mod arriving;
mod asked;
mod bounds;
mod capabilities;
pub mod check;
mod clock;
mod complete;
pub mod config;
mod config_stream;
mod control;
mod count;
mod counting;
mod deadline;
mod decode;
mod dispatch;
mod edge;
pub mod error;
mod executor;
mod expected;
mod explain;
mod gate;
#[cfg(test)]
mod golden;
mod grpc;
mod guarded;
mod http;
mod journal;
mod keys;
mod limiter;
mod meter;
pub mod metrics;
mod patient;
mod permit;
mod plan;
mod prepared;
mod quota_stream;
mod random;
mod ratelimit;
mod revision;
mod route;
mod server;
mod shadow;
mod snapshot;
mod traffic;
mod upstream;
mod weight;
mod wire;
mod workers;

pub use app::serve;
pub use config::{Bounds, BudgetTooSmall, Config, Secret};
pub use error::{Error, StartError, Violation};
pub use metrics::describe as describe_metrics;
