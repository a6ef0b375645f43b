//! OpenAI's chat completions, unary and as server-sent events, and its list of models.

use std::error::Error as StdError;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tollgate_policy::table::{Model, Table};
use tollgate_provider::chat::{self, Chunk};
use tollgate_provider::openai::{
    ChunkRenderer, parse_request, render_error_event, render_response,
};

use super::{describe, error, error_body, refusal, with_body};
use crate::app::Node;
use crate::arriving::Unread;
use crate::asked::Asked;
use crate::capabilities::{Capability, capabilities};
use crate::complete::{Answer, AnswerStream, Call, Piece, Whole, complete};
use crate::deadline::{self, Patience};
use crate::edge::LARGEST_REQUEST;
use crate::error::Error;
use crate::revision::Revision;
use crate::{clock, explain};

/// `POST /v1/chat/completions`.
pub(crate) async fn chat_completions<B>(node: &Node, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    let Received {
        headers,
        body,
        patience,
    } = match receive(request).await {
        Ok(received) => received,
        Err(problem) => return error(&problem),
    };
    let mut include_usage = false;
    let decode = || {
        let parsed = parse_request(&body).map_err(|problem| invalid(&problem))?;
        include_usage = parsed.include_usage;
        Ok(Asked::Completion {
            request: Box::new(parsed.request),
            stream: parsed.stream,
        })
    };
    match complete(node, call(&headers, patience), decode).await {
        Ok(Answer::Whole(answer)) => whole(*answer),
        Ok(Answer::Stream(answer)) => stream(*answer, include_usage),
        Ok(Answer::Embeddings(_)) => error(&Error::Internal {
            what: "another kind of answer than was asked for",
        }),
        Err(refused) => refusal(&refused),
    }
}

/// A request that has arrived.
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When it came in, and how long the caller waits.
    pub(super) patience: Patience,
}

/// Takes a request in.
///
/// # Errors
/// It did not come whole, is too large, or its time-out cannot be read.
pub(super) async fn receive<B>(request: Request<B>) -> Result<Received, Error>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_REQUEST).collect().await;
    let body = body.map_err(|problem| unreadable(&*problem))?.to_bytes();
    Ok(Received {
        patience: deadline::kept(&head.extensions)?,
        headers: head.headers,
        body,
    })
}

pub(super) fn call(headers: &HeaderMap, patience: Patience) -> Call<'_> {
    Call {
        edge: "http",
        authorization: authorization(headers),
        patience,
        explain: explain::is_wanted(headers),
    }
}

/// `GET /v1/models`.
pub(super) async fn list_models(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
) -> Response<Body> {
    let listed = revision(&node, &headers).await.map(|revision| {
        let table = &revision.table;
        let data = table.models().iter();
        let data: Vec<_> = data.map(|it| model_json(table, it, &it.name)).collect();
        serde_json::json!({ "object": "list", "data": data })
    });
    shown(listed)
}

/// `GET /v1/models/{model}`.
pub(super) async fn get_model(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let found = revision(&node, &headers).await.and_then(|revision| {
        let table = &revision.table;
        match table.model(&name) {
            Some(model) => Ok(model_json(table, model, &name)),
            None => Err(Error::ModelNotFound {
                model: name.chars().take(128).collect(),
            }),
        }
    });
    shown(found)
}

/// The policy in force, for a caller whose key is good.
async fn revision(node: &Node, headers: &HeaderMap) -> Result<Arc<Revision>, Error> {
    node.keys
        .authenticate(authorization(headers))
        .await?
        .admit()?;
    node.in_force()
}

/// A model under one of its names. What it can be asked for is told where it is known.
fn model_json(table: &Table, model: &Model, name: &str) -> serde_json::Value {
    let known = capabilities(table, model).into_iter();
    let known: Vec<_> = known.map(Capability::as_str).collect();
    let mut shown =
        serde_json::json!({ "id": name, "object": "model", "created": 0, "owned_by": "tollgate" });
    if !known.is_empty() {
        shown["capabilities"] = known.into();
    }
    shown
}

fn shown(result: Result<serde_json::Value, Error>) -> Response<Body> {
    match result {
        Ok(value) => with_body(StatusCode::OK, value.to_string().into_bytes()),
        Err(problem) => error(&problem),
    }
}

