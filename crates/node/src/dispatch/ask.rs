//! One attempt: the request is sent, and waited for until its answer is certain enough to be handed on.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use tokio::time::{Instant, timeout, timeout_at};
use tollgate_balance::{Word, Words};
use tollgate_policy::table::SlowStream;
use tollgate_provider::chat::{Chunk, Delta, Response, Usage, UsageSource};
use tollgate_provider::embeddings;
use tollgate_provider::rate_limits::{Allowance, RateLimits};
use tollgate_provider::request_id;

use super::go_on::{Differs, Echo};
use super::{Case, Started, Walk};
use crate::asked::Asked;
use crate::clock;
use crate::meter::count_chunk;
use crate::upstream::{Ended, LiveStream, suits};

/// What an attempt brought.
pub(super) enum Answer {
    Whole(Box<Response>),
    Embeddings(Box<embeddings::Response>),
    Stream(Box<Opening>),
}

impl Answer {
    /// Whether the provider's filter withheld all of it, and what it used.
    pub(super) fn withheld(&self, asked: &Asked) -> Option<Option<Usage>> {
        match self {
            Self::Whole(response) => response.is_withheld().then_some(response.usage),
            Self::Embeddings(_) => None,
            Self::Stream(opening) => opening
                .is_withheld(asked.choices())
                .then(|| opening.live.usage()),
        }
    }
}

/// What a stream begins with.
pub(super) struct Opening {
    pub(super) live: LiveStream,
    pub(super) chunks: Vec<Chunk>,
    /// Whether nothing follows.
    pub(super) over: bool,
    /// Tokens that came before, and that the caller has already.
    pub(super) left_out: u64,
}

impl Walk<'_> {
    /// Asks a provider for the answer of a deployment.
    pub(super) async fn ask(&self, attempt: &mut Started) -> Result<Answer, Ended> {
        let slow_stream = attempt.slow_stream;
        let (upstream, of) = (&*attempt.upstream, &*attempt.deployment);
        if let Asked::Completion { request, .. } = &self.case.request.asked {
            suits(of, request)?;
        }
        let again = self.case.again(of);
        let opening = async {
            let heard = |headers: &HeaderMap| {
                attempt.under_way.told(&words(headers));
                if let Some(id) = request_id(headers) {
                    attempt.request_id.get_or_init(|| id.into());
                }
            };
            let live = match &self.case.request.asked {
                Asked::Completion {
                    request,
                    stream: true,
                } => {
                    let request = again.as_ref().map_or(&**request, |it| &it.request);
                    upstream.stream(request, of, &heard).await?
                }
                Asked::Completion { request, .. } => {
                    let response = upstream.whole(request, of, &heard).await?;
                    return Ok(Answer::Whole(Box::new(response)));
                }
                Asked::Embeddings(request) => {
                    let response = upstream.embed(request, of, &heard).await?;
                    return Ok(Answer::Embeddings(Box::new(response)));
                }
            };
            let opening = Opening::new(live).await?;
            attempt.under_way.streams();
            Ok(Answer::Stream(Box::new(opening)))
        };
        let answer = match self.patience() {
            None => opening.await,
            Some(patience) => timeout(patience, opening)
                .await
                .map_err(|_| Ended::timed_out("the attempt took longer than the policy allows"))
                .flatten(),
        };
        let mut answer = answer?;
        if let Answer::Stream(opening) = &mut answer {
            if let Some(slow_stream) = slow_stream {
                opening.hold_back(slow_stream).await?;
            }
            if let Some(again) = again {
                opening.leave_out(again.echo, self.case).await?;
            }
        }
        Ok(answer)
    }

    /// How long an attempt may take up to its first content.
    fn patience(&self) -> Option<Duration> {
        let model = &self.case.request.model;
        let streams = self.case.request.asked.streams();
        let limits = [
            model.per_attempt_timeout,
            model.first_token_timeout.filter(|_| streams),
        ];
        limits.into_iter().flatten().min()
    }
}

impl Opening {
    /// Holds back what a stream begins with until it brings content: up to then another provider can still answer.
    async fn new(live: LiveStream) -> Result<Self, Ended> {
        let mut it = Self {
            live,
            chunks: Vec::new(),
            over: false,
            left_out: 0,
        };
        while !it.over && !it.chunks.iter().any(is_content) {
            it.pull().await?;
        }
        Ok(it)
    }

    /// Holds it back until it has shown to be fast enough.
    async fn hold_back(&mut self, least: SlowStream) -> Result<(), Ended> {
        let until = Instant::now() + least.within;
        while !self.over && self.tokens() < u64::from(least.tokens) {
            let pulled = timeout_at(until, self.pull()).await;
            pulled
                .map_err(|_| {
                    Ended::timed_out("the stream began more slowly than the policy allows")
                })
                .flatten()?;
        }
        Ok(())
    }

    /// Leaves out of it what the caller of a request has already, and waits until it brings more.
    async fn leave_out(&mut self, mut echo: Echo, case: &Case<'_>) -> Result<(), Ended> {
        loop {
            let came = self.tokens();
            let passed = echo.leave_out(&mut self.chunks);
            self.left_out += came.saturating_sub(self.tokens());
            match passed {
                Ok(true) => return Ok(()),
                Ok(false) if !self.over => self.pull().await?,
                Ok(false) | Err(Differs) => {
                    let (input, output) = (case.request.bounds.input, self.left_out);
                    let counted = Usage::of(input, output, UsageSource::Estimated);
                    // What a provider has counted before the end may lag behind what it sent.
                    let told = self.live.usage().filter(|it| it.output_total >= output);
                    return Err(Ended::diverged(told.unwrap_or(counted)));
                }
            }
        }
    }

    /// Whether all of so many choices ended before anything was said, other than why.
    fn is_withheld(&self, choices: u32) -> bool {
        let mut withheld = 0;
        for chunk in &self.chunks {
            match chunk {
                Chunk::Finish { reason, .. } if reason.is_withheld() => withheld += 1,
                Chunk::Finish { .. } => return false,
                Chunk::Delta {
                    delta: Delta::Refusal(_),
                    ..
                } => {}
                Chunk::Delta { .. } => return false,
                Chunk::Warning(_)
                | Chunk::Start { .. }
                | Chunk::UsageReport(_)
                | Chunk::Usage(_) => {}
            }
        }
        withheld == choices
    }

    async fn pull(&mut self) -> Result<(), Ended> {
        self.over = !self.live.next(&mut self.chunks).await?;
        Ok(())
    }

    fn tokens(&self) -> u64 {
        self.chunks.iter().map(count_chunk).sum()
    }
}

fn is_content(chunk: &Chunk) -> bool {
    matches!(chunk, Chunk::Delta { .. })
}

/// What an answer's headers say of the provider's limits.
fn words(headers: &HeaderMap) -> Words {
    let now = UNIX_EPOCH + clock::unix_time();
    let limits = RateLimits::read(headers, now);
    let word = |it: Allowance| {
        Some(Word {
            limit: it.limit,
            remaining: it.remaining?,
            reset: it.reset?,
        })
    };
    Words {
        requests: word(limits.requests),
        tokens: word(limits.tokens),
        input_tokens: word(limits.input_tokens),
        output_tokens: word(limits.output_tokens),
    }
}
