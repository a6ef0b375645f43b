//! `tollgate history`: the revisions of the policy, newest first.

use tollgate_proto::admin::v1::{
    ListPolicyRevisionsRequest, ListPolicyRevisionsResponse, PolicyRevision,
};

use crate::error::Error;
use crate::operator::{Operator, PAGE};
use crate::table::Table;
use crate::{json, output};

/// Arguments of `tollgate history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// At most this many revisions
    #[arg(long, default_value_t = 20)]
    most: u32,
    #[command(flatten)]
    operator: Operator,
}

/// Lists revisions.
///
/// # Errors
/// Why the control plane did not answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let control = arguments.operator.connect().await?;
    let most = usize::try_from(arguments.most).unwrap_or(usize::MAX);
    let mut all = ListPolicyRevisionsResponse::default();
    loop {
        let request = ListPolicyRevisionsRequest {
            page_size: arguments.most.clamp(1, PAGE),
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let mut client = control.policy();
        let call = client.list_policy_revisions(request);
        let page = control.remote.call(call).await?;
        all.revisions.extend(page.revisions);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() || all.revisions.len() >= most {
            break;
        }
    }
    all.revisions.truncate(most);
    output::show(
        arguments.operator.output(),
        || json::of(&all, "tollgate.admin.v1.ListPolicyRevisionsResponse"),
        || table(&all.revisions),
    )
}

fn table(revisions: &[PolicyRevision]) -> String {
    if revisions.is_empty() {
        return "no policy has been applied; `tollgate apply -f FILE` applies one\n".to_owned();
    }
    let mut table = Table::new(["REVISION", "APPLIED", "DIGEST", "MESSAGE"]);
    for revision in revisions {
        table.row([
            revision.revision.to_string(),
            revision
                .applied_at
                .map(|at| at.to_string())
                .unwrap_or_default(),
            revision.digest.chars().take(12).collect(),
            revision.message.clone(),
        ]);
    }
    table.render()
}
