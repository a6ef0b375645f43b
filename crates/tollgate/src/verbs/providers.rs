//! `tollgate providers`: asks a provider whether it has what a policy says of it.

use serde_json::json;
use tollgate_node::check::{self, Checked, CheckedDeployment};

use crate::error::Error;
use crate::files::PolicyFiles;
use crate::output::{self, Format};
use crate::table::Table;

/// Arguments of `tollgate providers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Ask a provider of a policy which models it has and how it counts tokens
    ///
    /// It is called from here, with the credential that the policy names: its variable or file must be here too.
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// Name of the provider in the policy
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    files: PolicyFiles,
    /// Form of the output
    #[arg(long, short, env = "TOLLGATE_OUTPUT", value_name = "FORM")]
    output: Option<Format>,
}

/// Checks a provider.
///
/// # Errors
/// A fault of the policy, a provider that does not answer, or a deployment of a model that is not there.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let Action::Check(arguments) = arguments.action;
    let policy = arguments.files.load()?;
    let table = tollgate_policy::table::compile(&policy, 0)
        .map_err(|faults| Error::Faults(faults.iter().map(ToString::to_string).collect()))?;
    let name = &arguments.name;
    let found = check::provider(&table, name).await;
    let found = found.map_err(|problem| Error::Failed(format!("{name}: {problem}")))?;
    let form = arguments.output.unwrap_or_default();
    output::show(form, || Ok(value(&found)), || shown(&found))?;
    let missing: Vec<_> = found
        .deployments
        .iter()
        .filter(|it| it.there == Some(false))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let of = |it: &&CheckedDeployment| format!("{} ({})", it.name, it.model);
    let missing: Vec<_> = missing.iter().map(of).collect();
    let missing = missing.join(", ");
    Err(Error::Failed(format!(
        "{name} has no such model for its key: {missing}; mend the names in the policy, or the key's rights"
    )))
}

fn value(found: &Checked) -> serde_json::Value {
    let deployment = |it: &CheckedDeployment| {
        json!({
            "name": it.name, "model": it.model, "there": it.there,
            "counted_tokens": it.counted, "estimated_tokens": it.estimated,
        })
    };
    let deployments: Vec<_> = found.deployments.iter().map(deployment).collect();
    json!({ "models": found.models, "deployments": deployments })
}

fn shown(found: &Checked) -> String {
    let mut table = Table::new(["DEPLOYMENT", "MODEL", "THERE", "COUNTED", "ESTIMATED"]);
    for it in &found.deployments {
        let there = match it.there {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        let counted = it
            .counted
            .map_or_else(|| "-".to_owned(), |count| count.to_string());
        table.row([
            it.name.clone(),
            it.model.clone(),
            there.to_owned(),
            counted,
            it.estimated.to_string(),
        ]);
    }
    let models = match found.models {
        Some(count) => format!("its key reaches {count} models"),
        None => "it lists no models at this address".to_owned(),
    };
    format!("{}\n{models}\n", table.render())
}
