//! No field of a request and no kind of part is without a feature.

use std::collections::BTreeSet;

use tollgate_provider::chat::{
    DocumentSource, Part, PromptCache, Reasoning, Request, ResponseFormat, Role, Source, Tool,
    ToolChoice,
};

use super::features::FEATURES;
use super::{Fixture, by_grpc, folder};

/// Whether each field says something. It names them all, so that a new one cannot be forgotten here.
fn fields(request: &Request) -> [(&'static str, bool); 28] {
    let Request {
        model,
        messages,
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        stop,
        seed,
        choices,
        frequency_penalty,
        presence_penalty,
        logit_bias,
        logprobs,
        top_logprobs,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        reasoning,
        modalities,
        audio,
        service_tier,
        cache_points,
        prompt_cache: PromptCache { key, retention },
        metadata,
        provider_options,
        user,
    } = request;
    let name = messages.iter().any(|message| message.name.is_some());
    [
        ("model", !model.is_empty()),
        ("messages", !messages.is_empty()),
        ("messages.name", name),
        ("max_output_tokens", max_output_tokens.is_some()),
        ("temperature", temperature.is_some()),
        ("top_p", top_p.is_some()),
        ("top_k", top_k.is_some()),
        ("stop", !stop.is_empty()),
        ("seed", seed.is_some()),
        ("choices", choices.is_some()),
        ("frequency_penalty", frequency_penalty.is_some()),
        ("presence_penalty", presence_penalty.is_some()),
        ("logit_bias", !logit_bias.is_empty()),
        ("logprobs", logprobs.is_some()),
        ("top_logprobs", top_logprobs.is_some()),
        ("tools", !tools.is_empty()),
        ("tool_choice", tool_choice.is_some()),
        ("parallel_tool_calls", parallel_tool_calls.is_some()),
        ("response_format", response_format.is_some()),
        ("reasoning", reasoning.is_some()),
        ("modalities", !modalities.is_empty()),
        ("audio", audio.is_some()),
        ("service_tier", service_tier.is_some()),
        ("cache_points", !cache_points.is_empty()),
        ("prompt_cache", key.is_some() && retention.is_some()),
        ("metadata", !metadata.is_empty()),
        ("provider_options", !provider_options.is_empty()),
        ("user", user.is_some()),
    ]
}

/// What a part is, as finely as formats tell parts apart.
fn part(part: &Part) -> &'static str {
    match part {
        Part::Text(_) => "text",
        Part::Cited { .. } => "cited text",
        Part::Image(image) => match (&image.detail, &image.source) {
            (Some(_), _) => "image with a detail",
            (None, Source::Url(_)) => "image by address",
            (None, Source::Bytes { .. }) => "image by content",
            (None, Source::Stored(_)) => "stored image",
        },
        Part::Audio(audio) if audio.id.is_some() => "audio by id",
        Part::Audio(_) => "audio",
        Part::Document(document) if document.citations => "document to be cited",
        Part::Document(document) => match &document.source {
            DocumentSource::File(Source::Url(_)) => "document by address",
            DocumentSource::File(Source::Bytes { .. }) => "document by content",
            DocumentSource::File(Source::Stored(_)) => "stored document",
            DocumentSource::Text { .. } => "document of text",
        },
        Part::ToolCall(call) if call.opaque.is_empty() => "tool call",
        Part::ToolCall(_) => "tool call with state",
        Part::ToolResult { is_error, .. } if *is_error => "failed tool result",
        Part::ToolResult { parts, .. } if parts.len() > 1 => "tool result of several parts",
        Part::ToolResult { .. } => "tool result",
        Part::Reasoning { text, .. } if text.is_empty() => "hidden reasoning",
        Part::Reasoning { .. } => "reasoning",
        Part::Refusal(_) => "refusal",
    }
}
const PARTS: [&str; 20] = [
    "text",
    "cited text",
    "document to be cited",
    "image with a detail",
    "image by address",
    "image by content",
    "stored image",
    "audio",
    "audio by id",
    "stored document",
    "document by address",
    "document by content",
    "document of text",
    "tool call",
    "tool call with state",
    "failed tool result",
    "tool result of several parts",
    "tool result",
    "hidden reasoning",
    "refusal",
];

fn format(format: &ResponseFormat) -> &'static str {
    match format {
        ResponseFormat::Text => "format text",
        ResponseFormat::JsonObject => "format object",
        ResponseFormat::JsonSchema(_) => "format schema",
    }
}

fn tool(tool: &Tool) -> &'static str {
    match tool {
        Tool::Function(_) => "function",
        Tool::Provider(tool) if tool.provider.is_some() => "tool of one kind of provider",
        Tool::Provider(_) => "tool of a provider",
    }
}

fn choice(choice: &ToolChoice) -> &'static str {
    match choice {
        ToolChoice::Auto => "choice auto",
        ToolChoice::None => "choice none",
        ToolChoice::Required => "choice required",
        ToolChoice::Tool(_) => "choice by name",
    }
}

fn reasoning(wanted: Reasoning) -> impl Iterator<Item = &'static str> {
    let Reasoning {
        effort,
        budget_tokens,
        include_text,
    } = wanted;
    let said = [
        effort.map(|_| "effort"),
        budget_tokens.map(|_| "budget"),
        include_text.map(|_| "shown thoughts"),
    ];
    said.into_iter().flatten()
}

/// Everything that a request says.
fn said(request: &Request, all: &mut BTreeSet<&'static str>) {
    all.extend(
        fields(request)
            .into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| name),
    );
    for message in &request.messages {
        all.insert(message.role.as_str());
        all.extend(message.parts.iter().map(part));
    }
    all.extend(request.tools.iter().map(tool));
    all.extend(request.response_format.iter().map(format));
    all.extend(request.tool_choice.iter().map(choice));
    all.extend(request.reasoning.into_iter().flat_map(reasoning));
}

#[test]
fn every_field_of_a_request_is_a_feature() {
    let mut all = BTreeSet::new();
    for feature in FEATURES {
        let text = std::fs::read(folder().join(format!("{feature}.json"))).unwrap();
        let fixture: Fixture<'_> = serde_json::from_slice(&text).unwrap();
        said(&by_grpc(fixture.grpc), &mut all);
    }
    let roles = [
        Role::Developer,
        Role::System,
        Role::User,
        Role::Assistant,
        Role::Tool,
    ];
    let words = ["format text", "format object", "format schema"];
    let choices = [
        "choice auto",
        "choice none",
        "choice required",
        "choice by name",
    ];
    let wanted = fields(&Request::default())
        .map(|(name, _)| name)
        .into_iter();
    let wanted = wanted
        .chain(roles.map(Role::as_str))
        .chain(PARTS)
        .chain(words)
        .chain(choices)
        .chain(["effort", "budget", "shown thoughts", "function"])
        .chain(["tool of one kind of provider", "tool of a provider"]);
    let missing: Vec<_> = wanted.filter(|it| !all.contains(it)).collect();
    assert!(
        missing.is_empty(),
        "no feature in `golden` says {missing:?}"
    );
}

#[test]
fn every_fixture_is_a_feature() {
    let mut there: BTreeSet<String> = BTreeSet::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            // Those of answers and of embeddings, see `answers` and `vectors`.
            continue;
        }
        there.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(there, FEATURES.map(str::to_owned).into());
}
