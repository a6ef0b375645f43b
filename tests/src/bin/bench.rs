//! The benchmark as a program; see `tollgate_tests::bench`.

#![expect(clippy::print_stdout, reason = "the table is the program's result")]

use clap::Parser;
use tollgate_tests::bench::{Options, run};

fn main() -> anyhow::Result<()> {
    let results = run(&Options::parse())?;
    println!("{results}");
    Ok(())
}
