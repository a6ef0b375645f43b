//! Calling over HTTP: 1.1 with one kept-alive connection per caller, or 2 with a few that callers share.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Load;
use super::caller::{Answer, Check, Failure, prompt};

/// A caller of either version of HTTP.
#[derive(Debug)]
pub(super) struct HttpCaller {
    uri: Uri,
    headers: HeaderMap,
    /// The request's body around its prompt.
    before: String,
    after: String,
    prompt_bytes: usize,
    chunks: u32,
    stream: bool,
    line: Line,
}

/// The connection of a caller.
#[derive(Debug)]
enum Line {
    /// At most one of its own, opened when it is first needed.
    Own(Box<OwnLine>),
    /// One over which others call too.
    Shared(SharedLine),
}

#[derive(Debug)]
struct OwnLine {
    address: String,
    sender: Option<http1::SendRequest<Full<Bytes>>>,
    /// Drives the connection; dropping it closes it.
    connection: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct SharedLine {
    sender: http2::SendRequest<Full<Bytes>>,
    /// Drives the connection; it closes when the last caller is dropped.
    _connection: Arc<JoinSet<()>>,
}

impl HttpCaller {
    /// Callers with a connection each.
    pub(super) fn alone(load: &Load) -> anyhow::Result<Vec<Self>> {
        let address = address(load)?;
        let line = || Line::Own(Box::new(OwnLine::new(address)));
        (0..load.callers).map(|_| Self::new(load, line())).collect()
    }

    /// Callers that share the load's connections, with HTTP/2 on them from the start.
    pub(super) async fn sharing(load: &Load) -> anyhow::Result<Vec<Self>> {
        let address = address(load)?;
        let mut lines = Vec::new();
        for _ in 0..load.connections.max(1) {
            let line = SharedLine::open(address).await;
            lines.push(line.with_context(|| format!("connect to {}", load.target))?);
        }
        let lines = lines.iter().cycle().take(load.callers);
        lines
            .map(|line| Self::new(load, Line::Shared(line.clone())))
            .collect()
    }

    fn new(load: &Load, line: Line) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        let address = address(load)?;
        let uri = match line {
            Line::Own(_) => {
                headers.insert(HOST, HeaderValue::from_str(address)?);
                Uri::from_static("/v1/chat/completions")
            }
            Line::Shared(_) => format!("http://{address}/v1/chat/completions").parse()?,
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !load.key.is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {}", load.key))?;
            headers.insert(AUTHORIZATION, value);
        }
        let model = serde_json::Value::from(load.model.as_str());
        let before = format!(r#"{{"model":{model},"messages":[{{"role":"user","content":""#);
        let cap = load.most_tokens();
        let after = match load.stream {
            false => format!(r#""}}],"max_tokens":{cap}}}"#),
            true => format!(
                r#""}}],"max_tokens":{cap},"stream":true,"stream_options":{{"include_usage":true}}}}"#
            ),
        };
        Ok(Self {
            uri,
            headers,
            before,
            after,
            prompt_bytes: load.prompt_bytes,
            chunks: load.chunks,
            stream: load.stream,
            line,
        })
    }

    /// Gives up the rest of a reply.
    pub(super) fn abandon(&mut self) {
        match &mut self.line {
            Line::Own(line) => line.disconnect(),
            // The stream was reset when its reply was dropped.
            Line::Shared(_) => {}
        }
    }

    pub(super) async fn call(&mut self, nonce: &str) -> Answer {
        let request = self.request(nonce);
        let response = match &mut self.line {
            Line::Own(line) => {
                let sender = line.connected().await.map_err(transport)?;
                sender.send_request(request).await.map_err(transport)?
            }
            Line::Shared(line) => {
                let sent = line.sender.send_request(request).await;
                sent.map_err(transport)?
            }
        };
        if response.status() != StatusCode::OK {
            let status = response.status().as_str().to_owned();
            // Read to its end, or the connection could not be used again.
            response.into_body().collect().await.map_err(transport)?;
            return Err(Failure::Status(status));
        }
        let check = Check::new(nonce, self.chunks);
        if self.stream {
            read_stream(response, check).await
        } else {
            read_whole(response, check).await
        }
    }

    fn request(&self, nonce: &str) -> Request<Full<Bytes>> {
        let prompt = prompt(nonce, self.prompt_bytes);
        let body = [self.before.as_str(), &prompt, &self.after].concat();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if matches!(self.line, Line::Shared(_)) {
            *request.version_mut() = Version::HTTP_2;
        }
        request
    }
}

/// `ADDRESS:PORT` of the load's target.
fn address(load: &Load) -> anyhow::Result<&str> {
    let address = load.target.strip_prefix("http://");
    let address =
        address.with_context(|| format!("`{}` must be http://ADDRESS:PORT", load.target))?;
    Ok(address.trim_end_matches('/'))
}

impl SharedLine {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let shake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = shake.await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its error reaches the requests that it fails.
            let _reported_by_the_requests = connection.await;
        });
        Ok(Self {
            sender,
            _connection: Arc::new(driver),
        })
    }
}

