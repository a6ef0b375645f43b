//! What callers are told of each feature of an answer, byte for byte, at either edge, whole and streamed.
//!
//! `golden/answers/FEATURE.json` holds an answer as each kind of provider gives it: `whole`, and the same as the events
//! of a `stream`. `golden/answers/FEATURE.txt` is what callers get. Whatever the fixture, the edges must be told the
//! same by both; kinds that speak OpenAI's format without a word of their own are not told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use serde_json::value::RawValue;
use tollgate_proto::completion::v1 as wire;
use tollgate_provider::chat::{Assembler, Chunk, Response};
use tollgate_provider::openai::{ChunkRenderer, render_response};
use tollgate_provider::{Codec, Kind};

use super::{Column, columns, compare};
use crate::grpc::encode;

#[path = "../../../provider/examples/fuzz/frames.rs"]
mod frames;

/// Every feature.
pub(super) const FEATURES: [&str; 11] = [
    "text",
    "reasoning",
    "tools",
    "server_tools",
    "sound",
    "sources",
    "refusal",
    "log_probabilities",
    "several_choices",
    "usage",
    "details",
];

/// An answer of one kind of provider.
#[derive(serde::Deserialize)]
struct Fixture<'a> {
    #[serde(borrow)]
    whole: &'a RawValue,
    #[serde(borrow)]
    stream: Vec<&'a RawValue>,
}

pub(super) fn folder() -> PathBuf {
    super::folder().join("answers")
}

/// The body of a stream of these events, each by itself.
fn bodies(kind: Kind, stream: &[&RawValue]) -> Vec<Vec<u8>> {
    let data = |event: &&RawValue| format!("data: {}\n\n", event.get()).into_bytes();
    if kind != Kind::Bedrock {
        return stream.iter().map(data).collect();
    }
    // An object of one field: the event's name and its payload.
    let frame = |event: &&RawValue| {
        let event: BTreeMap<String, &RawValue> = serde_json::from_str(event.get()).unwrap();
        let (name, payload) = event.into_iter().next().unwrap();
        frames::framed(format!("event: {name}\ndata: {}\n\n", payload.get()).as_bytes())
    };
    stream.iter().map(frame).collect()
}

/// What each event of a stream brings, and last what its end does.
fn decode(codec: &Codec, stream: &[&RawValue], choices: u32) -> Vec<Vec<Chunk>> {
    let mut decoder = codec.stream_decoder(choices);
    let mut pieces = Vec::new();
    for body in bodies(codec.kind(), stream) {
        let mut chunks = Vec::new();
        decoder.push(&body, &mut chunks).unwrap();
        pieces.push(chunks);
    }
    let mut chunks = Vec::new();
    decoder.finish(&mut chunks).unwrap();
    pieces.push(chunks);
    pieces.retain(|chunks| !chunks.is_empty());
    pieces
}

/// A message of the contract as JSON.
fn json<M: prost::Message>(name: &str, message: &M) -> String {
    let pool = DescriptorPool::decode(tollgate_proto::FILE_DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name(&format!("tollgate.completion.v1.{name}"));
    let mut dynamic = DynamicMessage::new(descriptor.unwrap());
    dynamic.transcode_from(message).unwrap();
    assert_eq!(dynamic.descriptor().name(), name);
    serde_json::to_string(&dynamic).unwrap()
}

/// The gateway's own names stand in place of the provider's.
fn named(mut response: Response) -> Response {
    response.id = "chatcmpl-tg-1".to_owned();
    response.model = "chat".to_owned();
    response
}

fn counted(response: &Response) -> Option<wire::Usage> {
    let usage = |usage| encode::usage(usage, response.usage_report.as_ref());
    response.usage.as_ref().map(usage)
}

fn by_grpc(response: &Response) -> String {
    let message = wire::CompleteResponse {
        usage: counted(response),
        ..encode::answer(response.clone())
    };
    json("CompleteResponse", &message)
}

fn by_http(response: &Response) -> String {
    String::from_utf8(render_response(&named(response.clone()), 7)).unwrap()
}

/// What is told of an answer of one kind of provider.
fn told(codec: &Codec, fixture: &Fixture<'_>) -> String {
    let whole = codec.decode(fixture.whole.get().as_bytes());
    let whole = whole.unwrap();
    let choices = u32::try_from(whole.choices.len()).unwrap();
    let pieces = decode(codec, &fixture.stream, choices);
    let mut out = String::new();
    let _ = writeln!(out, "whole, gRPC\n{}\n", by_grpc(&whole));
    let _ = writeln!(out, "whole, HTTP\n{}\n", by_http(&whole));
    let _ = writeln!(out, "stream, gRPC");
    for chunks in &pieces {
        let mut message = wire::StreamCompleteResponse::default();
        for chunk in chunks.clone() {
            encode::add(&mut message, chunk);
        }
        if message != wire::StreamCompleteResponse::default() {
            let _ = writeln!(out, "{}", json("StreamCompleteResponse", &message));
        }
    }
    let chunks = || pieces.iter().flatten();
    let mut assembler = Assembler::new();
    chunks().cloned().for_each(|chunk| assembler.push(chunk));
    let assembled = assembler.finish().unwrap();
    let end = wire::StreamCompleteResponse {
        usage: counted(&assembled),
        ..Default::default()
    };
    if end != wire::StreamCompleteResponse::default() {
        let _ = writeln!(out, "{}", json("StreamCompleteResponse", &end));
    }
    let mut renderer = ChunkRenderer::new("chatcmpl-tg-1", "chat", 7, true);
    let mut http = Vec::new();
    chunks().for_each(|chunk| renderer.chunk(chunk, &mut http));
    renderer.done(&mut http);
    let _ = write!(out, "\nstream, HTTP\n{}", String::from_utf8(http).unwrap());

    // Reports of several events come together in no certain order.
    let said = |response| serde_json::from_str::<serde_json::Value>(&by_http(response)).unwrap();
    assert_eq!(said(&assembled), said(&whole), "{codec:?}");
    out
}

#[track_caller]
fn check(feature: &str) {
    let text = std::fs::read(folder().join(format!("{feature}.json"))).unwrap();
    let fixtures: BTreeMap<String, Fixture<'_>> = serde_json::from_slice(&text).unwrap();
    let mut out = String::new();
    for Column { title, codec } in columns() {
        if let Some(fixture) = fixtures.get(title) {
            let _ = writeln!(out, "# {title}\n\n{}", told(&codec, fixture));
        }
    }
    compare(&folder().join(format!("{feature}.txt")), &out);
}

#[test]
fn text() {
    check("text");
}

#[test]
fn reasoning() {
    check("reasoning");
}

#[test]
fn tools() {
    check("tools");
}

#[test]
fn server_tools() {
    check("server_tools");
}

#[test]
fn sound() {
    check("sound");
}

#[test]
fn sources() {
    check("sources");
}

#[test]
fn refusal() {
    check("refusal");
}

#[test]
fn log_probabilities() {
    check("log_probabilities");
}

#[test]
fn several_choices() {
    check("several_choices");
}

#[test]
fn usage() {
    check("usage");
}

#[test]
fn details() {
    check("details");
}

#[test]
fn every_fixture_is_a_feature() {
    let mut there: BTreeSet<String> = BTreeSet::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        there.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(there, FEATURES.map(str::to_owned).into());
}
