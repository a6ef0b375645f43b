//! Asks a node one by one, over gRPC.

use anyhow::Context;
use tollgate_proto::completion::v1 as pb;
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::Stage;
use crate::gateway::user;

/// A caller with a connection.
pub(super) struct Asker {
    client: CompletionServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

/// What became of a prompt.
pub(super) struct Answered {
    /// The deployment.
    pub(super) by: String,
    pub(super) nano_usd: i64,
}

impl Asker {
    pub(super) async fn connect(stage: &Stage) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(stage.gateway.url())?;
        Ok(Self {
            client: CompletionServiceClient::new(endpoint.connect().await?),
            authorization: format!("Bearer {}", stage.key).parse()?,
        })
    }

    /// Who answers a prompt, and what that costs.
    pub(super) async fn ask(&mut self, model: &str, text: &str) -> anyhow::Result<Answered> {
        let request = self.request(conversation(model, text));
        let answer = self.client.complete(request).await?.into_inner();
        let cost = answer.cost.and_then(|cost| cost.nano_usd);
        Ok(Answered {
            by: answer.route.unwrap_or_default().deployment,
            nano_usd: cost.context("a cost")?,
        })
    }

    /// The tokens that the node takes a prompt for.
    pub(super) async fn count(&mut self, model: &str, text: &str) -> anyhow::Result<u64> {
        let request = self.request(pb::CountTokensRequest {
            request: Some(conversation(model, text)),
            local: true,
        });
        let counted = self.client.count_tokens(request).await?;
        Ok(counted.into_inner().input_tokens)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let authorization = self.authorization.clone();
        let metadata = request.metadata_mut();
        metadata.insert("authorization", authorization);
        request
    }
}

fn conversation(model: &str, text: &str) -> pb::CompleteRequest {
    pb::CompleteRequest {
        model: model.to_owned(),
        messages: vec![user(text.to_owned())],
        ..pb::CompleteRequest::default()
    }
}