fn whole(answer: Whole<chat::Response>) -> Response<Body> {
    let Whole {
        head,
        mut response,
        summary,
    } = answer;
    response.id = completion_id(&head.id);
    response.model.replace_range(.., &head.model);
    response.usage = Some(summary.usage);
    let body = render_response(&response, clock::unix_time().as_secs());
    let mut http = with_body(StatusCode::OK, body);
    describe(&mut http, &head);
    http
}

fn stream(answer: AnswerStream, include_usage: bool) -> Response<Body> {
    let head = answer.head.clone();
    let created = clock::unix_time().as_secs();
    let renderer = ChunkRenderer::new(
        &completion_id(&head.id),
        &head.model,
        created,
        include_usage,
    );
    let events =
        futures_util::stream::unfold((answer, renderer), |(mut answer, mut renderer)| async {
            let next = answer.next().await?;
            let mut out = Vec::with_capacity(room(&next));
            render_next(next, &mut renderer, &mut out);
            Some((
                Ok::<_, std::convert::Infallible>(Bytes::from(out)),
                (answer, renderer),
            ))
        });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Tells nginx and its kin to pass pieces on as they come.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    describe(&mut response, &head);
    response
}

/// Bytes that a piece will most likely need as events.
fn room(next: &Result<Piece, Error>) -> usize {
    match next {
        Ok(Piece::Chunks(chunks)) => 256 * (chunks.len() + 1),
        Ok(Piece::End(_)) | Err(_) => 512,
    }
}

/// One piece as events. Only a whole answer gets the sentinel at its end.
fn render_next(next: Result<Piece, Error>, renderer: &mut ChunkRenderer, out: &mut Vec<u8>) {
    match next {
        Ok(Piece::Chunks(chunks)) => {
            for chunk in &chunks {
                // Usage comes once, at the end, whether the provider told it or not.
                if !matches!(chunk, Chunk::UsageReport(_) | Chunk::Usage(_)) {
                    renderer.chunk(chunk, out);
                }
            }
        }
        Ok(Piece::End(summary)) => {
            if let Some(limit) = &summary.stopped_by {
                renderer.stopped_by(limit, out);
            }
            let report = summary.usage_report.map(Chunk::UsageReport);
            for chunk in report.into_iter().chain([Chunk::Usage(summary.usage)]) {
                renderer.chunk(&chunk, out);
            }
            renderer.done(out);
        }
        Err(problem) => render_error_event(&error_body(&problem.to_http()), out),
    }
}

fn completion_id(id: &str) -> String {
    format!("chatcmpl-{id}")
}

/// The name that callers of this edge know a field by.
pub(super) fn field(name: &str) -> &str {
    match name {
        "max_output_tokens" => "max_completion_tokens",
        "choice_count" | "choices" => "n",
        "reasoning" | "reasoning.effort" => "reasoning_effort",
        "log_probs" => "logprobs",
        "output_modalities" => "modalities",
        "audio_output" => "audio",
        "audio_output.format" => "audio.format",
        _ if name.starts_with("inputs") => "input",
        other => other,
    }
}

pub(super) fn invalid(problem: &tollgate_provider::Error) -> Error {
    match problem {
        tollgate_provider::Error::Invalid { path, problem } if path == "body" => {
            Error::field(path, format!("is not the JSON that is expected: {problem}"))
        }
        tollgate_provider::Error::Invalid { path, problem } => Error::field(path, problem),
        tollgate_provider::Error::Unsupported { field, .. }
        | tollgate_provider::Error::Lacking { field, .. } => {
            Error::field(field, problem.to_string())
        }
        tollgate_provider::Error::Credential
        | tollgate_provider::Error::CredentialForm { .. }
        | tollgate_provider::Error::Encode(_) => Error::field("body", problem.to_string()),
    }
}

fn unreadable(problem: &(dyn StdError + Send + Sync + 'static)) -> Error {
    if problem.is::<LengthLimitError>() {
        return Error::TooLarge {
            limit: LARGEST_REQUEST,
        };
    }
    if let Some(unread) = problem.downcast_ref::<Unread>() {
        return unread.error.clone();
    }
    Error::field("body", format!("cannot be read: {problem}"))
}

fn authorization(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)
}
