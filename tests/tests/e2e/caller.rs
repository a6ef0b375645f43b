//! A caller over gRPC.

use std::time::Duration;

use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::embedding_service_client::EmbeddingServiceClient;
use tollgate_proto::completion::v1::{
    AttemptOutcome, CompleteRequest, CompleteResponse, CountTokensRequest, CountTokensResponse,
    EmbedInput, EmbedRequest, EmbedResponse, ExplainRequest, Explanation, Message, Part, Role,
    RouteTaken, StreamCompleteResponse, Usage, embed_input, part, part_delta,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt;

/// Calls one node with one key.
#[derive(Debug, Clone)]
pub struct Caller {
    client: CompletionServiceClient<Channel>,
    embeddings: EmbeddingServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

/// A stream read to its end.
#[derive(Debug, Default)]
pub struct Streamed {
    pub thinking: String,
    pub text: String,
    /// Name and arguments of each tool call.
    pub calls: Vec<(String, String)>,
    pub usage: Option<Usage>,
    pub route: Option<RouteTaken>,
}

impl Caller {
    pub fn new(url: &str, secret: &str) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(url.to_owned())?.connect_lazy();
        Ok(Self {
            client: CompletionServiceClient::new(channel.clone()),
            embeddings: EmbeddingServiceClient::new(channel),
            authorization: format!("Bearer {secret}").parse()?,
        })
    }

    /// Sends any request.
    pub async fn send(&self, request: CompleteRequest) -> Result<CompleteResponse, Status> {
        let mut client = self.client.clone();
        let answer = client.complete(self.authorized(request)).await?;
        Ok(answer.into_inner())
    }

    /// Asks `model` once.
    pub async fn complete(&self, model: &str, text: &str) -> Result<CompleteResponse, Status> {
        self.send(ask(model, text)).await
    }

    /// Asks for vectors.
    pub async fn embed(&self, request: EmbedRequest) -> Result<EmbedResponse, Status> {
        let mut client = self.embeddings.clone();
        let answer = client.embed(self.authorized(request)).await?;
        Ok(answer.into_inner())
    }

    /// Has a conversation counted.
    pub async fn count(&self, request: CountTokensRequest) -> Result<CountTokensResponse, Status> {
        let mut client = self.client.clone();
        let answer = client.count_tokens(self.authorized(request)).await?;
        Ok(answer.into_inner())
    }

    /// Asks what would become of a request.
    pub async fn explain(&self, request: CompleteRequest) -> Result<Explanation, Status> {
        let mut client = self.client.clone();
        let request = ExplainRequest {
            request: Some(request),
            stream: false,
        };
        let answer = client.explain(self.authorized(request)).await?;
        Ok(answer.into_inner().explanation.unwrap_or_default())
    }

    /// Sends a request, and asks why it goes where it goes.
    pub async fn send_explained(
        &self,
        request: CompleteRequest,
    ) -> Result<CompleteResponse, Status> {
        let mut request = self.authorized(request);
        let wanted = MetadataValue::from_static("1");
        request.metadata_mut().insert("x-tollgate-explain", wanted);
        let mut client = self.client.clone();
        Ok(client.complete(request).await?.into_inner())
    }

    /// Opens a stream.
    pub async fn open(
        &self,
        request: CompleteRequest,
    ) -> Result<Streaming<StreamCompleteResponse>, Status> {
        let mut client = self.client.clone();
        let answer = client.stream_complete(self.authorized(request)).await?;
        Ok(answer.into_inner())
    }

    /// Asks `model` for a stream and reads it to its end. With an error comes the text before it.
    pub async fn stream(&self, request: CompleteRequest) -> Result<Streamed, (Status, Streamed)> {
        read(self.open(request).await).await
    }

    /// The same for a caller who waits so long.
    pub async fn stream_within(
        &self,
        request: CompleteRequest,
        limit: Duration,
    ) -> Result<Streamed, (Status, Streamed)> {
        let mut request = self.authorized(request);
        request.set_timeout(limit);
        let mut client = self.client.clone();
        let answer = client.stream_complete(request).await;
        read(answer.map(tonic::Response::into_inner)).await
    }

    fn authorized<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let value = self.authorization.clone();
        request.metadata_mut().insert("authorization", value);
        request
    }
}

/// Reads a stream to its end.
async fn read(
    opened: Result<Streaming<StreamCompleteResponse>, Status>,
) -> Result<Streamed, (Status, Streamed)> {
    let mut all = Streamed::default();
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(status) => return Err((status, all)),
    };
    loop {
        match stream.message().await {
            Ok(Some(piece)) => all.add(piece),
            Ok(None) => return Ok(all),
            Err(status) => return Err((status, all)),
        }
    }
}

impl Streamed {
    fn add(&mut self, piece: StreamCompleteResponse) {
        for part in piece.choices.into_iter().flat_map(|choice| choice.parts) {
            match part.delta {
                Some(part_delta::Delta::Text(text)) => self.text.push_str(&text),
                Some(part_delta::Delta::Reasoning(thinking)) => {
                    self.thinking.push_str(&thinking.text);
                }
                Some(part_delta::Delta::ToolCall(call)) => {
                    let index = call.index as usize;
                    if self.calls.len() <= index {
                        self.calls.resize_with(index + 1, Default::default);
                    }
                    self.calls[index].0.push_str(&call.name);
                    self.calls[index].1.push_str(&call.arguments_json);
                }
                _ => {}
            }
        }
        self.usage = piece.usage.or(self.usage.take());
        self.route = piece.route.or(self.route.take());
    }
}

/// A request of one user message.
pub fn ask(model: &str, text: &str) -> CompleteRequest {
    let part = Part {
        part: Some(part::Part::Text(text.to_owned())),
        ..Part::default()
    };
    CompleteRequest {
        model: model.to_owned(),
        messages: vec![Message {
            role: Role::User.into(),
            parts: vec![part],
            ..Message::default()
        }],
        ..CompleteRequest::default()
    }
}

/// A request for the vectors of texts.
pub fn embed(model: &str, texts: &[&str]) -> EmbedRequest {
    let input = |text: &&str| EmbedInput {
        input: Some(embed_input::Input::Text((*text).to_owned())),
    };
    EmbedRequest {
        model: model.to_owned(),
        inputs: texts.iter().map(input).collect(),
        ..EmbedRequest::default()
    }
}

/// The text of the first answer.
pub fn text(response: &CompleteResponse) -> String {
    let message = response.choices.first().and_then(|c| c.message.as_ref());
    let parts = message.map(|message| message.parts.as_slice());
    let texts = parts.unwrap_or_default().iter().map(|p| match &p.part {
        Some(part::Part::Text(text)) => text.as_str(),
        _ => "",
    });
    texts.collect()
}

/// The stable reason in a status.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

/// When a status says to come back.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The limits that a status names.
pub fn refused_by(status: &Status) -> Vec<String> {
    let failure = status.get_details_quota_failure();
    let violations = failure.map(|failure| failure.violations);
    let violations = violations.unwrap_or_default().into_iter();
    violations.map(|violation| violation.subject).collect()
}

/// The deployments that were asked, and how that ended.
pub fn attempts(route: Option<RouteTaken>) -> Vec<(String, AttemptOutcome)> {
    let attempts = route.unwrap_or_default().attempts.into_iter();
    attempts
        .map(|attempt| (attempt.deployment.clone(), attempt.outcome()))
        .collect()
}
