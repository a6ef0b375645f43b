//! Decodes a sample stream, shows its events and how a caller of the compatible edge would see them.
//!
//! ```text
//! cargo run -p tollgate-provider --example decode [FILE]
//! ```
//!
//! No network is involved: the bytes are a file, by default one of the samples that this crate is tested with.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use tollgate_provider::chat::{Assembler, Chunk};
use tollgate_provider::openai::ChunkRenderer;
use tollgate_provider::{Codec, Failure, Kind};

const SAMPLE: &[u8] = include_bytes!("../samples/text.sse");

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
