//! The control plane: it keeps policy and keys in a [`store`], streams them to nodes, and hands out quota.
//!
//! [`app::App`] is the composition root. It is given a store and a listener, and serves the operators'
//! services (`tollgate.admin.v1`) and the nodes' (`tollgate.node.v1`) until it is told to stop.
//!
//! What it does **not** do: it never sees a prompt or a response, it calls no provider, and no request of a
//! caller waits for it save for the first use of a key or of a limit on a node. It decides nothing about
//! quota itself: that is the state machine of `tollgate_quota`, which [`store`] transactions guard. It knows
//! nothing of the crate `node`; the two meet in the contract.

pub mod app;
pub mod error;
pub mod metrics;
pub mod store;

mod admission;
mod audit;
mod auth;
mod backoff;
mod base32;
mod clock;
mod config_service;
mod directory;
mod incoming;
mod key_service;
mod keys;
mod limit_service;
mod node_service;
mod nodes;
mod origin;
mod owner;
mod ownership;
mod page;
mod peers;
mod placement;
mod policy_service;
mod quota_service;
mod revisions;
mod sightings;
mod snapshot;
mod subject_service;
mod subjects;
mod wire;