impl OwnLine {
    fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            sender: None,
            connection: JoinSet::new(),
        }
    }

    fn disconnect(&mut self) {
        self.sender = None;
        self.connection.abort_all();
    }

    async fn connected(&mut self) -> anyhow::Result<&mut http1::SendRequest<Full<Bytes>>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.disconnect();
            while self.connection.join_next().await.is_some() {}
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            self.connection.spawn(async move {
                // Its error reaches the request that it fails.
                let _reported_by_the_request = connection.await;
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("no connection")
    }
}

fn transport(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Transport(format!("{:#}", error.into()))
}

#[derive(Debug, Deserialize)]
struct Completion<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice<'a> {
    #[serde(borrow, alias = "delta")]
    message: Message<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
}

async fn read_whole(response: Response<Incoming>, mut check: Check) -> Answer {
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(transport)?
        .to_bytes();
    let finished = read_completion(&body, &mut check)?;
    let _first = check.end(finished)?;
    Ok(Instant::now())
}

/// Checks the content of a completion or chunk, and says whether it carries a finish reason.
fn read_completion(json: &[u8], check: &mut Check) -> Result<bool, Failure> {
    let completion: Completion<'_> = serde_json::from_slice(json)
        .map_err(|error| Failure::Wrong("bad JSON", error.to_string()))?;
    if let Some(error) = completion.error {
        return Err(Failure::Wrong("error event", error.to_string()));
    }
    let mut finished = false;
    for choice in completion.choices {
        check.content(choice.message.content.as_deref().unwrap_or(""))?;
        finished |= choice.finish_reason.is_some();
    }
    Ok(finished)
}

async fn read_stream(response: Response<Incoming>, mut check: Check) -> Answer {
    let mut body = response.into_body();
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(transport)?.into_data() {
            events.feed(&data, &mut check)?;
        }
    }
    if !events.done {
        return Err(Failure::Wrong("the stream has no [DONE]", String::new()));
    }
    check.end(events.finished)
}

/// Cuts a stream into its events and checks each.
#[derive(Debug, Default)]
struct Events {
    /// An incomplete line.
    rest: Vec<u8>,
    finished: bool,
    done: bool,
}

impl Events {
    fn feed(&mut self, data: &[u8], check: &mut Check) -> Result<(), Failure> {
        let mut data = data;
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (line, tail) = (&data[..end], &data[end + 1..]);
            data = tail;
            if self.rest.is_empty() {
                self.line(line, check)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole, check)?;
            }
        }
        self.rest.extend_from_slice(data);
        Ok(())
    }

    fn line(&mut self, line: &[u8], check: &mut Check) -> Result<(), Failure> {
        let Some(data) = line.strip_prefix(b"data:") else {
            return Ok(());
        };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.done = true;
        } else {
            self.finished |= read_completion(data, check)?;
        }
        Ok(())
    }
}
