//! The same for embeddings: `golden/embeddings`, with a table of its own.
//!
//! Cohere's models must be told what the vectors are for: where a fixture does not say, they are told that it is a query.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::value::RawValue;
use tollgate_proto::completion::v1::EmbedRequest;
use tollgate_provider::embeddings::{Encoding, Input, InputType, Request};
use tollgate_provider::openai::parse_embedding_request;
use tollgate_provider::{Codec, Kind, Target};

use super::table::{Reasons, cells, compare_part, head};
use super::{Fixture, Outcome, compare, folder, message, outcome, written};
use crate::decode;

const BEGIN: &str = "<!-- made by `cargo test -p tollgate-node golden::vectors` -->\n";

/// The columns of the table: title, kind, model.
const COLUMNS: [(&str, Kind, &str); 8] = [
    ("openai", Kind::OpenAi, "text-embedding-3-small"),
    ("openai_compatible", Kind::OpenAiCompatible, "bge-m3"),
    ("azure_openai", Kind::AzureOpenAi, "my-embedder"),
    ("gemini", Kind::Gemini, "gemini-embedding-001"),
    ("mistral", Kind::Mistral, "codestral-embed"),
    ("cohere", Kind::Cohere, "embed-v4.0"),
    ("bedrock, Cohere", Kind::Bedrock, "cohere.embed-v4:0"),
    (
        "bedrock, Titan",
        Kind::Bedrock,
        "amazon.titan-embed-text-v2:0",
    ),
];

/// Every feature, in the order of the table.
const FEATURES: [&str; 14] = [
    "plain",
    "several_texts",
    "tokens",
    "image_data",
    "image_address",
    "dimensions",
    "input_type",
    "input_type_of_few",
    "small_numbers",
    "bits",
    "too_long_refused",
    "too_long_cut",
    "end_user",
    "labels_and_options",
];

fn vectors_folder() -> PathBuf {
    folder().join("embeddings")
}

fn by_grpc(json: &RawValue) -> Request {
    decode::embeddings(message::<EmbedRequest>(json, "EmbedRequest")).unwrap()
}

fn outcomes(request: &Request) -> Vec<Outcome> {
    let of = |(_, kind, model): (&str, Kind, &str)| {
        let mut request = request.clone();
        if kind == Kind::Cohere || model.starts_with("cohere.") {
            request.input_type.get_or_insert(InputType::Query);
        }
        let codec = Codec::new(kind);
        outcome(model, |target: &Target<'_>| {
            codec.encode_embeddings(&request, target)
        })
    };
    COLUMNS.into_iter().map(of).collect()
}

fn told(request: &Request) -> String {
    let titles = COLUMNS.iter().map(|(title, ..)| *title);
    written(titles.zip(&outcomes(request)))
}

#[test]
fn every_kind_is_sent_what_is_written() {
    for feature in FEATURES {
        let text = std::fs::read(vectors_folder().join(format!("{feature}.json"))).unwrap();
        let fixture: Fixture<'_> = serde_json::from_slice(&text).unwrap();
        let by_grpc = told(&by_grpc(fixture.grpc));
        compare(&vectors_folder().join(format!("{feature}.txt")), &by_grpc);
        if let Some(http) = fixture.http {
            let asked = parse_embedding_request(http.get().as_bytes()).unwrap();
            let by_http = told(&asked.request);
            assert!(
                by_http == by_grpc,
                "the edges differ:\n{by_http}\n{by_grpc}"
            );
        }
    }
}

#[test]
fn the_readme_says_what_each_kind_takes() {
    let mut reasons = Reasons::default();
    let mut out = "\n| a request with | edges |".to_owned();
    for (title, ..) in COLUMNS {
        let _ = write!(out, " {title} |");
    }
    out.push_str("\n|---|---|---|---|---|---|---|---|---|---|\n");
    let read = |name: &str| std::fs::read(vectors_folder().join(format!("{name}.json"))).unwrap();
    let plain = read("plain");
    let plain: Fixture<'_> = serde_json::from_slice(&plain).unwrap();
    for feature in FEATURES {
        let text = read(feature);
        let fixture: Fixture<'_> = serde_json::from_slice(&text).unwrap();
        let with = outcomes(&by_grpc(fixture.grpc));
        let without = outcomes(&by_grpc(fixture.without.unwrap_or(plain.grpc)));
        let with = COLUMNS.iter().map(|(_, kind, _)| *kind).zip(&with);
        let edges = fixture.http.map_or("gRPC", |_| "both");
        out.push_str(&head(feature, "golden/embeddings", edges));
        out.push_str(&cells(feature == "plain", with.zip(&without), &mut reasons));
    }
    out.push_str(&reasons.notes());
    compare_part(BEGIN, &out);
}

/// What a request says. It names all fields, so that a new one cannot be forgotten here.
fn said(request: &Request) -> Vec<&'static str> {
    let Request {
        model: _,
        inputs,
        dimensions,
        input_type,
        encoding,
        truncation,
        metadata,
        provider_options,
        user,
    } = request;
    let inputs = inputs.iter().map(|input| match input {
        Input::Text(_) => "text",
        Input::Tokens(_) => "tokens",
        Input::Image(_) => "image",
    });
    let fields = [
        ("dimensions", dimensions.is_some()),
        ("input_type", input_type.is_some()),
        ("encoding", *encoding != Encoding::Float),
        ("truncation", truncation.is_some()),
        ("metadata", !metadata.is_empty()),
        ("provider_options", !provider_options.is_empty()),
        ("user", user.is_some()),
    ];
    let fields = fields.into_iter().filter(|(_, set)| *set);
    inputs.chain(fields.map(|(name, _)| name)).collect()
}

#[test]
fn every_field_of_a_request_is_a_feature() {
    let mut all = BTreeSet::new();
    for feature in FEATURES {
        let text = std::fs::read(vectors_folder().join(format!("{feature}.json"))).unwrap();
        let fixture: Fixture<'_> = serde_json::from_slice(&text).unwrap();
        all.extend(said(&by_grpc(fixture.grpc)));
    }
    assert_eq!(all.len(), 10, "{all:?}");
}

#[test]
fn every_fixture_is_a_feature() {
    let files = std::fs::read_dir(vectors_folder()).unwrap();
    let names = files.map(|file| file.unwrap().path());
    let there: BTreeSet<_> = names
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(there, FEATURES.map(str::to_owned).into());
}
