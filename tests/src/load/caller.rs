//! One caller: sends a request, reads and checks the whole reply.

use std::fmt;
use std::time::{Duration, Instant};

use super::grpc::GrpcCaller;
use super::http::HttpCaller;
use super::{Cancels, Load, Protocol};
use crate::provider::push_chunk;

/// A caller of either protocol.
#[derive(Debug)]
pub(super) enum Caller {
    Http(Box<HttpCaller>),
    Grpc(Box<GrpcCaller>),
}

/// When the first content arrived; for a unary reply, when all of it did.
pub(super) type Answer = Result<Instant, Failure>;

/// Why a reply is no success.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// The server answered with an error: an HTTP status or a gRPC code.
    Status(String),
    /// The server answered with success, but not with what it should have: what, and an example.
    Wrong(&'static str, String),
    /// No whole answer: connecting, sending or receiving failed.
    Transport(String),
    /// No whole answer in time.
    TimedOut,
    /// The caller went away, as it was to do.
    Cancelled,
}

impl Failure {
    pub(super) fn is_transport(&self) -> bool {
        matches!(self, Self::Transport(_))
    }

    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(_))
    }

    /// What was wrong in this very reply, beyond the kind of failure.
    pub(super) fn example(&self) -> &str {
        match self {
            Self::Wrong(_, example) => example,
            Self::Status(_) | Self::Transport(_) | Self::TimedOut | Self::Cancelled => "",
        }
    }
}

/// The kind of failure, under which it is counted.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.write_str(status),
            Self::Wrong(what, _) => write!(f, "wrong: {what}"),
            Self::Transport(what) => write!(f, "transport: {what}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Makes all callers of a load; over HTTP/2 and gRPC they share its connections.
pub(super) async fn connect(load: &Load) -> anyhow::Result<Vec<Caller>> {
    let http = |callers: Vec<HttpCaller>| {
        let callers = callers.into_iter().map(Box::new);
        callers.map(Caller::Http).collect()
    };
    match load.protocol {
        Protocol::Http => HttpCaller::alone(load).map(http),
        Protocol::Http2 => HttpCaller::sharing(load).await.map(http),
        Protocol::Grpc => {
            let callers = GrpcCaller::connect(load).await?.into_iter().map(Box::new);
            Ok(callers.map(Caller::Grpc).collect())
        }
    }
}

/// How long callers wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    timeout: Duration,
    cancels: Option<Cancels>,
}

/// How long one caller waits, and why it gives up then.
#[derive(Debug)]
pub(super) struct Limit {
    timeout: Duration,
    reason: Failure,
}

impl Patience {
    pub(super) fn of(load: &Load) -> Self {
        Self {
            timeout: load.timeout,
            cancels: load.cancels,
        }
    }

    /// That of the next request: some are cancelled.
    pub(super) fn draw(&self) -> Limit {
        match self.cancels {
            Some(cancels) if rand::random_ratio(cancels.percent.min(100), 100) => Limit {
                timeout: cancels.within.mul_f64(rand::random()),
                reason: Failure::Cancelled,
            },
            Some(_) | None => Limit {
                timeout: self.timeout,
                reason: Failure::TimedOut,
            },
        }
    }
}

impl Caller {
    /// Sends one request and checks its reply.
    pub(super) async fn call(&mut self, nonce: &str, limit: Limit) -> Answer {
        let call = async {
            match self {
                Self::Http(caller) => caller.call(nonce).await,
                Self::Grpc(caller) => caller.call(nonce).await,
            }
        };
        let answer = tokio::time::timeout(limit.timeout, call).await;
        let answer = answer.unwrap_or(Err(limit.reason));
        if let (Self::Http(caller), Err(_)) = (self, &answer) {
            // The rest of a reply given up may still be on its way.
            caller.abandon();
        }
        answer
    }
}

/// Compares content as it arrives with what the fake provider must have sent.
#[derive(Debug)]
pub(super) struct Check {
    expected: Vec<u8>,
    received: usize,
    first: Option<Instant>,
}

impl Check {
    pub(super) fn new(nonce: &str, chunks: u32) -> Self {
        let mut expected = Vec::with_capacity(chunks as usize * (nonce.len() + 4));
        (0..chunks).for_each(|index| push_chunk(&mut expected, nonce, index));
        Self {
            expected,
            received: 0,
            first: None,
        }
    }

    pub(super) fn content(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.expected[self.received..].starts_with(text.as_bytes()) {
            return Err(Failure::Wrong("unexpected content", format!("{text:.200}")));
        }
        self.received += text.len();
        self.first.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn cut_short(&self, what: &'static str) -> Failure {
        let (received, expected) = (self.received, self.expected.len());
        Failure::Wrong(what, format!("{received} of {expected} bytes"))
    }

    /// The end of the reply.
    pub(super) fn end(&self, finished: bool) -> Answer {
        if self.received < self.expected.len() {
            return Err(self.cut_short("content is missing"));
        }
        if !finished {
            return Err(self.cut_short("no finish reason"));
        }
        Ok(self.first.unwrap_or_else(Instant::now))
    }
}

/// The prompt of a request: its nonce and padding up to `bytes`.
pub(crate) fn prompt(nonce: &str, bytes: usize) -> String {
    let mut prompt = format!("nonce={nonce} ");
    let padding = bytes.saturating_sub(prompt.len());
    prompt.extend(std::iter::repeat_n(
        "lorem ipsum dolor ",
        padding.div_ceil(18),
    ));
    prompt.truncate(bytes.max(nonce.len() + 7));
    prompt
}
