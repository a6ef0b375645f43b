//! What a decision about limits costs: at a node, beside the ways it is usually done; and at the owner.
//!
//! - **node**: the node machine under the mutex and with the clock that the node uses, all units at hand; on top
//!   of what the others do it reserves, settles, and keeps the totals that owners are told.
//! - **governor**: a limiter for one process, one check per limit; for one key without a map, for many with its own.
//! - **redis**: a script that counts fixed windows on a server on the same machine, one call per decision.
//!
//! A decision over six limits admits by all or none, but for governor, which cannot take back. Each decision is
//! timed by itself, the reading of the timer included (its cost is shown); rates are per second of processor
//! time of the calling thread, or for redis, which mostly waits, per second. The machine's neighbours show in p99.
//!
//! `cargo xtask bench limits` starts it with a redis server. It does NOT measure waiting for units.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a measurement: its output is its result, it reads real clocks, and what it measures must be right"
)]

mod measure;
mod node;
mod owner;
mod report;
mod rivals;

use std::alloc::System;
use std::error::Error;
use std::path::PathBuf;

use measure::{Sizes, measure};
use report::Report;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts allocations.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Keys where one is not all.
pub(crate) const MANY: usize = 100_000;

struct Options {
    redis: Option<PathBuf>,
    out: PathBuf,
    quick: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            redis: None,
            out: "target/limits.json".into(),
            quick: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--redis" => options.redis = Some(value()?.into()),
                "--out" => options.out = value()?.into(),
                "--quick" => options.quick = true,
                other => {
                    let usage = "usage: [--redis PROGRAM] [--out FILE] [--quick]";
                    return Err(format!("`{other}` is not understood; {usage}").into());
                }
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let (sizes, remote) = match options.quick {
        false => (Sizes::new(400_000), Sizes::new(20_000)),
        true => (Sizes::new(40_000), Sizes::new(2_000)),
    };
    let mut report = Report::new(measure::timer_cost());
    for limits in [1, 6] {
        for keys in [1, MANY] {
            eprintln!("limits: node, {limits} limits, {keys} keys");
            let node = node::Shell::new(keys, limits)?;
            report.allocations(limits, keys, node.allocations(sizes, ALLOCATOR));
            for threads in [1, 2] {
                report.add("node", limits, keys, measure(&node, threads, sizes));
            }
        }
        eprintln!("limits: governor, {limits} limits");
        let governor = rivals::Governor::new(limits);
        let keyed = rivals::KeyedGovernor::new(MANY, limits);
        for threads in [1, 2] {
            report.add("governor", limits, 1, measure(&governor, threads, sizes));
            report.add("governor", limits, MANY, measure(&keyed, threads, sizes));
        }
    }
    if let Some(program) = &options.redis {
        let server = rivals::Server::start(program)?;
        for limits in [1, 6] {
            for keys in [1, MANY] {
                eprintln!("limits: redis, {limits} limits, {keys} keys");
                let redis = rivals::Redis::new(&server, keys, limits)?;
                for threads in [1, 2] {
                    report.add("redis", limits, keys, measure(&redis, threads, remote));
                }
            }
        }
    }
    eprintln!("limits: owner");
    report.owner = Some(owner::measure(MANY, options.quick, ALLOCATOR)?);
    report.judge();
    std::fs::write(&options.out, serde_json::to_vec_pretty(&report)?)?;
    println!("{report}");
    Ok(())
}
