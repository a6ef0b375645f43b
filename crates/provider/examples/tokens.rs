//! Counts the tokens of a file, and, in a release build, how fast.
//!
//! ```text
//! cargo run --release -p tollgate-provider --example tokens -- FILE
//! ```
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Instant;

use tollgate_provider::tokens::{Encoding, Tokeniser, count_text};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("name a file of text")?;
    let text = std::fs::read_to_string(file)?;
    let o200k = Tokeniser::new(Encoding::O200k);
    let cl100k = Tokeniser::new(Encoding::Cl100k);
    show("o200k", &text, |text| o200k.count(text));
    show("cl100k", &text, |text| cl100k.count(text));
    show("estimate", &text, count_text);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it is timed what the core does")]
fn show(name: &str, text: &str, count: impl Fn(&str) -> u64) {
    const ROUNDS: u32 = 5;
    let tokens = count(text);
    let started = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(count(std::hint::black_box(text)));
    }
    let each = started.elapsed().as_secs_f64() / f64::from(ROUNDS);
    if cfg!(debug_assertions) {
        println!("{name}: {tokens} tokens");
    } else {
        println!(
            "{name}: {tokens} tokens, {:.1} MB/s",
            text.len() as f64 / each / 1e6
        );
    }
}
