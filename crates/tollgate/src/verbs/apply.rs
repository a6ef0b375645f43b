//! `tollgate apply`: makes a policy the current one.

use std::fmt::Write;
use std::time::Duration;

use tollgate_proto::admin::v1::{ApplyPolicyRequest, ApplyPolicyResponse, NodeOutcome};

use crate::error::Error;
use crate::files::PolicyFiles;
use crate::operator::Operator;
use crate::table::Table;
use crate::verbs::validate;
use crate::{duration, json, output};

/// What the control plane gets on top of the wait for answering.
const MARGIN: Duration = Duration::from_secs(30);

/// Arguments of `tollgate apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: PolicyFiles,
    /// Only say what would change
    #[arg(long, env = "TOLLGATE_DRY_RUN")]
    dry_run: bool,
    /// Return when every connected node runs the policy, and fail if one does not
    #[arg(long, env = "TOLLGATE_WAIT")]
    wait: bool,
    /// How long to wait
    #[arg(long, default_value = "30s", value_parser = duration::parse, requires = "wait")]
    timeout: Duration,
    /// Why, for the history
    #[arg(short, long, env = "TOLLGATE_MESSAGE", default_value = "")]
    message: String,
    /// Fail unless this revision is the current one
    #[arg(
        long,
        value_name = "REVISION",
        default_value_t = 0,
        hide_default_value = true
    )]
    expect: u64,
    #[command(flatten)]
    operator: Operator,
}

/// Applies the policy.
///
/// # Errors
/// Every fault of the policy; why the control plane did not take it; which nodes do not run it.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let (policy, warnings) = arguments.files.load_warned()?;
    validate::warn(&warnings);
    let control = arguments.operator.connect().await?;
    let wait = arguments.wait.then_some(arguments.timeout);
    let request = ApplyPolicyRequest {
        policy: Some(policy),
        dry_run: arguments.dry_run,
        message: arguments.message.clone(),
        expected_revision: arguments.expect,
        wait: wait.map(wire),
    };
    let mut client = control.policy();
    let limit = wait.unwrap_or_default() + MARGIN;
    let call = client.apply_policy(request);
    let answer = control.remote.call_within(limit, call).await?;
    output::show(
        arguments.operator.output(),
        || json::of(&answer, "tollgate.admin.v1.ApplyPolicyResponse"),
        || report(&answer, arguments.dry_run, wait.is_some()),
    )?;
    everywhere(&answer.nodes)
}

fn wire(wait: Duration) -> prost_types::Duration {
    // A parsed duration is at most 2^64 ms and always fits.
    prost_types::Duration::try_from(wait).unwrap_or_default()
}

fn report(answer: &ApplyPolicyResponse, dry_run: bool, waited: bool) -> String {
    let revision = answer.revision.as_ref().map_or(0, |r| r.revision);
    let mut text = match (answer.applied, dry_run) {
        (true, _) => format!("revision {revision} is applied\n"),
        (false, true) => format!("dry run: revision {revision} stays, nothing was changed\n"),
        (false, false) => format!("revision {revision} is this policy already\n"),
    };
    for change in &answer.changes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", crate::table::visible(change));
    }
    if waited {
        text.push_str(&nodes(&answer.nodes));
    }
    text
}

fn nodes(nodes: &[NodeOutcome]) -> String {
    if nodes.is_empty() {
        return "no node is connected\n".to_owned();
    }
    let mut table = Table::new(["NODE", "RUNS IT", "REASON"]);
    for node in nodes {
        let runs = if node.running { "yes" } else { "no" };
        table.row([node.node.clone(), runs.to_owned(), node.reason.clone()]);
    }
    table.render()
}

fn everywhere(nodes: &[NodeOutcome]) -> Result<(), Error> {
    let behind: Vec<&str> = nodes
        .iter()
        .filter(|node| !node.running)
        .map(|node| node.node.as_str())
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "the policy is applied, but these nodes do not run it yet: {}; see `tollgate nodes`",
        behind.join(", ")
    )))
}
