//! What a codec costs by itself: no connection, no task, no copy but its own.
//!
//! For each kind of provider: a streamed answer of 1,000 chunks of a word each, in slices of one TCP segment; a whole
//! answer of 100 KB; and a request of 100 KB with a long conversation and tools. Each is done for a while in rounds;
//! the figure is the processor time of the thread in the median round, so that a busy machine shows little. Then how
//! fast the tokens of texts of 100 KB are counted, and what memory that takes.
//!
//! `cargo xtask bench codec [--out FILE] [--quick]`; the table goes to the terminal, the same as JSON to
//! `target/codec.json`.

#![expect(
    clippy::print_stdout,
    reason = "a measurement: its output is its result"
)]

mod bodies;
#[path = "../fuzz/frames.rs"]
mod frames;
mod responses;
mod texts;
mod tokens;

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tollgate_provider::chat::Chunk;
use tollgate_provider::{Api, Codec, Failure, Kind, Target};

/// A body comes in pieces of that size.
const SEGMENT: usize = 1460;
/// Chunks of a stream.
const CHUNKS: u32 = 1000;
/// About how large what is not streamed is, in bytes.
const LARGE: usize = 100_000;

struct Options {
    out: PathBuf,
    /// For how long each thing is done, and in how many rounds.
    rounds: usize,
    round: Duration,
}

/// What one kind costs.
#[derive(Debug, Serialize)]
struct Row {
    kind: &'static str,
    stream_ns_per_chunk: f64,
    stream_mb_per_s: f64,
    unary_us: f64,
    unary_mb_per_s: f64,
    encode_us: f64,
    encode_mb_per_s: f64,
}

#[derive(Debug, Serialize)]
struct All {
    codecs: Vec<Row>,
    counting: tokens::Counting,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    println!(
        "| kind | stream: ns per chunk | MB/s | 100 KB answer: µs | MB/s | 100 KB request: µs | MB/s |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    let kinds = Kind::ALL.map(|kind| (kind.as_str(), Codec::new(kind)));
    let responses = Codec::new(Kind::OpenAi).over(Api::Responses);
    let responses = responses.map(|codec| ("openai, Responses", codec));
    for (name, codec) in kinds.into_iter().chain(responses) {
        let row = row(name, &codec, &options)?;
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            row.kind,
            row.stream_ns_per_chunk,
            row.stream_mb_per_s,
            row.unary_us,
            row.unary_mb_per_s,
            row.encode_us,
            row.encode_mb_per_s
        );
        rows.push(row);
    }
    let counting = tokens::measure(&options)?;
    let all = All {
        codecs: rows,
        counting,
    };
    std::fs::write(&options.out, serde_json::to_vec_pretty(&all)?)?;
    println!("\nthe same as JSON: {}", options.out.display());
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        out: "target/codec.json".into(),
        rounds: 15,
        round: Duration::from_millis(100),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--out" => options.out = arguments.next().ok_or("--out needs a file")?.into(),
            "--quick" => (options.rounds, options.round) = (3, Duration::from_millis(20)),
            _ => return Err(format!("unknown argument `{argument}`: --out FILE, --quick").into()),
        }
    }
    Ok(options)
}

fn row(kind: &'static str, codec: &Codec, options: &Options) -> Result<Row, Box<dyn Error>> {
    let stream = bodies::stream(codec, CHUNKS);
    check_stream(codec, &stream)?;
    let mut chunks = Vec::new();
    let of_stream = median(options, || {
        chunks.clear();
        decode(codec, black_box(&stream), &mut chunks)
    })?;

    let answer = bodies::answer(codec, LARGE);
    let of_answer = median(options, || codec.decode(black_box(&answer)))?;

    let request = bodies::request(LARGE)?;
    let target = Target::of("m");
    let sent = codec.encode(&request, &target, true)?.body.len();
    let of_request = median(options, || codec.encode(black_box(&request), &target, true))?;

    let rate = |bytes: usize, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Row {
        kind,
        stream_ns_per_chunk: of_stream.as_secs_f64() * 1e9 / f64::from(CHUNKS),
        stream_mb_per_s: rate(stream.len(), of_stream),
        unary_us: micros(of_answer),
        unary_mb_per_s: rate(answer.len(), of_answer),
        encode_us: micros(of_request),
        encode_mb_per_s: rate(sent, of_request),
    })
}

/// The stream is what it should be: nothing is measured of what fails.
fn check_stream(codec: &Codec, body: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut chunks = Vec::new();
    decode(codec, body, &mut chunks)?;
    let deltas = chunks.iter().filter(|it| matches!(it, Chunk::Delta { .. }));
    let deltas = deltas.count();
    if deltas == CHUNKS as usize {
        return Ok(());
    }
    Err(format!("{:?}: {deltas} chunks", codec.kind()).into())
}

/// Decodes a body as a connection delivers it.
fn decode(codec: &Codec, body: &[u8], out: &mut Vec<Chunk>) -> Result<(), Failure> {
    let mut decoder = codec.stream_decoder(1);
    for slice in body.chunks(SEGMENT) {
        decoder.push(slice, out)?;
    }
    decoder.finish(out)
}

/// The processor time of doing something once, in the median round.
fn median<T, E: Error + 'static>(
    options: &Options,
    mut run: impl FnMut() -> Result<T, E>,
) -> Result<Duration, Box<dyn Error>> {
    let mut each = Vec::with_capacity(options.rounds);
    for _ in 0..options.rounds {
        let begin = processor_time()?;
        let mut times = 0;
        let spent = loop {
            black_box(run()?);
            times += 1;
            let spent = processor_time()?.saturating_sub(begin);
            if spent >= options.round {
                break spent;
            }
        };
        each.push(spent / times);
    }
    each.sort_unstable();
    Ok(each[each.len() / 2])
}

/// How long this thread has run.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}
