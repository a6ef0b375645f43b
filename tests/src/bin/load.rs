//! The load generator as a program; see `tollgate_tests::load`. Prints its report as JSON and ends
//! with failure unless every reply was right.

#![expect(clippy::print_stdout, reason = "the report is the program's result")]

use std::time::Duration;

use clap::Parser;
use tollgate_tests::load::{Load, Pace, Protocol, run};
use tollgate_tests::provider::parse_duration;

/// Sends chat completions and measures the replies.
#[derive(Debug, Parser)]
struct Arguments {
    /// `http://ADDRESS:PORT` of the server.
    #[arg(long)]
    target: String,
    /// Protocol spoken to it.
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    /// API key.
    #[arg(long, default_value = "")]
    key: String,
    /// Model asked for; the fake provider's names say how it answers.
    #[arg(long, default_value = "ok")]
    model: String,
    /// Chunks (words) that model answers with.
    #[arg(long, default_value_t = 8)]
    chunks: u32,
    /// Ask for streams.
    #[arg(long)]
    stream: bool,
    /// Length of the prompt, bytes.
    #[arg(long, default_value_t = 256)]
    prompt_bytes: usize,
    /// Requests per second (open loop).
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Closed loop: every caller sends as fast as it is answered.
    #[arg(long, conflicts_with = "rate")]
    closed: bool,
    /// Requests in flight at most; over HTTP/1.1 each has a connection of its own.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Connections that callers over HTTP/2 and gRPC share.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Part at the start that is not measured.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    warmup: Duration,
    /// The measured part.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Time after which a request counts as failed.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let report = run(&Load {
        target: arguments.target,
        protocol: arguments.protocol,
        stream: arguments.stream,
        key: arguments.key,
        model: arguments.model,
        chunks: arguments.chunks,
        prompt_bytes: arguments.prompt_bytes,
        pace: if arguments.closed {
            Pace::Closed
        } else {
            Pace::Open {
                rate: arguments.rate,
            }
        },
        callers: arguments.callers,
        connections: arguments.connections,
        warmup: arguments.warmup,
        duration: arguments.duration,
        timeout: arguments.timeout,
        cancels: None,
    })?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    report.all_ok()
}
