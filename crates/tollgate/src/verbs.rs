//! The verbs, one file each.

pub(crate) mod apply;
pub(crate) mod complete;
pub(crate) mod control;
pub(crate) mod dev;
pub(crate) mod embed;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod prices;
pub(crate) mod providers;
pub(crate) mod subjects;
pub(crate) mod validate;

use crate::cli::Verb;
use crate::error::Error;

/// Does what was asked for.
///
/// # Errors
/// Those of the verb.
pub(crate) async fn run(verb: Verb) -> Result<(), Error> {
    match verb {
        Verb::Dev(arguments) => dev::run(arguments).await,
        Verb::Control(arguments) => control::run(arguments).await,
        Verb::Node(arguments) => node::run(arguments).await,
        Verb::Apply(arguments) => apply::run(arguments).await,
        Verb::Validate(arguments) => validate::run(&arguments),
        Verb::Prices(arguments) => prices::run(&arguments),
        Verb::Get(arguments) => get::run(arguments).await,
        Verb::History(arguments) => history::run(arguments).await,
        Verb::Keys(arguments) => keys::run(arguments).await,
        Verb::Subjects(arguments) => subjects::run(arguments).await,
        Verb::Nodes(arguments) => nodes::run(arguments).await,
        Verb::Limits(arguments) => limits::run(arguments).await,
        Verb::Providers(arguments) => providers::run(arguments).await,
        Verb::Complete(arguments) => complete::run(arguments).await,
        Verb::Embed(arguments) => embed::run(arguments).await,
        Verb::Explain(arguments) => explain::run(arguments).await,
    }
}
