//! What operators write, made safe to run: the YAML form of a policy, its validation, and the immutable
//! lookup table that nodes serve requests from.
//!
//! - [`yaml`]: texts to a [`Policy`](tollgate_proto::policy::v1::Policy) message and back. One generic mapping driven
//!   by the contract's descriptors, so the messages stay the only schema.
//! - [`validate`] and [`warnings`]: what is wrong with a policy, all of it, each with its path and a hint. They
//!   work on the message, so what arrives over gRPC meets the same rules as what was read from a file.
//! - [`compile`] and [`table`]: names resolved, defaults applied. Past it there is no `Option` that should be
//!   there and no name left to look up on the way of a request.
//! - [`price`]: what a request costs, by the policy and by the catalog that comes with the program.
//! - [`subject`] and [`counter`]: to whom a key belongs, and the names under which use is counted.
//!
//! ```
//! use tollgate_policy::{Subject, compile, table::Caller, yaml};
//!
//! let text = b"
//! providers: { fake: { kind: simulated } }
//! deployments: { canned: { provider: fake, model: canned } }
//! pools: { all: { targets: [ { deployment: canned } ] } }
//! models: { chat: { routes: [ { pools: [all] } ] } }
//! limits: [ { name: per-team, per: [team], requests: 60, window: 1m } ]
//! ";
//! let policy = yaml::load(&[yaml::Source { name: "policy.yaml", text }]).expect("the policy has no fault");
//! let table = compile(&policy, 1).expect("what was loaded compiles");
//! let subject = Subject::parse("acme/search/ada").expect("a path");
//! let model = table.model("chat").expect("a model of the policy");
//! let counters = table.counters(&Caller::new("k1", &subject), model);
//! assert_eq!(counters[0].counter, "per-team/requests=60s/team=acme/search");
//! ```
//!
//! It does NOT read files, resolve host names or credentials, know the time, or decide anything about one
//! request. It has no socket, clock, task or global state beyond the contract's descriptors and
//! the catalog of prices, which never change.

pub mod address;
mod ceilings;
pub mod complexity;
pub mod condition;
pub mod counter;
mod diff;
mod error;
mod fault;
pub mod labels;
mod limits;
pub mod money;
mod nearest;
mod path;
pub mod price;
pub mod subject;
pub mod table;
mod validate;
pub mod yaml;

pub use diff::diff;
pub use error::Error;
pub use fault::{Fault, Place};
pub use subject::Subject;
pub use table::{Table, compile};
pub use validate::{validate, warnings};

/// The contract's messages, by a short name.
pub(crate) use tollgate_proto::policy::v1 as pb;
