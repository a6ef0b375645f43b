//! `tollgate nodes`: who is connected, and which revision each runs.

use tollgate_proto::admin::v1::{ListNodesRequest, ListNodesResponse, Node};

use crate::error::Error;
use crate::operator::Operator;
use crate::table::Table;
use crate::{json, output};

/// Arguments of `tollgate nodes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    operator: Operator,
}

/// Lists the nodes.
///
/// # Errors
/// Why the control plane did not answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let control = arguments.operator.connect().await?;
    let mut client = control.nodes();
    let call = client.list_nodes(ListNodesRequest {});
    let list = control.remote.call(call).await?;
    output::show(
        arguments.operator.output(),
        || json::of(&list, "tollgate.admin.v1.ListNodesResponse"),
        || table(&list),
    )
}

fn table(list: &ListNodesResponse) -> String {
    if list.nodes.is_empty() {
        return "no node has connected in the last ten minutes\n".to_owned();
    }
    let mut table = Table::new([
        "NAME",
        "ADDRESS",
        "VERSION",
        "REVISION",
        "IN FLIGHT",
        "STATE",
    ]);
    for node in &list.nodes {
        table.row([
            node.name.clone(),
            node.address.clone(),
            node.version.clone(),
            node.revision.to_string(),
            node.in_flight.to_string(),
            state(node, list.revision),
        ]);
    }
    format!("{}\ncurrent revision: {}\n", table.render(), list.revision)
}

fn state(node: &Node, current: u64) -> String {
    if !node.connected {
        let last = node.last_seen_at.map(|at| format!(", last seen {at}"));
        return format!("disconnected{}", last.unwrap_or_default());
    }
    match node.rejected_revision {
        0 if node.revision == current => "current".to_owned(),
        0 => "behind".to_owned(),
        refused => format!("refused {refused}: {}", node.rejected_reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_refused_says_why() {
        let node = Node {
            connected: true,
            revision: 2,
            rejected_revision: 3,
            rejected_reason: "no such file".to_owned(),
            ..Node::default()
        };
        assert_eq!(state(&node, 3), "refused 3: no such file");
        let well = Node {
            connected: true,
            revision: 3,
            ..Node::default()
        };
        assert_eq!(state(&well, 3), "current");
        assert_eq!(state(&well, 4), "behind");
        assert_eq!(state(&Node::default(), 3), "disconnected");
    }
}
