//! The gRPC edge.

mod embeddings;
pub(crate) mod encode;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use http::HeaderMap;
use tollgate_proto::completion::v1::completion_service_server::CompletionService;
use tollgate_proto::completion::v1::model_service_server::ModelService;
use tollgate_proto::completion::v1::{
    CompleteRequest, CompleteResponse, CountTokensRequest, CountTokensResponse, ExplainRequest,
    ExplainResponse, ListModelsRequest, ListModelsResponse, Model, StreamCompleteResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::app::Node;
use crate::asked::Asked;
use crate::capabilities::capabilities;
use crate::complete::{Answer, AnswerStream, Call, Refused, complete};
use crate::count::count_tokens;
use crate::deadline::Patience;
use crate::error::Error;
use crate::permit::LimitState;
use crate::{deadline, decode, explain, ratelimit};

/// The services of the gRPC edge.
#[derive(Debug, Clone)]
pub(crate) struct Grpc {
    node: Arc<Node>,
}

impl Grpc {
    /// Serves callers of `node`.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn completion(
        &self,
        request: Request<CompleteRequest>,
        stream: bool,
    ) -> Result<Answer, Status> {
        let decode = |message| {
            let request = Box::new(decode::request(message)?);
            Ok(Asked::Completion { request, stream })
        };
        self.answer(request, decode).await
    }

    async fn answer<M>(
        &self,
        request: Request<M>,
        decode: impl FnOnce(M) -> Result<Asked, Error>,
    ) -> Result<Answer, Status> {
        let (headers, patience, message) = received(request)?;
        complete(&self.node, call(&headers, patience), || decode(message))
            .await
            .map_err(|refused| refusal(&refused))
    }
}

#[tonic::async_trait]
impl CompletionService for Grpc {
    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<CompleteResponse>, Status> {
        match self.completion(request, false).await? {
            Answer::Whole(whole) => {
                let limits = whole.head.limits;
                let mut response = Response::new(encode::whole(*whole));
                add_limits(response.metadata_mut(), &limits);
                Ok(response)
            }
            Answer::Stream(_) | Answer::Embeddings(_) => Err(unlike_asked()),
        }
    }

    async fn count_tokens(
        &self,
        request: Request<CountTokensRequest>,
    ) -> Result<Response<CountTokensResponse>, Status> {
        let (headers, patience, message) = received(request)?;
        let decode = || decode::counting(message);
        let count = count_tokens(&self.node, call(&headers, patience), decode).await;
        let count = count.map_err(|error| error.to_status())?;
        Ok(Response::new(encode::count(count)))
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let (headers, patience, message) = received(request)?;
        let decode = || decode::explaining(message);
        let explained = explain::explain(&self.node, call(&headers, patience), decode).await;
        explained
            .map(Response::new)
            .map_err(|error| error.to_status())
    }

    type StreamCompleteStream =
        Pin<Box<dyn Stream<Item = Result<StreamCompleteResponse, Status>> + Send>>;

    async fn stream_complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<Self::StreamCompleteStream>, Status> {
        match self.completion(request, true).await? {
            Answer::Stream(answer) => {
                let limits = answer.head.limits;
                let mut response = Response::new(stream(answer));
                add_limits(response.metadata_mut(), &limits);
                Ok(response)
            }
            Answer::Whole(_) | Answer::Embeddings(_) => Err(unlike_asked()),
        }
    }
}

#[tonic::async_trait]
impl ModelService for Grpc {
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let headers = request.into_parts().0.into_headers();
        let known = self.node.keys.authenticate(authorization(&headers)).await;
        known
            .and_then(|known| known.admit())
            .map_err(|error| error.to_status())?;
        let revision = self.node.in_force().map_err(|error| error.to_status())?;
        let model = |model: &Arc<tollgate_policy::table::Model>| Model {
            name: model.name.to_string(),
            aliases: model.aliases.clone(),
            max_output_tokens: model.max_output_tokens,
            capabilities: capabilities(&revision.table, model)
                .into_iter()
                .map(|it| encode::capability(it).into())
                .collect(),
        };
        let models = revision.table.models().iter().map(model).collect();
        Ok(Response::new(ListModelsResponse { models }))
    }
}

/// Everything that has arrived goes out in one message, so that a reader that lags gets fewer and larger ones.
fn stream(answer: Box<AnswerStream>) -> <Grpc as CompletionService>::StreamCompleteStream {
    let state = (answer, true);
    Box::pin(futures_util::stream::unfold(
        state,
        |(mut answer, first)| async move {
            let mut message = match answer.next().await? {
                Ok(piece) => encode::piece(piece),
                Err(error) => return Some((Err(error.to_status()), (answer, false))),
            };
            if first {
                message.id.clone_from(&answer.head.id);
                message.model = answer.head.model.to_string();
            }
            Some((Ok(message), (answer, false)))
        },
    ))
}

/// The headers of a request, how long the caller waits, and the message.
fn received<M>(request: Request<M>) -> Result<(HeaderMap, Patience, M), Status> {
    let (metadata, extensions, message) = request.into_parts();
    let patience = deadline::kept(&extensions).map_err(|error| error.to_status())?;
    Ok((metadata.into_headers(), patience, message))
}

fn call(headers: &HeaderMap, patience: Patience) -> Call<'_> {
    Call {
        edge: "grpc",
        authorization: authorization(headers),
        patience,
        explain: explain::is_wanted(headers),
    }
}

/// A defect of this gateway.
fn unlike_asked() -> Status {
    let what = "another kind of answer than was asked for";
    Error::Internal { what }.to_status()
}

/// A refusal as a status.
pub(crate) fn refusal(refused: &Refused) -> Status {
    let mut status = refused.error.to_status();
    add_limits(status.metadata_mut(), &refused.limits);
    if let Ok(id) = refused.id.parse() {
        status.metadata_mut().insert("x-request-id", id);
    }
    let explained = refused.explanation.as_deref().map(explain::compact);
    if let Some(Ok(explained)) = explained.map(|it| it.parse()) {
        status.metadata_mut().insert(explain::HEADER, explained);
    }
    status
}

fn authorization(headers: &HeaderMap) -> Option<&[u8]> {
    headers
        .get(http::header::AUTHORIZATION)
        .map(http::HeaderValue::as_bytes)
}

fn add_limits(metadata: &mut MetadataMap, limits: &LimitState) {
    if limits.is_empty() {
        return;
    }
    let mut headers = std::mem::take(metadata).into_headers();
    ratelimit::write(&mut headers, limits);
    *metadata = MetadataMap::from_headers(headers);
}
