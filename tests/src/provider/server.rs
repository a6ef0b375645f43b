//! The HTTP side: connections, routes, and the control endpoints.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::behaviour::{Behaviour, Fault};
use super::body::ScriptBody;
use super::ceiling::{Ceiling, Standing};
use super::format::{Format, Route, credential};
use super::inquiry;
use super::ledger::{Entry, Ledger, Outcome, Ticket, key_hash, wall_ms};
use super::record::Recorder;
use super::reply::{Answer, Facts, Reply, render};
use super::request::{ChatRequest, Wish, find_nonce};
use super::vectors::Vectors;

/// Everything the connections share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) ledger: Arc<Ledger>,
    pub(super) recorder: Recorder,
    overridden: AtomicBool,
    overrides: RwLock<Overrides>,
    /// Limits of the provider's own, by model.
    ceilings: Mutex<HashMap<String, Ceiling>>,
}

#[derive(Debug, Default)]
struct Overrides {
    all: Option<Behaviour>,
    by_model: HashMap<String, Behaviour>,
}

impl State {
    pub(super) fn new(ledger_capacity: usize) -> Self {
        Self {
            ledger: Arc::new(Ledger::new(ledger_capacity)),
            recorder: Recorder::default(),
            overridden: AtomicBool::new(false),
            overrides: RwLock::default(),
            ceilings: Mutex::default(),
        }
    }

    /// Overrides what the names say, for one model (its whole name) or, above that, for all.
    pub(super) fn set_behaviour(&self, model: Option<&str>, behaviour: Option<Behaviour>) {
        let mut overrides = self
            .overrides
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match (model, behaviour) {
            (None, behaviour) => overrides.all = behaviour,
            (Some(model), Some(behaviour)) => {
                overrides.by_model.insert(model.to_owned(), behaviour);
            }
            (Some(model), None) => {
                overrides.by_model.remove(model);
            }
        }
        let any = overrides.all.is_some() || !overrides.by_model.is_empty();
        self.overridden.store(any, Ordering::Release);
    }

    /// Gives a model (its whole name) a limit.
    pub(super) fn set_ceiling(&self, model: &str, ceiling: Ceiling) {
        let mut ceilings = self.ceilings.lock().unwrap_or_else(PoisonError::into_inner);
        ceilings.insert(model.to_owned(), ceiling);
    }

    /// Lets a request that is answered like this through, or says how it is refused.
    fn admit(
        &self,
        facts: &Facts<'_>,
        behaviour: &Behaviour,
    ) -> Result<Option<Standing>, Behaviour> {
        let mut ceilings = self.ceilings.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ceiling) = ceilings.get_mut(facts.model) else {
            return Ok(None);
        };
        let most = facts.max_tokens.unwrap_or(u32::MAX);
        let tokens = facts.prompt_tokens + u64::from(behaviour.chunks.min(most));
        ceiling.admit(Instant::now(), tokens).map_err(|wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            Behaviour {
                fault: Fault::Status {
                    code: 429,
                    retry_after: u32::try_from(seconds).ok(),
                },
                ..Behaviour::default()
            }
        })
    }

    fn behaviour(&self, model: &str) -> anyhow::Result<Behaviour> {
        if self.overridden.load(Ordering::Acquire) {
            let overrides = self
                .overrides
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let found = overrides
                .all
                .as_ref()
                .or_else(|| overrides.by_model.get(model));
            if let Some(behaviour) = found {
                return Ok(behaviour.clone());
            }
        }
        Behaviour::of_model(model)
    }
}

/// Accepts connections until `stop`; dropping the future closes every connection.
pub(super) async fn serve(listener: std::net::TcpListener, state: Arc<State>) {
    // Fails only where the runtime is shutting down already.
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    state.ledger.count(|stats| stats.connections += 1);
                    connections.spawn(serve_connection(stream, Arc::clone(&state)));
                }
                // Out of descriptors: the ones in use must close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, state: Arc<State>) {
    // Without it a small write waits for the peer's acknowledgement of the one before; where the
    // option cannot be set the connection is dead already, which the serving will find.
    let _dead_already = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let reset = Arc::clone(&reset);
        move |request| handle(Arc::clone(&state), Arc::clone(&reset), request)
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = (&mut connection).await;
    if ended.is_err() && reset.load(Ordering::Relaxed) {
        // Closing with no time to linger is how a reset is sent.
        let _dead_already = connection.into_parts().io.inner().set_zero_linger();
    }
}

