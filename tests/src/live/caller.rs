//! Calls the gateway, over both edges.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::embedding_service_client::EmbeddingServiceClient;
use tollgate_proto::completion::v1::{
    Choice, CompleteRequest, CompleteResponse, EmbedRequest, EmbedResponse, FinishReason,
    StreamCompleteResponse, part_delta,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::gateway::Gateway;

/// Calls the gateway.
#[derive(Debug)]
pub(super) struct Caller {
    client: CompletionServiceClient<Channel>,
    embeddings: EmbeddingServiceClient<Channel>,
    /// The OpenAI edge.
    http: reqwest::Client,
    url: String,
    authorization: MetadataValue<Ascii>,
}

impl Caller {
    pub(super) async fn connect(gateway: &Gateway) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(gateway.url())?.connect().await?;
        Ok(Self {
            client: CompletionServiceClient::new(channel.clone()),
            embeddings: EmbeddingServiceClient::new(channel),
            http: reqwest::Client::builder().no_proxy().build()?,
            url: gateway.url(),
            authorization: format!("Bearer {}", gateway.key("live/live/live")?).parse()?,
        })
    }
    pub(super) async fn whole(&self, request: CompleteRequest) -> Result<CompleteResponse, Status> {
        let request = self.authorized(request);
        Ok(self.client.clone().complete(request).await?.into_inner())
    }

    pub(super) async fn streamed(&self, request: CompleteRequest) -> Result<Streamed, Status> {
        let request = self.authorized(request);
        let mut client = self.client.clone();
        let mut stream = client.stream_complete(request).await?.into_inner();
        let mut out = Streamed::default();
        while let Some(piece) = stream.message().await? {
            out.add(piece);
        }
        Ok(out)
    }

    pub(super) async fn embed(&self, request: EmbedRequest) -> Result<EmbedResponse, Status> {
        let request = self.authorized(request);
        let answer = self.embeddings.clone().embed(request).await?;
        Ok(answer.into_inner())
    }

    /// Asks over the OpenAI edge.
    pub(super) async fn by_http(&self, body: &Value) -> anyhow::Result<(StatusCode, Value)> {
        let request = self
            .http
            .post(format!("{}/v1/chat/completions", self.url))
            .header(AUTHORIZATION, self.authorization.as_bytes())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, serde_json::from_str(&answer.text().await?)?))
    }

    fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = self.authorization.clone();
        request.metadata_mut().insert("authorization", value);
        request
    }
}

/// A stream read to its end.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    pub(super) text: String,
    /// Name and arguments of each call.
    pub(super) calls: BTreeMap<u32, (String, String)>,
    /// How it ended, and what it used.
    pub(super) whole: CompleteResponse,
}

impl Streamed {
    fn add(&mut self, piece: StreamCompleteResponse) {
        self.whole.usage = piece.usage.or(self.whole.usage.take());
        for choice in piece.choices {
            for delta in &choice.parts {
                match &delta.delta {
                    Some(part_delta::Delta::Text(text)) => self.text.push_str(text),
                    Some(part_delta::Delta::ToolCall(call)) => {
                        let (name, arguments) = self.calls.entry(call.index).or_default();
                        name.push_str(&call.name);
                        arguments.push_str(&call.arguments_json);
                    }
                    _ => {}
                }
            }
            if choice.finish_reason() != FinishReason::Unspecified {
                self.whole.choices.push(Choice {
                    finish_reason: choice.finish_reason,
                    ..Choice::default()
                });
            }
        }
    }
}
