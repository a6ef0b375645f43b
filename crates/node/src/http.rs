//! The HTTP edge: OpenAI's chat completions, embeddings and list of models.

mod embeddings;
mod openai;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use tollgate_provider::openai::{ErrorBody, render_error};

use crate::app::Node;
use crate::complete::{Head, Refused};
use crate::error::{Error, HttpError};
use crate::{explain, ratelimit};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Clients of OpenAI's repeat every 429 unless this says not to.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(crate) use openai::chat_completions;

/// The paths of the HTTP edge, but for the one that is asked for all the time.
pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(openai::list_models))
        .route("/v1/models/{model}", get(openai::get_model))
        .with_state(node)
}

/// An error as a response.
pub(crate) fn error(error: &Error) -> Response<Body> {
    let shown = error.to_http();
    let mut response = with_body(shown.status, render(&shown));
    let headers = response.headers_mut();
    if let Some(wait) = shown.retry_after {
        // Whole seconds; rounded up, as earlier is too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.max(1).into());
    }
    if shown.hopeless {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// The answer to a path or method that is not served.
pub(crate) fn not_found(method: &Method, uri: &Uri) -> Response<Body> {
    let message = format!(
        "there is no {method} {}: this is a Tollgate node, which serves POST /v1/chat/completions, POST /v1/embeddings and GET /v1/models",
        uri.path()
    );
    let body = ErrorBody {
        message: &message,
        kind: "invalid_request_error",
        param: None,
        code: Some("unknown_url"),
    };
    with_body(StatusCode::NOT_FOUND, render_error(&body))
}

/// A refusal as a response.
pub(crate) fn refusal(refused: &Refused) -> Response<Body> {
    let mut response = error(&refused.error);
    let headers = response.headers_mut();
    ratelimit::write(headers, &refused.limits);
    explain::write(headers, refused.explanation.as_deref());
    identify(headers, &refused.id);
    response
}

/// What is told of an answer beside it.
fn describe(response: &mut Response<Body>, head: &Head) {
    let headers = response.headers_mut();
    ratelimit::write(headers, &head.limits);
    explain::write(headers, head.explanation.as_deref());
    identify(headers, &head.id);
}

fn identify(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
}

fn render(shown: &HttpError) -> Vec<u8> {
    render_error(&error_body(shown))
}

fn error_body(shown: &HttpError) -> ErrorBody<'_> {
    ErrorBody {
        message: &shown.message,
        kind: shown.kind,
        // The body as a whole is no field of it.
        param: shown
            .param
            .as_deref()
            .filter(|param| *param != "body")
            .map(openai::field),
        code: Some(shown.code),
    }
}

fn with_body(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
