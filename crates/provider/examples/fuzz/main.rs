//! Feeds every decoder of this crate with damaged samples until the time is up.
//!
//! ```text
//! cargo xtask fuzz [--minutes N] [--seed S] [--only WORD]
//! cargo run --profile fuzz -p tollgate-provider --example fuzz -- [--minutes N] [--seed S] [--only WORD] [FILE…]
//! ```
//!
//! A mutational fuzzer in the manner of AFL, without its instrumentation, which needs a nightly compiler: an input
//! that makes a decoder behave in a way not seen before, as far as one can tell from outside, joins the corpus that
//! the next inputs are made of. The same seed gives the same inputs in the same order. An input that breaks a rule of
//! `target` is written to `target/fuzz/`; named as FILE, it is run again, alone.
//!
//! It does NOT measure coverage, and it keeps no corpus from run to run.
#![expect(clippy::print_stdout, reason = "a tool shows what it found")]

mod corpus;
mod frames;
mod inquiry;
mod mutate;
mod target;

use std::collections::HashSet;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mutate::{Dictionary, Random};
use target::Target;

/// The longest input.
const LONGEST: usize = 256 * 1024;
/// The most inputs that the corpus holds, beyond the samples.
const MOST_KEPT: usize = 4096;
/// The longest input that joins the corpus.
const LONGEST_KEPT: usize = 16 * 1024;
/// The most memory the process may ever have used, in KiB.
const MOST_MEMORY: u64 = 512 * 1024;
/// How often the state is shown.
const REPORT: Duration = Duration::from_secs(60);

/// What the command line asks for.
struct Options {
    minutes: f64,
    seed: u64,
    /// What the names of targets must hold.
    only: String,
    files: Vec<PathBuf>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = options()?;
    // The rule that broke is shown once, by the code that found it.
    std::panic::set_hook(Box::new(|_| {}));
    if !options.files.is_empty() {
        return again(&options.files);
    }
    let mut fuzzer = Fuzzer::new(options.seed, &options.only)?;
    println!(
        "{} samples, {} targets, seed {}",
        fuzzer.corpus.len(),
        fuzzer.targets.len(),
        options.seed
    );
    fuzzer.run(Duration::from_secs_f64(options.minutes * 60.0))?;
    let memory = peak_memory();
    fuzzer.report("done");
    if memory > MOST_MEMORY {
        println!("{memory} KiB of memory were used at one time, more than {MOST_MEMORY}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if fuzzer.findings == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        minutes: 1.0,
        seed: 1,
        only: String::new(),
        files: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--minutes" => options.minutes = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--only" => options.only = value()?,
            _ => options.files.push(argument.into()),
        }
    }
    Ok(options)
}

/// Runs inputs that were found before, each against every target.
fn again(files: &[PathBuf]) -> Result<ExitCode, Box<dyn Error>> {
    let mut broken = false;
    for file in files {
        let input = std::fs::read(file)?;
        for target in target::all() {
            if let Err(rule) = execute(target, &input, 1) {
                println!("{}: {target}: {rule}", file.display());
                broken = true;
            }
        }
    }
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Fuzzer {
    targets: Vec<Target>,
    corpus: Vec<Vec<u8>>,
    samples: usize,
    dictionary: Dictionary,
    seen: HashSet<u64>,
    random: Random,
    executions: u64,
    bytes: u64,
    findings: u64,
    started: Instant,
}

impl Fuzzer {
    #[expect(clippy::disallowed_methods, reason = "it runs for a time")]
    fn new(seed: u64, only: &str) -> Result<Self, Box<dyn Error>> {
        let corpus = corpus::samples()?;
        let mut targets = target::all();
        targets.retain(|target| target.to_string().contains(only));
        if targets.is_empty() {
            return Err(format!("no target's name holds `{only}`").into());
        }
        Ok(Self {
            targets,
            dictionary: Dictionary::of(&corpus),
            samples: corpus.len(),
            corpus,
            seen: HashSet::new(),
            random: Random::new(seed),
            executions: 0,
            bytes: 0,
            findings: 0,
            started: Instant::now(),
        })
    }

    fn run(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        // The samples as they are come first: they are what everything new is measured by.
        for sample in 0..self.samples {
            let input = self.corpus[sample].clone();
            for target in self.targets.clone() {
                self.execute(target, &input)?;
            }
        }
        let mut report = REPORT;
        while self.started.elapsed() < time {
            // Looking at the clock costs as much as a small input.
            for _ in 0..256 {
                let input = self.next_input();
                let target = self.targets[self.random.below(self.targets.len())];
                if self.execute(target, &input)? {
                    self.keep(input);
                }
            }
            if self.started.elapsed() >= report {
                self.report("so far");
                report += REPORT;
            }
        }
        Ok(())
    }

    /// A member of the corpus with some damage done to it.
    fn next_input(&mut self) -> Vec<u8> {
        let at = self.random.below(self.corpus.len());
        let other = self.random.below(self.corpus.len());
        let mut input = self.corpus[at].clone();
        for _ in 0..=self.random.below(6) {
            mutate::once(
                &mut input,
                &self.corpus[other],
                &self.dictionary,
                &mut self.random,
            );
        }
        input.truncate(LONGEST);
        input
    }

    /// Runs one input, and says whether it behaved as none before.
    fn execute(&mut self, target: Target, input: &[u8]) -> Result<bool, Box<dyn Error>> {
        self.executions += 1;
        self.bytes += input.len() as u64;
        match execute(target, input, self.random.next()) {
            Ok(behaviour) => Ok(self.seen.insert(behaviour)),
            Err(rule) => {
                self.findings += 1;
                let folder = Path::new("target/fuzz");
                std::fs::create_dir_all(folder)?;
                let file = folder.join(format!("found-{}", self.executions));
                std::fs::write(&file, input)?;
                println!("{target}: {rule}, see {}", file.display());
                Ok(false)
            }
        }
    }

    fn keep(&mut self, input: Vec<u8>) {
        if input.len() > LONGEST_KEPT {
            return;
        }
        if self.corpus.len() < self.samples + MOST_KEPT {
            self.corpus.push(input);
        } else {
            let at = self.samples + self.random.below(MOST_KEPT);
            self.corpus[at] = input;
        }
    }

    fn report(&self, when: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        println!(
            "{when}: {:.0} s, {} executions ({:.0}/s), {} MiB of input, {} behaviours, corpus of {}, {} MiB of memory at most, {} findings",
            seconds,
            self.executions,
            self.executions as f64 / seconds,
            self.bytes >> 20,
            self.seen.len(),
            self.corpus.len(),
            peak_memory() >> 10,
            self.findings
        );
    }
}

/// Runs one input: the number of its behaviour, or the rule that it broke.
fn execute(target: Target, input: &[u8], slices: u64) -> Result<u64, String> {
    let run = AssertUnwindSafe(|| target::run(target, input, slices));
    match catch_unwind(run) {
        Ok(result) => result,
        Err(panic) => {
            let said = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", said.unwrap_or("no text")))
        }
    }
}

/// The most memory the process has used, in KiB; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
