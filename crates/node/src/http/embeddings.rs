//! OpenAI's embeddings.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use http::{Response, StatusCode};
use tollgate_provider::embeddings;
use tollgate_provider::openai::{parse_embedding_request, render_embeddings};

use super::openai::{Received, call, invalid, receive};
use super::{describe, error, refusal, with_body};
use crate::app::Node;
use crate::asked::Asked;
use crate::complete::{Answer, Whole, complete};
use crate::error::Error;

/// `POST /v1/embeddings`.
pub(super) async fn embeddings(State(node): State<Arc<Node>>, request: Request) -> Response<Body> {
    let Received {
        headers,
        body,
        patience,
    } = match receive(request).await {
        Ok(received) => received,
        Err(problem) => return error(&problem),
    };
    let mut base64 = false;
    let decode = || {
        let parsed = parse_embedding_request(&body).map_err(|problem| invalid(&problem))?;
        base64 = parsed.base64;
        Ok(Asked::Embeddings(Box::new(parsed.request)))
    };
    match complete(&node, call(&headers, patience), decode).await {
        Ok(Answer::Embeddings(answer)) => whole(&answer, base64),
        Ok(Answer::Whole(_) | Answer::Stream(_)) => error(&Error::Internal {
            what: "another kind of answer than was asked for",
        }),
        Err(refused) => refusal(&refused),
    }
}

fn whole(answer: &Whole<embeddings::Response>, base64: bool) -> Response<Body> {
    let Whole {
        head,
        response,
        summary,
    } = answer;
    let body = render_embeddings(response, &head.model, &summary.usage, base64);
    let mut http = with_body(StatusCode::OK, body);
    describe(&mut http, head);
    http
}
