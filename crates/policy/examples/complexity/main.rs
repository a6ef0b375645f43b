//! Measures `request.complexity` on prompts of known difficulty: `cargo run -p tollgate-policy --example complexity`.
//!
//! For each threshold it shows how many prompts would go to the cheap model, how many of those would have wanted the
//! strong one, and what all of it costs against sending everything to the strong one.

#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the real clock"
)]

use std::process::ExitCode;
use std::time::Instant;

use tollgate_policy::complexity::score;

const PROMPTS: &str = include_str!("prompts.txt");

/// A prompt, and whether it wants the strong model.
struct Prompt {
    text: String,
    is_hard: bool,
}

/// What the cheap model costs of the strong one: about what `gpt-4o-mini` costs of `gpt-4o`.
const CHEAP: f64 = 0.06;

fn main() -> ExitCode {
    let prompts: Vec<_> = PROMPTS.lines().filter_map(read).collect();
    let scored: Vec<_> = prompts
        .iter()
        .map(|it| (score([[it.text.as_str()]]), it))
        .collect();
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|it| it == "--all") {
        let mut all: Vec<_> = scored.iter().collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (score, it) in all {
            let start: String = it.text.chars().take(70).collect();
            let kind = if it.is_hard { "hard" } else { "easy" };
            show(&format!("{score:.3} {kind} {start}"));
        }
    }
    show("threshold  sent cheap  of them hard  hard sent strong  cost of always strong");
    for threshold in [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5] {
        show(&line(threshold, &scored));
    }
    show(&format!(
        "{:.1} µs for the longest prompt that is read whole",
        speed()
    ));
    ExitCode::SUCCESS
}

fn read(line: &str) -> Option<Prompt> {
    let (kind, text) = line.split_once('\t')?;
    Some(Prompt {
        text: text.replace("\\n", "\n"),
        is_hard: kind == "hard",
    })
}

fn line(threshold: f64, scored: &[(f64, &Prompt)]) -> String {
    let count = |which: &dyn Fn(bool, bool) -> bool| {
        let found = scored
            .iter()
            .filter(|(it, prompt)| which(*it < threshold, prompt.is_hard));
        f64::from(u32::try_from(found.count()).unwrap_or(u32::MAX))
    };
    let all = count(&|_, _| true);
    let (cheap, wrong) = (
        count(&|cheap, _| cheap),
        count(&|cheap, hard| cheap && hard),
    );
    let hard = count(&|_, hard| hard);
    let cost = (all - cheap + cheap * CHEAP) / all;
    format!(
        "{threshold:9.2} {:10.0}% {:12.0}% {:16.0}% {:21.0}%",
        cheap / all * 100.0,
        wrong / cheap.max(1.0) * 100.0,
        (hard - wrong) / hard * 100.0,
        cost * 100.0
    )
}

/// Microseconds for a conversation that is read as far as any is.
fn speed() -> f64 {
    const ROUNDS: u32 = 1_000;
    let text = "Compare the two designs below, and prove that the second one is never slower. "
        .repeat(100);
    let conversation = vec![vec![text.as_str()]; 4];
    let started = Instant::now();
    let mut sum = 0.0;
    for _ in 0..ROUNDS {
        sum += score(conversation.iter().map(|it| it.iter().copied()));
    }
    let took = started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    assert!(sum > 0.0, "the work must not be optimised away");
    took
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn show(line: &str) {
    println!("{line}");
}
