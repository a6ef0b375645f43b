//! Turns answers into messages of the contract.

mod structure;

use std::time::Duration;

use serde::Deserialize;
use tollgate_proto::completion::v1 as wire;
use tollgate_provider::chat::{
    Aside, Audio, Choice, Chunk, Citation, Delta, FinishReason, Json, Opaque, Part, Response, Tier,
    Unit, Usage, UsageSource, Warning,
};

use crate::capabilities::Capability;
use crate::complete::{Piece, Whole};
use crate::count::Count;
use crate::meter::{Attempt, Summary};

/// A whole answer.
pub(super) fn whole(whole: Whole<Response>) -> wire::CompleteResponse {
    let Whole {
        head,
        response,
        summary,
    } = whole;
    wire::CompleteResponse {
        id: head.id,
        model: head.model.to_string(),
        usage: Some(usage(&summary.usage, summary.usage_report.as_ref())),
        cost: Some(cost(&summary)),
        route: Some(route(&summary)),
        ..answer(response)
    }
}

/// What a provider answered.
pub(crate) fn answer(response: Response) -> wire::CompleteResponse {
    wire::CompleteResponse {
        choices: response.choices.into_iter().map(choice).collect(),
        warnings: response.warnings.into_iter().map(warning).collect(),
        system_fingerprint: response.fingerprint.unwrap_or_default(),
        provider_details: structure::of_all(&response.details),
        ..Default::default()
    }
}

/// A piece of a stream.
pub(super) fn piece(piece: Piece) -> wire::StreamCompleteResponse {
    match piece {
        Piece::Chunks(chunks) => {
            let mut message = wire::StreamCompleteResponse::default();
            chunks
                .into_iter()
                .for_each(|chunk| add(&mut message, chunk));
            message
        }
        Piece::End(summary) => wire::StreamCompleteResponse {
            usage: Some(usage(&summary.usage, summary.usage_report.as_ref())),
            cost: Some(cost(&summary)),
            route: Some(route(&summary)),
            stopped_by: summary.stopped_by.as_deref().unwrap_or_default().to_owned(),
            ..Default::default()
        },
    }
}

pub(crate) fn add(message: &mut wire::StreamCompleteResponse, chunk: Chunk) {
    let choices = &mut message.choices;
    match chunk {
        Chunk::Warning(left_out) => message.warnings.push(warning(left_out)),
        Chunk::Delta { choice, delta } => {
            let place = place(choices, choice);
            match delta {
                Delta::Logprobs(json) => place.log_probs.extend(log_probs(&json)),
                Delta::Text(_)
                | Delta::Refusal(_)
                | Delta::Reasoning(_)
                | Delta::ReasoningState(_)
                | Delta::ToolCall { .. }
                | Delta::ToolState { .. }
                | Delta::Citation(_)
                | Delta::Audio(_)
                | Delta::ToolArguments { .. } => add_part(&mut place.parts, delta),
            }
        }
        Chunk::Aside(aside) => add_aside(message, aside),
        Chunk::Finish { choice, reason } => {
            place(choices, choice).finish_reason = finish(reason).into()
        }
        // The one names the provider's own, the others are part of the last message.
        Chunk::Start { .. } | Chunk::UsageReport(_) | Chunk::Usage(_) => {}
    }
}

fn add_aside(message: &mut wire::StreamCompleteResponse, aside: Aside) {
    match aside {
        Aside::Fingerprint(name) => message.system_fingerprint = name,
        Aside::StopSequence { choice, text } => {
            place(&mut message.choices, choice).stop_sequence = text;
        }
        Aside::Detail {
            choice,
            name,
            value,
        } => {
            let details = match choice {
                Some(choice) => &mut place(&mut message.choices, choice).provider_details,
                None => &mut message.provider_details,
            };
            structure::add(details.get_or_insert_default(), name, &value);
        }
    }
}

fn place(choices: &mut Vec<wire::ChoiceDelta>, index: u32) -> &mut wire::ChoiceDelta {
    let at = match choices.iter().position(|choice| choice.index == index) {
        Some(at) => at,
        None => {
            choices.push(wire::ChoiceDelta {
                index,
                ..Default::default()
            });
            choices.len() - 1
        }
    };
    &mut choices[at]
}

