//! Decodes a sample stream, shows its events and how a caller of the compatible edge would see
//! them, and, in a release build, what decoding and rendering cost per event.
//!
//! ```text
//! cargo run --release -p tollgate-provider --example decode [FILE]
//! ```
//!
//! No network is involved: the bytes are a file, by default one of the samples that this crate is tested with.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Instant;

use tollgate_provider::chat::{Assembler, Chunk};
use tollgate_provider::openai::ChunkRenderer;
use tollgate_provider::{Codec, Failure, Kind};

const SAMPLE: &[u8] = include_bytes!("../samples/text.sse");
/// How often the sample is decoded for the timing.
const ROUNDS: u32 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = match std::env::args().nth(1) {
        Some(file) => std::fs::read(file)?,
        None => SAMPLE.to_vec(),
    };
    let mut chunks = Vec::new();
    decode(&body, &mut chunks)?;
    let mut rendered = Vec::new();
    render(&chunks, &mut rendered);
    for chunk in &chunks {
        println!("{chunk:?}");
    }
    println!("\n{}", String::from_utf8_lossy(&rendered));

    let mut assembler = Assembler::new();
    chunks
        .iter()
        .cloned()
        .for_each(|chunk| assembler.push(chunk));
    println!("{:#?}\n", assembler.finish());

    if !cfg!(debug_assertions) {
        time(&body, chunks.len())?;
    }
    Ok(())
}

/// Decodes a body as a provider's connection might deliver it: in slices of one TCP segment.
fn decode(body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
    let mut decoder = Codec::new(Kind::OpenAi).stream_decoder(1);
    for slice in body.chunks(1460) {
        decoder.push(slice, out)?;
    }
    decoder.finish(out)
}

/// Writes the events for the caller.
fn render(chunks: &[Chunk], out: &mut Vec<u8>) {
    let mut renderer = ChunkRenderer::new("chatcmpl-1", "fast", 1_760_000_000, true);
    for chunk in chunks {
        renderer.chunk(chunk, out);
    }
    renderer.done(out);
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn time(body: &[u8], events: usize) -> Result<(), Failure> {
    let mut chunks = Vec::new();
    let mut rendered = Vec::new();
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        chunks.clear();
        decode(std::hint::black_box(body), &mut chunks)?;
    }
    let decoding = begin.elapsed();
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        rendered.clear();
        render(std::hint::black_box(&chunks), &mut rendered);
    }
    let rendering = begin.elapsed();
    let per_event =
        |time: std::time::Duration| time.as_secs_f64() * 1e9 / f64::from(ROUNDS) / events as f64;
    println!(
        "decode {:.0} ns/event, render {:.0} ns/event",
        per_event(decoding),
        per_event(rendering)
    );
    Ok(())
}
