//! The fake provider as a program; see `tollgate_tests::provider` for what it does.

#![expect(
    clippy::print_stdout,
    reason = "the ready line is the program's interface"
)]

use std::net::SocketAddr;

use clap::Parser;
use tollgate_tests::provider::{MockProvider, Options};

/// A provider of every wire format that misbehaves as its models' names say.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one, which the ready line names.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Requests kept in the ledger before the oldest are forgotten.
    #[arg(long, default_value_t = 200_000)]
    ledger_capacity: usize,
    /// Keep totals only.
    #[arg(long)]
    no_ledger: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let provider = MockProvider::start_with(Options {
        listen: arguments.listen,
        ledger_capacity: if arguments.no_ledger {
            0
        } else {
            arguments.ledger_capacity
        },
        threads: arguments.threads,
    })?;
    println!("mock-provider ready on http://{}", provider.address());
    provider.join();
    Ok(())
}