/// Appends to the last part where both are text, so that what came in many pieces goes out in few.
fn add_part(parts: &mut Vec<wire::PartDelta>, delta: Delta) {
    use wire::part_delta::Delta as Out;
    if let Delta::Text(text) = &delta
        && let Some(wire::PartDelta {
            delta: Some(Out::Text(before)),
        }) = parts.last_mut()
    {
        before.push_str(text);
        return;
    }
    let call = |index| wire::ToolCallDelta {
        index,
        ..Default::default()
    };
    let delta = match delta {
        Delta::Text(text) => Out::Text(text),
        Delta::Refusal(text) => Out::Refusal(text),
        Delta::Reasoning(text) => Out::Reasoning(wire::Reasoning {
            text,
            provider_state: Vec::new(),
        }),
        Delta::ReasoningState(state) => Out::Reasoning(wire::Reasoning {
            text: String::new(),
            provider_state: vec![opaque(state)],
        }),
        Delta::ToolCall { index, id, name } => Out::ToolCall(wire::ToolCallDelta {
            id,
            name,
            ..call(index)
        }),
        Delta::ToolArguments { index, fragment } => Out::ToolCall(wire::ToolCallDelta {
            arguments_json: fragment,
            ..call(index)
        }),
        Delta::ToolState { index, state } => Out::ToolCall(wire::ToolCallDelta {
            provider_state: vec![opaque(state)],
            ..call(index)
        }),
        Delta::Audio(more) => Out::Audio(audio(more)),
        Delta::Citation(source) => Out::Citation(citation(source)),
        // Told beside the parts.
        Delta::Logprobs(_) => return,
    };
    parts.push(wire::PartDelta { delta: Some(delta) });
}

fn choice(choice: Choice) -> wire::Choice {
    wire::Choice {
        index: choice.index,
        message: Some(wire::Message {
            role: wire::Role::Assistant.into(),
            parts: choice.message.parts.into_iter().filter_map(part).collect(),
            name: String::new(),
        }),
        finish_reason: finish(choice.finish_reason).into(),
        log_probs: choice.logprobs.as_ref().map(log_probs).unwrap_or_default(),
        stop_sequence: choice.stop_sequence.unwrap_or_default(),
        provider_details: structure::of_all(&choice.details),
    }
}

fn part(part: Part) -> Option<wire::Part> {
    use wire::part::Part as Out;
    let mut citations = Vec::new();
    let part = match part {
        Part::Text(text) => Out::Text(text),
        Part::Cited {
            text,
            citations: sources,
        } => {
            citations = sources.into_iter().map(citation).collect();
            Out::Text(text)
        }
        Part::Refusal(text) => Out::Refusal(text),
        Part::Reasoning {
            text,
            opaque: state,
        } => Out::Reasoning(wire::Reasoning {
            text,
            provider_state: state.into_iter().map(opaque).collect(),
        }),
        Part::ToolCall(call) => Out::ToolCall(wire::ToolCall {
            id: call.id,
            name: call.name,
            arguments_json: call.arguments,
            provider_state: call.opaque.into_iter().map(opaque).collect(),
        }),
        Part::Audio(spoken) => Out::Audio(audio(spoken)),
        // No codec puts these into an answer.
        Part::Image(_) | Part::Document(_) | Part::ToolResult { .. } => {
            return None;
        }
    };
    Some(wire::Part {
        part: Some(part),
        citations,
        ..Default::default()
    })
}

pub(super) fn warning(left_out: Warning) -> wire::Warning {
    wire::Warning {
        field: left_out.field,
        problem: left_out.problem.to_owned(),
    }
}

/// Sound, all of it or what was added.
fn audio(spoken: Audio) -> wire::Audio {
    let known = (!spoken.format.is_empty()).then(|| format!("audio/{}", spoken.format));
    wire::Audio {
        data: spoken.data,
        media_type: known.unwrap_or_default(),
        id: spoken.id.unwrap_or_default(),
        transcript: spoken.transcript,
        expires_at: spoken.expires_at.map(|at| prost_types::Timestamp {
            seconds: i64::try_from(at).unwrap_or(i64::MAX),
            nanos: 0,
        }),
    }
}

fn opaque(state: Opaque) -> wire::ProviderState {
    wire::ProviderState {
        provider: state.provider,
        kind: state.kind,
        data: state.bytes,
    }
}

fn citation(source: Citation) -> wire::Citation {
    wire::Citation {
        url: source.url.unwrap_or_default(),
        title: source.title.unwrap_or_default(),
        quoted_text: source.quoted_text.unwrap_or_default(),
        start: source.passage.start,
        end: source.passage.end,
        source_id: source.source_id.unwrap_or_default(),
        document: source.document,
        location: source.location.map(|place| wire::SourceLocation {
            unit: unit(place.unit).into(),
            start: place.range.start,
            end: place.range.end,
        }),
        provider_state: source.opaque.map(opaque),
    }
}

fn unit(unit: Unit) -> wire::SourceUnit {
    match unit {
        Unit::Characters => wire::SourceUnit::Characters,
        Unit::Pages => wire::SourceUnit::Pages,
        Unit::Blocks => wire::SourceUnit::Blocks,
    }
}

fn finish(reason: FinishReason) -> wire::FinishReason {
    match reason {
        FinishReason::Stop => wire::FinishReason::Stop,
        FinishReason::Length => wire::FinishReason::Length,
        FinishReason::ToolCalls => wire::FinishReason::ToolCalls,
        FinishReason::ContentFilter => wire::FinishReason::ContentFilter,
        FinishReason::Refusal => wire::FinishReason::Refusal,
        FinishReason::Other => wire::FinishReason::Other,
    }
}

