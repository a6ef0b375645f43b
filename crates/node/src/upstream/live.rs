//! A stream that a provider has begun.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tollgate_provider::chat::{Chunk, Usage, Warning};
use tollgate_provider::simulated::{Action, Script};
use tollgate_provider::{Failure, StreamDecoder};

use super::client::Body;
use super::{Ended, Reached, simulated};

/// A stream that a provider has begun. Dropping it ends the request at the provider.
#[derive(Debug)]
pub(crate) struct LiveStream {
    source: Source,
    /// How long the provider may be silent. Only what means something counts, so that comments and drips of
    /// single bytes do not keep a dead stream alive.
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    /// Why the stream broke, where content came before that: it is handed on first, so that what a caller is told
    /// does not depend on how the bytes were cut.
    broken: Option<Ended>,
    warnings: Vec<Warning>,
    /// How long the provider was waited for since its first piece.
    waited: Option<Duration>,
}

#[derive(Debug)]
enum Source {
    Http {
        body: Option<Box<Body>>,
        decoder: Box<StreamDecoder>,
    },
    Simulated {
        script: Box<Script>,
        started: Instant,
        usage: Option<Usage>,
    },
    /// The end was reached; nothing follows.
    Over(Option<Usage>),
}

impl LiveStream {
    fn new(source: Source, idle: Duration) -> Self {
        let silence = Box::pin(tokio::time::sleep(idle));
        Self {
            source,
            idle,
            silence,
            broken: None,
            warnings: Vec::new(),
            waited: None,
        }
    }

    pub(super) fn http(body: Body, decoder: StreamDecoder, idle: Duration) -> Self {
        let body = Some(Box::new(body));
        let decoder = Box::new(decoder);
        Self::new(Source::Http { body, decoder }, idle)
    }

    pub(super) fn simulated(script: Script, idle: Duration) -> Self {
        let started = Instant::now();
        let script = Box::new(script);
        Self::new(
            Source::Simulated {
                script,
                started,
                usage: None,
            },
            idle,
        )
    }

    /// The same stream, with what was left out of the request told before all else.
    pub(crate) fn telling(mut self, warnings: impl IntoIterator<Item = Warning>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Appends what comes next to `out`, everything that has arrived at once, with the pieces of one text made one.
    /// False once the stream has ended as it should.
    ///
    /// # Errors
    /// The stream broke, or ended without its end. Nothing was appended then.
    pub(crate) async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<bool, Ended> {
        if let Some(ended) = self.broken.take() {
            return Err(ended);
        }
        // Nothing is made one with what was there before, or it would not be seen that anything came.
        let mut before = std::mem::take(out);
        out.extend(self.warnings.drain(..).map(Chunk::Warning));
        let told = out.len();
        let result = match self.pull(out).await {
            Err(ended) if out.len() > told => {
                self.broken = Some(ended);
                Ok(true)
            }
            result => result,
        };
        if !before.is_empty() {
            before.append(out);
            *out = before;
        }
        result
    }

    async fn pull(&mut self, out: &mut Vec<Chunk>) -> Result<bool, Ended> {
        let began = Instant::now();
        let due = began + self.idle;
        let mut next = std::pin::pin!(self.source.next(out));
        loop {
            tokio::select! {
                biased;
                result = &mut next => {
                    // The time up to the first piece is another matter.
                    let took = self.waited.map(|before| before + began.elapsed());
                    self.waited = Some(took.unwrap_or_default());
                    return result;
                }
                () = &mut self.silence => {}
            }
            if Instant::now() >= due {
                return Err(Ended::timed_out(
                    "the provider fell silent within its answer",
                ));
            }
            // It was set for an earlier piece. To move it for each would cost more than all the rest.
            self.silence.as_mut().reset(due);
        }
    }

    /// How long the provider was waited for since its first piece.
    pub(crate) fn waited(&self) -> Duration {
        self.waited.unwrap_or_default()
    }

    /// Ends the request at the provider. Nothing follows.
    pub(crate) fn give_up(&mut self) {
        self.source.end();
    }

    /// What the provider has said of usage so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match &self.source {
            Source::Http { decoder, .. } => decoder.usage(),
            Source::Simulated { usage, .. } | Source::Over(usage) => *usage,
        }
    }
}

impl Source {
    async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<bool, Ended> {
        let before = out.len();
        while out.len() == before {
            let goes_on = match self {
                Self::Http { body, decoder } => read(body, decoder, out).await?,
                Self::Simulated {
                    script,
                    started,
                    usage,
                } => play(script, *started, usage, out).await?,
                Self::Over(_) => false,
            };
            if !goes_on {
                self.end();
                return Ok(out.len() > before);
            }
        }
        Ok(true)
    }

    fn end(&mut self) {
        let usage = match self {
            Self::Http { decoder, .. } => decoder.usage(),
            Self::Simulated { usage, .. } | Self::Over(usage) => *usage,
        };
        *self = Self::Over(usage);
    }
}

/// Reads once: all that has arrived is handed on together, so that a provider that is ahead of the caller costs one
/// piece, not many.
async fn read(
    body: &mut Option<Box<Body>>,
    decoder: &mut StreamDecoder,
    out: &mut Vec<Chunk>,
) -> Result<bool, Ended> {
    let broken = |failure: Failure| Ended::of(failure, Reached::Perhaps);
    if let Some(reading) = body {
        let mut decoded = Ok(());
        let more = reading.read(|bytes| {
            if decoded.is_ok() && !decoder.is_done() {
                decoded = decoder.push(bytes, out);
            }
        });
        let more = more.await?;
        decoded.map_err(broken)?;
        if more && !decoder.is_done() {
            return Ok(true);
        }
    }
    decoder.finish(out).map_err(broken)?;
    if let Some(body) = body.take() {
        body.finish();
    }
    Ok(false)
}

async fn play(
    script: &mut Script,
    started: Instant,
    usage: &mut Option<Usage>,
    out: &mut Vec<Chunk>,
) -> Result<bool, Ended> {
    let Some(step) = script.next() else {
        return Ok(false);
    };
    let at = started + step.at;
    if at > Instant::now() {
        tokio::time::sleep_until(at).await;
    }
    match step.action {
        Action::Chunk(chunk) => {
            if let Chunk::Usage(counted) = &chunk {
                *usage = Some(*counted);
            }
            out.push(chunk);
            Ok(true)
        }
        Action::Fail(failure) => Err(simulated::failed(failure)),
        Action::Hang => std::future::pending().await,
    }
}
