//! `NodeService`: shows the nodes.

use std::sync::Arc;

use tollgate_proto::admin::v1::node_service_server::NodeService;
use tollgate_proto::admin::v1::{ListNodesRequest, ListNodesResponse};
use tonic::{Request, Response, Status};

use crate::nodes::Nodes;
use crate::snapshot::Current;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    nodes: Arc<Nodes>,
    current: Current,
}

impl Service {
    pub(crate) fn new(nodes: Arc<Nodes>, current: Current) -> Self {
        Self { nodes, current }
    }
}

#[tonic::async_trait]
impl NodeService for Service {
    async fn list_nodes(
        &self,
        _request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let revision = self
            .current
            .borrow()
            .as_ref()
            .map_or(0, |snapshot| snapshot.revision);
        Ok(Response::new(ListNodesResponse {
            nodes: self.nodes.list(),
            revision,
        }))
    }
}