/// The usage, and the provider's own report of it.
pub(crate) fn usage(usage: &Usage, report: Option<&Json>) -> wire::Usage {
    wire::Usage {
        input_tokens: usage.input_total,
        output_tokens: usage.output_total,
        cache_read_tokens: usage.cache_read,
        cache_write_tokens: usage.cache_write,
        cache_write_1h_tokens: usage.cache_write_1h,
        billed_input_tokens: usage.billed.map(|billed| billed.input),
        billed_output_tokens: usage.billed.map(|billed| billed.output),
        reasoning_tokens: usage.reasoning,
        input_audio_tokens: usage.input_audio,
        output_audio_tokens: usage.output_audio,
        input_image_tokens: usage.input_image,
        output_image_tokens: usage.output_image,
        accepted_prediction_tokens: usage.accepted_prediction,
        rejected_prediction_tokens: usage.rejected_prediction,
        searches: usage.searches,
        service_tier: usage.tier.map(tier).unwrap_or_default().into(),
        source: source(usage.source).into(),
        provider_report: report.and_then(structure::of),
    }
}

fn tier(tier: Tier) -> wire::ServiceTier {
    match tier {
        Tier::Standard => wire::ServiceTier::Standard,
        Tier::Flex => wire::ServiceTier::Flex,
        Tier::Priority => wire::ServiceTier::Priority,
        Tier::Fast => wire::ServiceTier::Fast,
        Tier::Batch => wire::ServiceTier::Batch,
    }
}

/// What a model can be asked for.
pub(super) fn capability(capability: Capability) -> wire::Capability {
    match capability {
        Capability::Completions => wire::Capability::Completions,
        Capability::Embeddings => wire::Capability::Embeddings,
    }
}

/// A count of tokens.
pub(super) fn count(count: Count) -> wire::CountTokensResponse {
    let deployment = count.deployment.map(|it| it.name.to_string());
    wire::CountTokensResponse {
        model: count.model.to_string(),
        input_tokens: count.tokens,
        source: source(count.source).into(),
        deployment: deployment.unwrap_or_default(),
    }
}

pub(crate) fn source(source: UsageSource) -> wire::UsageSource {
    match source {
        UsageSource::Provider => wire::UsageSource::Provider,
        UsageSource::Counted => wire::UsageSource::Counted,
        UsageSource::Estimated => wire::UsageSource::Estimated,
    }
}

pub(super) fn cost(summary: &Summary) -> wire::Cost {
    wire::Cost {
        nano_usd: summary
            .cost
            .map(|cost| i64::try_from(cost).unwrap_or(i64::MAX)),
        price_revision: summary.revision,
        price_catalog: summary.price_catalog().to_owned(),
    }
}

pub(super) fn route(summary: &Summary) -> wire::RouteTaken {
    let explanation = summary.explanation.as_deref();
    wire::RouteTaken {
        provider: summary.deployment.provider.name.to_string(),
        deployment: summary.deployment.name.to_string(),
        provider_model: summary.provider_model.clone(),
        attempts: summary.attempts.iter().map(attempt).collect(),
        policy_revision: summary.revision,
        explanation: explanation.cloned(),
        variant: summary.variant.as_deref().unwrap_or_default().to_owned(),
    }
}

fn attempt(attempt: &Attempt) -> wire::Attempt {
    wire::Attempt {
        provider: attempt.deployment.provider.name.to_string(),
        deployment: attempt.deployment.name.to_string(),
        outcome: attempt.outcome.into(),
        http_status: attempt.status.unwrap_or(0).into(),
        duration: Some(duration(attempt.duration)),
        handed_on: attempt.handed_on,
    }
}

pub(crate) fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        // Below a billion, always.
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

/// Log-probabilities as OpenAI writes them.
#[derive(Deserialize)]
struct LogProbs {
    #[serde(default)]
    content: Option<Vec<LogProb>>,
    #[serde(default)]
    refusal: Option<Vec<LogProb>>,
}

#[derive(Deserialize)]
struct LogProb {
    token: String,
    logprob: f64,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Vec<LogProb>,
}

/// What cannot be read is left out: log-probabilities decorate an answer.
fn log_probs(json: &Json) -> Vec<wire::TokenLogProb> {
    let Ok(read) = serde_json::from_str::<LogProbs>(json.get()) else {
        return Vec::new();
    };
    let all = read
        .content
        .into_iter()
        .flatten()
        .chain(read.refusal.into_iter().flatten());
    all.map(log_prob).collect()
}

fn log_prob(one: LogProb) -> wire::TokenLogProb {
    wire::TokenLogProb {
        data: one
            .bytes
            .unwrap_or_else(|| one.token.clone().into_bytes())
            .into(),
        token: one.token,
        log_prob: one.logprob,
        top: one.top_logprobs.into_iter().map(log_prob).collect(),
    }
}
