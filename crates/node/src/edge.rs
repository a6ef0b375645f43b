//! Where callers come in: both edges on one port, and the layers around them, outermost first.
//!
//! 1. The door: who comes, by the head of a request alone, and the gate behind it: who gets a place where there is not
//!    room for all, counted until the body is dropped. Health checks pass, so that an overloaded node is not taken for a
//!    dead one.
//! 2. The panic guard: a defect in one request is an error to its caller, not a broken connection to all
//!    callers on it.
//! 3. The patience for bodies: a request must have arrived within bounds of time.
//! 4. The router: gRPC services by their names, HTTP by path, anything else is refused in the caller's own
//!    language. Completions go past it: to look up a route, and to box what it leads to several times, costs more
//!    than several of the steps that follow.

mod door;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tollgate_proto::completion::v1::completion_service_server::{self, CompletionServiceServer};
use tollgate_proto::completion::v1::embedding_service_server::{self, EmbeddingServiceServer};
use tollgate_proto::completion::v1::model_service_server::{self, ModelServiceServer};
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

use crate::app::Node;
use crate::arriving::Arriving;
use crate::deadline::{self, Patience};
use crate::error::{Error, StartError};
use crate::grpc::{self, Grpc};
use crate::guarded::Guarded;
use crate::meter::Meter;
use crate::{complete, http as http_edge};
use door::Admitted;

/// Most bytes of a request on either edge.
pub(crate) const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

/// Where the paths begin of what everybody may ask: health, and which services there are.
const OPEN: &str = "/grpc.";

/// Names by which health is asked for.
pub(crate) const COMPLETION_SERVICE: &str = completion_service_server::SERVICE_NAME;
pub(crate) const EMBEDDING_SERVICE: &str = embedding_service_server::SERVICE_NAME;
pub(crate) const MODEL_SERVICE: &str = model_service_server::SERVICE_NAME;

/// What answers requests on the node's port.
pub(crate) trait Edge:
    Service<
        Request<Incoming>,
        Response = Response<Guarded>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Edge for S where
    S: Service<
            Request<Incoming>,
            Response = Response<Guarded>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// Everything that is served on the node's port.
///
/// # Errors
/// The contract's descriptors cannot be read.
pub(crate) fn service<H>(node: &Arc<Node>, health: H) -> Result<impl Edge + use<H>, StartError>
where
    H: Service<Request<tonic::body::Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    H::Response: axum::response::IntoResponse,
    H::Future: Send + 'static,
{
    let services = Services::new(node, health)?;
    Ok(tower::service_fn(move |request: Request<Incoming>| {
        let services = services.clone();
        async move {
            let version = request.version();
            let (size, headers) = (request.body().size_hint(), request.headers());
            let grpc = is_grpc(headers);
            let patience = Patience::of(headers, grpc);
            let said = patience.as_ref().ok();
            let until = said.and_then(Patience::end);
            let admitted = if request.uri().path().starts_with(OPEN) {
                Ok(Admitted::default())
            } else {
                door::enter(&services.node, headers, &size, said).await
            };
            let (response, pass) = match admitted {
                // The claim is held until the request has been read and sent on.
                Ok(Admitted { pass, claim }) => {
                    let arriving = |body| Arriving::new(body, claim.clone(), until);
                    let mut request = request.map(arriving);
                    deadline::keep(patience, request.extensions_mut());
                    let answered = AssertUnwindSafe(services.answer(request));
                    let response = match answered.catch_unwind().await {
                        Ok(response) if grpc => one_code_for_size(response),
                        Ok(response) => response,
                        Err(_) => panicked(grpc),
                    };
                    (response, pass)
                }
                Err(error) => {
                    if version < Version::HTTP_2 {
                        door::hear_out(request.into_body()).await;
                    }
                    let arrived = said.map_or_else(Instant::now, Patience::arrived);
                    (turn_away(grpc, arrived, error), None)
                }
            };
            Ok(response.map(|body| Guarded::new(body, version, pass)))
        }
    }))
}

/// What answers requests, by path.
#[derive(Clone)]
struct Services {
    node: Arc<Node>,
    completions: CompletionServiceServer<Grpc>,
    /// Everything else.
    router: Router,
}

impl Services {
    fn new<H>(node: &Arc<Node>, health: H) -> Result<Self, StartError>
    where
        H: Service<Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        H::Response: axum::response::IntoResponse,
        H::Future: Send + 'static,
    {
        let grpc = Grpc::new(Arc::clone(node));
        let completions =
            CompletionServiceServer::new(grpc.clone()).max_decoding_message_size(LARGEST_REQUEST);
        let embeddings =
            EmbeddingServiceServer::new(grpc.clone()).max_decoding_message_size(LARGEST_REQUEST);
        let models = ModelServiceServer::new(grpc).max_decoding_message_size(64 * 1024);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tollgate_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(COMPLETION_SERVICE)
                .with_service_name(EMBEDDING_SERVICE)
                .with_service_name(MODEL_SERVICE)
                .with_service_name("grpc.health.v1.Health")
        };
        let routes = Routes::new(models)
            .add_service(embeddings)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
        // Its own fallback answers in gRPC whatever the caller speaks.
        let grpc = routes.into_axum_router().reset_fallback();
        Ok(Self {
            node: Arc::clone(node),
            completions,
            router: grpc
                .merge(http_edge::router(Arc::clone(node)))
                .fallback(nowhere),
        })
    }

    async fn answer(mut self, request: Request<Arriving<Incoming>>) -> Response<Body> {
        let path = request.uri().path();
        if path == "/v1/chat/completions" && request.method() == Method::POST {
            return http_edge::chat_completions(&self.node, request).await;
        }
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        if service.is_some_and(|(service, _)| service == COMPLETION_SERVICE) {
            return match self.completions.call(request).await {
                Ok(response) => response.map(Body::new),
                Err(never) => match never {},
            };
        }
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

async fn nowhere(method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    if is_grpc(&headers) {
        let path = uri.path();
        return tonic::Status::unimplemented(format!("there is no method {path}")).into_http();
    }
    http_edge::not_found(&method, &uri)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// tonic calls a message that is too large out of range; callers are told what the table says.
fn one_code_for_size(response: Response<Body>) -> Response<Body> {
    let status = tonic::Status::from_header_map(response.headers());
    match status {
        Some(status) if status.code() == tonic::Code::OutOfRange => {
            let limit = LARGEST_REQUEST;
            Error::TooLarge { limit }.to_status().into_http()
        }
        _ => response,
    }
}

/// Refuses a request at the door. What has no place is counted there; of what is refused for itself there is a line in the
/// log, as of every request that gets further.
fn turn_away(grpc: bool, arrived: Instant, error: Error) -> Response<Body> {
    if matches!(error, Error::Overloaded) {
        return refuse(grpc, &error);
    }
    let edge = if grpc { "grpc" } else { "http" };
    let refused = complete::refuse(Meter::start(edge, arrived), error);
    if grpc {
        grpc::refusal(&refused).into_http()
    } else {
        http_edge::refusal(&refused)
    }
}

/// Refuses a request in its own language.
fn refuse(grpc: bool, error: &Error) -> Response<Body> {
    if grpc {
        error.to_status().into_http()
    } else {
        http_edge::error(error)
    }
}

fn panicked(grpc: bool) -> Response<Body> {
    let error = Error::Internal {
        what: "a request panicked",
    };
    tracing::error!("a request panicked: this is a defect");
    refuse(grpc, &error)
}
