//! Calling over gRPC: many callers share a few connections.

use std::time::Instant;

use anyhow::Context;
use tollgate_proto::completion::v1 as pb;
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::Load;
use super::caller::{Answer, Check, Failure, prompt};
use crate::gateway::user;

/// A caller on a shared connection.
#[derive(Debug)]
pub(super) struct GrpcCaller {
    client: CompletionServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
    /// A request without its messages.
    template: pb::CompleteRequest,
    prompt_bytes: usize,
    chunks: u32,
    stream: bool,
}

impl GrpcCaller {
    pub(super) async fn connect(load: &Load) -> anyhow::Result<Vec<Self>> {
        let mut channels = Vec::new();
        for _ in 0..load.connections.max(1) {
            let endpoint = Endpoint::from_shared(load.target.clone()).context("read the target")?;
            let channel = endpoint.tcp_nodelay(true).connect().await;
            channels.push(channel.with_context(|| format!("connect to {}", load.target))?);
        }
        let authorization = match load.key.as_str() {
            "" => None,
            key => Some(
                format!("Bearer {key}")
                    .parse()
                    .context("the key is no header value")?,
            ),
        };
        let template = pb::CompleteRequest {
            model: load.model.clone(),
            max_output_tokens: Some(load.most_tokens()),
            ..pb::CompleteRequest::default()
        };
        let caller = |channel: &Channel| Self {
            client: CompletionServiceClient::new(channel.clone()),
            authorization: authorization.clone(),
            template: template.clone(),
            prompt_bytes: load.prompt_bytes,
            chunks: load.chunks,
            stream: load.stream,
        };
        Ok(channels
            .iter()
            .cycle()
            .take(load.callers)
            .map(caller)
            .collect())
    }

    pub(super) async fn call(&mut self, nonce: &str) -> Answer {
        let request = self.request(nonce);
        let check = Check::new(nonce, self.chunks);
        if self.stream {
            self.call_stream(request, check).await
        } else {
            self.call_whole(request, check).await
        }
    }

    fn request(&self, nonce: &str) -> Request<pb::CompleteRequest> {
        let text = prompt(nonce, self.prompt_bytes);
        let mut request = Request::new(pb::CompleteRequest {
            messages: vec![user(text)],
            ..self.template.clone()
        });
        if let Some(authorization) = &self.authorization {
            let authorization = authorization.clone();
            request
                .metadata_mut()
                .insert("authorization", authorization);
        }
        request
    }

    async fn call_whole(
        &mut self,
        request: Request<pb::CompleteRequest>,
        mut check: Check,
    ) -> Answer {
        let response = self.client.complete(request).await.map_err(refusal)?;
        let mut finished = false;
        for choice in &response.get_ref().choices {
            let message = choice.message.as_ref();
            for part in message.map_or(&[][..], |message| &message.parts) {
                match &part.part {
                    Some(pb::part::Part::Text(text)) => check.content(text)?,
                    other => return Err(Failure::Wrong("unexpected part", format!("{other:?}"))),
                }
            }
            finished |= choice.finish_reason() != pb::FinishReason::Unspecified;
        }
        let _first = check.end(finished)?;
        Ok(Instant::now())
    }

    async fn call_stream(
        &mut self,
        request: Request<pb::CompleteRequest>,
        mut check: Check,
    ) -> Answer {
        let response = self
            .client
            .stream_complete(request)
            .await
            .map_err(refusal)?;
        let mut deltas = response.into_inner();
        let mut finished = false;
        while let Some(message) = deltas.message().await.map_err(refusal)? {
            for choice in &message.choices {
                for part in &choice.parts {
                    match &part.delta {
                        Some(pb::part_delta::Delta::Text(text)) => check.content(text)?,
                        other => {
                            return Err(Failure::Wrong("unexpected part", format!("{other:?}")));
                        }
                    }
                }
                finished |= choice.finish_reason() != pb::FinishReason::Unspecified;
            }
        }
        check.end(finished)
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "every other code is reported by its name; the shape is that of `map_err`"
)]
fn refusal(status: Status) -> Failure {
    let from_the_wire = std::error::Error::source(&status).is_some();
    match status.code() {
        // Made up by the client itself when the connection fails.
        Code::Unavailable | Code::Unknown | Code::Internal if from_the_wire => {
            Failure::Transport(status.message().to_owned())
        }
        code => Failure::Status(format!("{code:?}")),
    }
}
