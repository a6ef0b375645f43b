//! What counting tokens costs: how fast, and how much memory a loaded table takes.

use std::error::Error;
use std::hint::black_box;

use serde::Serialize;
use tollgate_provider::tokens::{Encoding, Tokeniser, count_text};

use super::{LARGE, Options, median, texts};

/// How fast a text is counted, in MB/s.
#[derive(Debug, Serialize)]
struct Speed {
    text: &'static str,
    is_hostile: bool,
    o200k: f64,
    cl100k: f64,
    estimate: f64,
}

/// What is measured.
#[derive(Debug, Serialize)]
pub(crate) struct Counting {
    speeds: Vec<Speed>,
    /// KiB of memory that the tables take once every text here was counted.
    o200k_kib: u64,
    cl100k_kib: u64,
}

pub(crate) fn measure(options: &Options) -> Result<Counting, Box<dyn Error>> {
    let texts = texts::all(LARGE)?;
    let warm = |encoding| {
        let before = resident();
        let tokeniser = Tokeniser::new(encoding);
        for text in &texts {
            black_box(tokeniser.count(&text.text));
        }
        (tokeniser, resident().saturating_sub(before))
    };
    let (o200k, o200k_kib) = warm(Encoding::O200k);
    let (cl100k, cl100k_kib) = warm(Encoding::Cl100k);
    println!("\n| tokens of 100 KB | o200k: MB/s | cl100k | estimate |");
    println!("|---|---|---|---|");
    let mut speeds = Vec::new();
    for text in &texts {
        let speed = |count: &dyn Fn(&str) -> u64| -> Result<f64, Box<dyn Error>> {
            let once = || Ok::<_, std::io::Error>(count(black_box(&text.text)));
            Ok(text.text.len() as f64 / 1e6 / median(options, once)?.as_secs_f64())
        };
        let speed = Speed {
            text: text.name,
            is_hostile: text.is_hostile,
            o200k: speed(&|text| o200k.count(text))?,
            cl100k: speed(&|text| cl100k.count(text))?,
            estimate: speed(&count_text)?,
        };
        println!(
            "| {}{} | {:.0} | {:.0} | {:.0} |",
            speed.text,
            if speed.is_hostile { " (hostile)" } else { "" },
            speed.o200k,
            speed.cl100k,
            speed.estimate
        );
        speeds.push(speed);
    }
    println!("\nmemory of a loaded table: o200k {o200k_kib} KiB, cl100k {cl100k_kib} KiB");
    Ok(Counting {
        speeds,
        o200k_kib,
        cl100k_kib,
    })
}

/// KiB of memory that the process has now; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
