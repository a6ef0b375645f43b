//! `tollgate get`: the policy in the form that `apply` takes.

use tollgate_policy::yaml;
use tollgate_proto::admin::v1::GetPolicyRequest;

use crate::error::Error;
use crate::operator::Operator;
use crate::output::{self, Format};
use crate::table::visible;

/// Arguments of `tollgate get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An earlier revision, as `tollgate history` lists them
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    revision: u64,
    #[command(flatten)]
    operator: Operator,
}

/// Prints a policy.
///
/// # Errors
/// Why the control plane did not answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let control = arguments.operator.connect().await?;
    let mut client = control.policy();
    let revision = arguments.revision;
    let call = client.get_policy(GetPolicyRequest { revision });
    let answer = control.remote.call(call).await?;
    let policy = answer.policy.unwrap_or_default();
    let revision = answer.revision.unwrap_or_default();
    if arguments.operator.output() == Format::Json {
        return output::print(&output::json(&yaml::to_json(&policy)));
    }
    let text = yaml::to_yaml(&policy);
    let text = text.map_err(|error| Error::Failed(error.to_string()))?;
    let applied = revision.applied_at.map(|at| format!(", applied {at}"));
    output::print(&format!(
        "# revision {}{} {}\n{text}",
        revision.revision,
        applied.unwrap_or_default(),
        visible(&revision.message)
    ))
}
