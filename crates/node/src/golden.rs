//! What each kind of provider is sent for each feature of a request, byte for byte, whichever edge it came in at.
//!
//! `golden/FEATURE.json` holds a request as gRPC takes it (`grpc`), the same as the OpenAI edge takes it where it has
//! words for it (`http`), and the request but for the feature (`without`; `plain` where it is missing).
//! `golden/FEATURE.txt` is what comes of it. The table in `crates/provider/README.md` is made of these files; after a
//! change that is meant, `TOLLGATE_BLESS=1 cargo test -p tollgate-node golden` writes both anew, to be read before
//! they are committed.

mod answers;
mod coverage;
mod features;
mod table;
mod vectors;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_proto::completion::v1::CompleteRequest;
use tollgate_provider::chat::Request;
use tollgate_provider::openai::parse_request;
use tollgate_provider::{Api, Codec, Error, HttpRequest, Kind, Target};

use crate::decode;

/// A request, as both edges take it.
#[derive(Deserialize)]
struct Fixture<'a> {
    #[serde(borrow)]
    grpc: &'a RawValue,
    http: Option<&'a RawValue>,
    without: Option<&'a RawValue>,
}

/// What comes of a request at one kind of provider.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It is sent whole.
    Sent(String),
    /// It is refused, unless the policy allows to leave out what there are no words for.
    LeftOut { refusal: String, sent: String },
    /// It is refused, come what may.
    Refused(String),
}

/// A way to ask for completions: a kind of provider, over one of its interfaces.
struct Column {
    title: &'static str,
    codec: Codec,
}

/// Every one, in the order of the tables.
fn columns() -> Vec<Column> {
    let of_kind = |kind: Kind| Column {
        title: kind.as_str(),
        codec: Codec::new(kind),
    };
    let mut columns: Vec<_> = Kind::ALL.into_iter().map(of_kind).collect();
    columns.extend(
        Codec::new(Kind::OpenAi)
            .over(Api::Responses)
            .map(|codec| Column {
                title: "openai, Responses",
                codec,
            }),
    );
    columns
}

/// A model of each kind that has the most features.
fn model(kind: Kind) -> &'static str {
    match kind {
        Kind::OpenAi => "gpt-5.4",
        Kind::OpenAiCompatible => "llama-3.1-8b",
        Kind::AzureOpenAi => "my-gpt",
        Kind::Anthropic => "claude-opus-4-6",
        Kind::Gemini => "gemini-3-pro",
        Kind::Mistral => "mistral-large-latest",
        Kind::Cohere => "command-a-03-2025",
        Kind::Bedrock => "anthropic.claude-opus-4-6-v1",
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of this test, not configuration"
)]
fn blessed() -> bool {
    std::env::var("TOLLGATE_BLESS").is_ok()
}

/// Holds a file against what it should say, or writes it anew.
#[track_caller]
fn compare(path: &Path, text: &str) {
    if blessed() {
        std::fs::write(path, text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    let differs = golden.lines().zip(text.lines()).find(|(a, b)| a != b);
    if let Some((golden, now)) = differs {
        panic!("{}\n   was {golden}\n   now {now}", path.display());
    }
    assert!(golden == text, "{} differs in its end", path.display());
}

/// Reads a message of the contract.
fn message<M: prost::Message + Default>(json: &RawValue, name: &str) -> M {
    let pool = DescriptorPool::decode(tollgate_proto::FILE_DESCRIPTOR_SET).unwrap();
    let message = pool.get_message_by_name(&format!("tollgate.completion.v1.{name}"));
    let mut reader = serde_json::Deserializer::from_str(json.get());
    let message = DynamicMessage::deserialize(message.unwrap(), &mut reader).unwrap();
    message.transcode_to().unwrap()
}

/// Reads a request as the gRPC edge does.
fn by_grpc(json: &RawValue) -> Request {
    decode::request(message::<CompleteRequest>(json, "CompleteRequest")).unwrap()
}

/// What comes of encoding for a target, strict or lenient.
fn outcome(model: &str, encode: impl Fn(&Target<'_>) -> Result<HttpRequest, Error>) -> Outcome {
    let strict = Target::of(model);
    let lenient = Target {
        drop_unsupported: true,
        ..strict
    };
    let refusal = match encode(&strict) {
        Ok(sent) => return Outcome::Sent(shown(&sent)),
        Err(error @ Error::Unsupported { .. }) => error.to_string(),
        Err(error) => panic!("{model}: {error}"),
    };
    match encode(&lenient) {
        Ok(sent) => {
            assert!(!sent.warnings.is_empty(), "left out without a word");
            let sent = shown(&sent);
            Outcome::LeftOut { refusal, sent }
        }
        Err(error) => {
            assert_eq!(error.to_string(), refusal);
            Outcome::Refused(refusal)
        }
    }
}

/// A request with all that is sent.
fn shown(sent: &HttpRequest) -> String {
    let body = std::str::from_utf8(&sent.body).unwrap();
    let mut out = format!("{} {}\n", sent.method, sent.path);
    for (name, value) in &sent.headers {
        let _ = writeln!(out, "{name}: {}", value.to_str().unwrap());
    }
    let _ = writeln!(out, "{body}");
    for warning in &sent.warnings {
        let _ = writeln!(out, "left out: {}: {}", warning.field, warning.problem);
    }
    out
}

/// What comes of a request, in the order of the columns.
fn outcomes(request: &Request, stream: bool) -> Vec<(Column, Outcome)> {
    let of = |column: Column| {
        let encode = |target: &Target<'_>| column.codec.encode(request, target, stream);
        let outcome = outcome(model(column.codec.kind()), encode);
        (column, outcome)
    };
    columns().into_iter().map(of).collect()
}

fn written<'a>(outcomes: impl IntoIterator<Item = (&'static str, &'a Outcome)>) -> String {
    let mut out = String::new();
    for (title, outcome) in outcomes {
        let text = match outcome {
            Outcome::Sent(sent) => sent.clone(),
            Outcome::LeftOut { refusal, sent } => format!("refused: {refusal}\nor {sent}"),
            Outcome::Refused(refusal) => format!("refused: {refusal}\n"),
        };
        let _ = writeln!(out, "# {title}\n{text}");
    }
    out
}

/// One feature, from both edges to every kind of provider.
#[track_caller]
fn check(feature: &str) {
    let text = std::fs::read(folder().join(format!("{feature}.json"))).unwrap();
    let fixture: Fixture<'_> = serde_json::from_slice(&text).unwrap();
    let stream = feature == "streaming";
    let written = |request: &Request| {
        let outcomes = outcomes(request, stream);
        written(outcomes.iter().map(|(column, it)| (column.title, it)))
    };
    let told = written(&by_grpc(fixture.grpc));
    compare(&folder().join(format!("{feature}.txt")), &told);
    if let Some(http) = fixture.http {
        let asked = parse_request(http.get().as_bytes()).unwrap();
        assert_eq!(asked.stream, stream);
        let by_http = written(&asked.request);
        assert!(by_http == told, "the edges differ:\n{by_http}\n{told}");
    }
}
