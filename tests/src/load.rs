//! A load generator for chat completions over HTTP and gRPC, unary and streamed.
//!
//! In the open loop requests fall due at a constant rate, whether or not earlier ones were
//! answered, and latency counts from the moment a request was due: a server that stalls cannot
//! hide its stall by slowing the generator down ("coordinated omission"). In the closed loop each
//! caller sends its next request when it has the answer to the last, which finds the saturation
//! throughput.
//!
//! Every reply is checked whole: status, the content with the request's nonce as [`crate::provider`]
//! echoes it, and for a stream its finish reason and end. A wrong reply is counted as such and never
//! as success.
//!
//! It does NOT retry, and it runs on one thread so that it disturbs a small machine little.

mod caller;
mod grpc;
mod http;
mod open;
mod pace;
mod record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::task::JoinSet;

pub(crate) use caller::prompt;
use caller::{Caller, Patience};
pub use record::{Cancelled, Latency, Report};
use record::{Recorder, Times};

/// The protocol spoken to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OpenAI-compatible JSON over HTTP/1.1, one request at a time per connection.
    Http,
    /// The same over HTTP/2, many requests per connection.
    Http2,
    /// `tollgate.completion.v1.CompletionService`, many requests per connection.
    Grpc,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// This many per second, come what may.
    Open {
        /// Requests per second, above 0.
        rate: f64,
    },
    /// Each caller as fast as it is answered.
    Closed,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// `http://ADDRESS` of the server.
    pub target: String,
    /// The protocol spoken to it.
    pub protocol: Protocol,
    /// Whether streams are asked for.
    pub stream: bool,
    /// API key; never printed.
    #[serde(skip)]
    pub key: String,
    /// Model asked for.
    pub model: String,
    /// Chunks the model answers with; the reply is checked against it.
    pub chunks: u32,
    /// Length of the prompt, bytes.
    pub prompt_bytes: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// Requests in flight at most. HTTP/1.1 opens a connection for each.
    pub callers: usize,
    /// Connections that callers over HTTP/2 and gRPC share.
    pub connections: usize,
    /// Part at the start that is sent and checked but not measured.
    pub warmup: Duration,
    /// The measured part that follows.
    pub duration: Duration,
    /// Time after which a request counts as failed.
    pub timeout: Duration,
    /// Callers who go away before they are answered, if any do.
    pub cancels: Option<Cancels>,
}

/// Callers who go away: they close their connection, or reset their stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cancels {
    /// Of a hundred requests.
    pub percent: u32,
    /// After a time at random, up to this.
    pub within: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            target: String::new(),
            protocol: Protocol::Http,
            stream: false,
            key: String::new(),
            model: "ok".to_owned(),
            chunks: 8,
            prompt_bytes: 256,
            pace: Pace::Open { rate: 1000.0 },
            callers: 256,
            connections: 4,
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            cancels: None,
        }
    }
}

impl Load {
    /// Most tokens of an answer that are asked for.
    pub(crate) fn most_tokens(&self) -> u32 {
        self.chunks.saturating_mul(2).max(16)
    }
}

/// The measured part of a run.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Instant,
    to: Instant,
}

impl Span {
    fn of(load: &Load, start: Instant) -> Self {
        let from = start + load.warmup;
        let to = from + load.duration;
        Self { from, to }
    }
}

/// Runs a load on the calling thread, which must not be one of an asynchronous runtime.
pub fn run(load: &Load) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the load generator's runtime")?;
    runtime.block_on(run_async(load))
}

/// Runs a load as part of a runtime that is there already.
///
/// Fails only if the load cannot be generated; what the server does wrong is in the report.
pub async fn run_async(load: &Load) -> anyhow::Result<Report> {
    let callers = caller::connect(load).await?;
    let recorder = Arc::new(Recorder::new()?);
    match load.pace {
        Pace::Open { rate } => open::run(load, rate, callers, &recorder).await?,
        Pace::Closed => closed(load, callers, &recorder).await?,
    }
    Ok(recorder.report(load))
}

async fn closed(load: &Load, callers: Vec<Caller>, recorder: &Arc<Recorder>) -> anyhow::Result<()> {
    let span = Span::of(load, Instant::now());
    let mut tasks = JoinSet::new();
    for caller in callers {
        let recorder = Arc::clone(recorder);
        tasks.spawn(call_until(caller, span, recorder, Patience::of(load)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a caller panicked")?;
    }
    Ok(())
}

async fn call_until(mut caller: Caller, span: Span, recorder: Arc<Recorder>, patience: Patience) {
    loop {
        let due = Instant::now();
        if due >= span.to {
            return;
        }
        let nonce = recorder.next_nonce();
        let answer = caller.call(&nonce, patience.draw()).await;
        recorder.note_cancel(&nonce, &answer);
        let done = Instant::now();
        let could_not_connect = answer.as_ref().is_err_and(caller::Failure::is_transport);
        let times = Times {
            due,
            sent: due,
            done,
        };
        recorder.answered(due >= span.from && done <= span.to, times, answer);
        if could_not_connect {
            // A server that is down is asked again soon, not in a busy loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[cfg(test)]
mod tests;
