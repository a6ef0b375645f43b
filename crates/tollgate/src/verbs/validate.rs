//! `tollgate validate`: checks a policy offline.

use serde_json::json;
use tollgate_proto::policy::v1::Policy;

use crate::error::Error;
use crate::files::PolicyFiles;
use crate::output::{self, Format};

/// Arguments of `tollgate validate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// Form of the output
    #[arg(long, short, env = "TOLLGATE_OUTPUT", value_name = "FORM")]
    output: Option<Format>,
}

/// Checks the policy.
///
/// # Errors
/// Every fault of the policy, or a file that cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let form = arguments.output.unwrap_or_default();
    let (policy, warnings) = match arguments.files.load_warned() {
        Err(Error::Faults(faults)) if form != Format::Table => {
            let value = json!({"valid": false, "faults": faults, "warnings": []});
            output::show(form, || Ok(value), String::new)?;
            return Err(Error::Faults(faults));
        }
        loaded => loaded?,
    };
    warn(&warnings);
    let value = json!({"valid": true, "faults": [], "warnings": warnings});
    output::show(form, || Ok(value), || summary(&policy))
}

/// Notes what is legal but probably not meant.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        output::note(&format!("warning: {warning}"));
    }
}

fn summary(policy: &Policy) -> String {
    format!(
        "the policy is valid: providers {}, deployments {}, pools {}, models {}, limits {}\n",
        policy.providers.len(),
        policy.deployments.len(),
        policy.pools.len(),
        policy.models.len(),
        policy.limits.len()
    )
}