/// Fails only to have the connection dropped.
async fn handle(
    state: Arc<State>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<ScriptBody>, std::io::Error> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if method == Method::POST
        && let Some(route) = Route::of(&path)
    {
        return complete(state, reset, request, route).await;
    }
    Ok(match (method, path.as_str()) {
        (Method::GET, path) if path.ends_with("/models") => {
            let query = request.uri().query().unwrap_or_default();
            json(&inquiry::models(request.headers(), query))
        }
        (Method::POST, path) if inquiry::is_count(path) => count(path, request).await,
        (Method::GET, "/_health") => json(&serde_json::json!({ "status": "ok" })),
        (Method::GET, "/_stats") => json(&state.ledger.stats()),
        (Method::GET, "/_ledger") => match page(request.uri().query()) {
            Ok((from, most)) => json(&state.ledger.entries(from, most)),
            Err(problem) => plain_error(400, &problem, "bad_page"),
        },
        (Method::DELETE, "/_ledger") => {
            state.ledger.clear();
            json(&serde_json::json!({}))
        }
        (Method::POST, "/_behaviour") => set_behaviour(&state, request).await,
        (_, "/_redirected") => {
            state.ledger.count(|stats| stats.redirects_followed += 1);
            plain_error(410, "a gateway must not follow redirects", "redirected")
        }
        _ => plain_error(404, "no such path at the fake provider", "not_found"),
    })
}

/// What part of the ledger a query asks for: the number of the first entry, and how many at most.
fn page(query: Option<&str>) -> Result<(u64, usize), String> {
    let (mut from, mut most) = (0, usize::MAX);
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let wrong = || format!("`{pair}` is neither `from=NUMBER` nor `most=NUMBER`");
        match pair.split_once('=') {
            Some(("from", number)) => from = number.parse().map_err(|_| wrong())?,
            Some(("most", number)) => most = number.parse().map_err(|_| wrong())?,
            Some(_) | None => return Err(wrong()),
        }
    }
    Ok((from, most))
}

