//! Plays the provider crate's script of a provider that does not exist.

use tollgate_policy::table::{Effect, Simulated};
use tollgate_provider::chat::{Assembler, Request, Response};
use tollgate_provider::simulated::{self as simulation, Config, Embedded, Fault, Script};
use tollgate_provider::{Class, Failure, embeddings};

use super::{Ended, LiveStream, Reached};
use crate::random;

/// The script of one request. Whether it meets the configured fault is drawn here.
pub(super) fn script(simulated: &Simulated, request: &Request, model: &str) -> Script {
    Script::new(&config(simulated), request, model, random::number())
}

/// Plays an answer of vectors.
pub(super) async fn embed(
    simulated: &Simulated,
    request: &embeddings::Request,
    model: &str,
) -> Result<embeddings::Response, Ended> {
    let (after, outcome) = simulation::embed(&config(simulated), request, model);
    tokio::time::sleep(after).await;
    match outcome {
        Embedded::Answer(response) => Ok(response),
        Embedded::Fail(failure) => Err(failed(failure)),
        // The caller's deadline ends it.
        Embedded::Hang => std::future::pending().await,
    }
}

/// How an attempt ended whose script fails.
pub(super) fn failed(failure: Failure) -> Ended {
    let refused = failure.status.is_some() && failure.class != Class::Truncated;
    let reached = if refused {
        Reached::Refusal
    } else {
        Reached::Perhaps
    };
    Ended::of(failure, reached)
}

fn config(simulated: &Simulated) -> Config {
    let fault = match &simulated.fault {
        Some(fault) if random::below(100) < fault.percent => effect(&fault.effect),
        _ => Fault::None,
    };
    Config {
        first_token_latency: simulated.first_token_latency,
        token_interval: simulated.token_interval,
        output_tokens: simulated.output_tokens,
        fault,
    }
}

/// Plays a whole answer.
pub(super) async fn whole(
    simulated: &Simulated,
    request: &Request,
    model: &str,
) -> Result<Response, Ended> {
    let mut stream = LiveStream::simulated(script(simulated, request, model), LONGEST);
    let mut assembler = Assembler::new();
    let mut chunks = Vec::new();
    while stream.next(&mut chunks).await? {
        chunks.drain(..).for_each(|chunk| assembler.push(chunk));
    }
    assembler.finish().ok_or_else(|| {
        Ended::of(
            Failure::new(Class::Truncated, "the script has no end"),
            Reached::Perhaps,
        )
    })
}

/// A whole answer may be silent until it is there; the caller's deadline ends it.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(3600);

fn effect(effect: &Effect) -> Fault {
    match *effect {
        Effect::Status(code) => Fault::Status {
            code,
            retry_after: None,
        },
        Effect::Hang { after_tokens } => Fault::HangAfter(after_tokens),
        Effect::Reset { after_tokens } => Fault::ResetAfter(after_tokens),
        Effect::Truncate { after_tokens } => Fault::TruncateAfter(after_tokens),
    }
}
