//! The show of faults as a program; see `tollgate_tests::faults`.

#![expect(clippy::print_stdout, reason = "the table is the program's result")]

use clap::Parser;
use tollgate_tests::faults::{Options, run};

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let figures = runtime.block_on(run(&Options::parse()))?;
    print!("{figures}");
    Ok(())
}