async fn count(path: &str, request: Request<Incoming>) -> Response<ScriptBody> {
    let counted = async {
        let body = request.into_body().collect().await?.to_bytes();
        inquiry::count(path, &body)
    };
    match counted.await {
        Ok(counted) => json(&counted),
        Err(error) => plain_error(400, &format!("{error:#}"), "bad_request"),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BehaviourChange {
    #[serde(default)]
    model: Option<String>,
    behaviour: Option<String>,
}

async fn set_behaviour(state: &State, request: Request<Incoming>) -> Response<ScriptBody> {
    let change = async {
        let body = request.into_body().collect().await?.to_bytes();
        let change: BehaviourChange = serde_json::from_slice(&body)?;
        let behaviour = change.behaviour.as_deref().map(str::parse).transpose()?;
        state.set_behaviour(change.model.as_deref(), behaviour);
        anyhow::Ok(())
    };
    match change.await {
        Ok(()) => json(&serde_json::json!({})),
        Err(error) => plain_error(400, &format!("{error:#}"), "bad_behaviour"),
    }
}

async fn complete(
    state: Arc<State>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
    route: Route,
) -> Result<Response<ScriptBody>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?;
    let body = body.to_bytes();
    state.recorder.keep(route.format, &parts, &body);
    let (mut ticket, reply, standing) = match decide(&state, &route, &parts, &body) {
        Ok(decided) => decided,
        Err(error) => {
            let answer = Answer::error(route.format, 400, &format!("{error:#}"), "bad_request");
            return Ok(plain_answer(answer));
        }
    };
    match reply {
        Reply::Hang => {
            // Dropped, ticket and all, when the connection notices that the client has gone.
            let () = std::future::pending().await;
            Err(std::io::Error::other("unreachable"))
        }
        Reply::Drop { reset: hard } => {
            reset.store(hard, Ordering::Relaxed);
            ticket.end(Outcome::Cut);
            Err(std::io::Error::other("told to drop the connection"))
        }
        Reply::Answer(answer) => {
            if !answer.delay.is_zero() {
                tokio::time::sleep(answer.delay).await;
            }
            ticket.tally.status = answer.status;
            let request_id = format!("req-{}", ticket.seq());
            let mut response = response(answer, Some(ticket), reset);
            let named = route.format.request_id();
            let named = named.map(|name| (name, request_id));
            let standing = standing.into_iter().flat_map(Standing::headers);
            for (name, value) in standing.chain(named) {
                let value = HeaderValue::try_from(value).map_err(std::io::Error::other)?;
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        }
    }
}

/// Reads the request, enters it in the ledger, and renders its reply.
fn decide(
    state: &State,
    route: &Route,
    parts: &Parts,
    body: &[u8],
) -> anyhow::Result<(Ticket, Reply, Option<Standing>)> {
    let arrived_ms = wall_ms();
    if route.embeds {
        let vectors = Vectors::parse(route.format, body)?;
        let facts = Facts {
            format: route.format,
            seq: state.ledger.next_seq(),
            created_s: arrived_ms / 1000,
            model: route.model.as_deref().unwrap_or(&vectors.model),
            nonce: find_nonce(vectors.last()),
            prompt_tokens: vectors.tokens,
            said: 0,
            max_tokens: None,
            stream: false,
            include_usage: false,
            wish: Wish::Words,
            vectors: Some(&vectors),
        };
        return Ok(enter(state, &facts, arrived_ms, parts));
    }
    let request = ChatRequest::parse(body)?;
    let query = parts.uri.query().unwrap_or_default();
    if let Some(problem) = route.refuses(&parts.headers, query, request.max_tokens()) {
        bail!(problem);
    }
    let prompt = request.prompt()?;
    let facts = Facts {
        format: route.format,
        seq: state.ledger.next_seq(),
        created_s: arrived_ms / 1000,
        model: route.model.as_deref().unwrap_or(&request.model),
        nonce: &prompt.nonce,
        prompt_tokens: prompt.tokens,
        said: prompt.said,
        max_tokens: request.max_tokens(),
        stream: route.stream.or(request.stream).unwrap_or(false),
        include_usage: request.include_usage(),
        wish: Wish::of(body),
        vectors: None,
    };
    Ok(enter(state, &facts, arrived_ms, parts))
}

/// Enters a request in the ledger, and renders its reply.
fn enter(
    state: &State,
    facts: &Facts<'_>,
    arrived_ms: u64,
    parts: &Parts,
) -> (Ticket, Reply, Option<Standing>) {
    let entry = state
        .ledger
        .keeps_entries()
        .then(|| entry(facts, arrived_ms, credential(&parts.headers)));
    let ticket = state.ledger.open(facts.seq, entry);
    let behaviour = match state.behaviour(facts.model) {
        Ok(behaviour) => behaviour.of_request(facts.seq),
        Err(error) => {
            let (message, code) = (format!("{error:#}"), "model_not_found");
            let answer = Answer::error(facts.format, 404, &message, code);
            return (ticket, Reply::Answer(answer), None);
        }
    };
    let (behaviour, standing) = match state.admit(facts, &behaviour) {
        Ok(standing) => (behaviour, standing),
        Err(refusal) => (refusal, None),
    };
    (ticket, render(facts, &behaviour), standing)
}

fn entry(facts: &Facts<'_>, arrived_ms: u64, key: &str) -> Entry {
    Entry {
        seq: facts.seq,
        arrived_ms,
        key_hash: if key.is_empty() {
            String::new()
        } else {
            key_hash(key)
        },
        model: facts.model.to_owned(),
        nonce: facts.nonce.to_owned(),
        stream: facts.stream,
        max_tokens: facts.max_tokens,
        prompt_tokens: 0,
        completion_tokens: 0,
        chunks_sent: 0,
        bytes_sent: 0,
        status: 0,
        outcome: Outcome::InFlight,
        ended_ms: None,
    }
}

fn json<T: serde::Serialize>(value: &T) -> Response<ScriptBody> {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut response = Response::new(ScriptBody::plain(Bytes::from(bytes)));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        Err(error) => plain_error(500, &error.to_string(), "unserializable"),
    }
}

/// An error of the fake provider's own.
fn plain_error(status: u16, message: &str, code: &str) -> Response<ScriptBody> {
    plain_answer(Answer::error(Format::OpenAi, status, message, code))
}

fn plain_answer(answer: Answer) -> Response<ScriptBody> {
    response(answer, None, Arc::new(AtomicBool::new(false)))
}

fn response(
    answer: Answer,
    ticket: Option<Ticket>,
    reset: Arc<AtomicBool>,
) -> Response<ScriptBody> {
    let body = ScriptBody::new(answer.steps, answer.ending, ticket, reset);
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(location) = answer.location {
        headers.insert(LOCATION, HeaderValue::from_static(location));
    }
    if let Some((name, value)) = answer.header {
        let name = HeaderName::from_static(name);
        // Made here, of letters and digits.
        if let Ok(value) = HeaderValue::try_from(value.as_ref()) {
            headers.insert(name, value);
        }
    }
    response
}
