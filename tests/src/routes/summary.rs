//! The figures, for people and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::ceilings::Counted;
use crate::arm::Arm;
use crate::load::Report;

/// What the show measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub(super) trouble: Vec<Row>,
    /// What the lengths of outages were drawn from.
    pub(super) seed: u64,
    pub(super) outages: Vec<Outage>,
    pub(super) ceilings: Vec<Ceiling>,
    pub(super) mixed: Mixed,
}

/// How the callers of a model fared.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) requests: u64,
    pub(super) success: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// What became of ten times as many requests as a provider lets through.
#[derive(Debug, Serialize)]
pub(super) struct Ceiling {
    pub(super) arm: Arm,
    pub(super) counted: Counted,
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// Requests or tokens that the provider let through, and what it would have.
    pub(super) used: u64,
    pub(super) allowed: u64,
    /// Requests that the provider refused.
    pub(super) limited: u64,
    /// From sending to the node's refusal.
    pub(super) refused_p99_ms: f64,
}

/// What became of prompts of known difficulty.
#[derive(Debug, Default, Serialize)]
pub(super) struct Mixed {
    pub(super) easy: Sent,
    pub(super) hard: Sent,
    pub(super) nano_usd: i64,
    /// What all of them cost at the strong deployment.
    pub(super) always_strong_nano_usd: i64,
}

/// Prompts of one difficulty.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sent {
    pub(super) prompts: u64,
    pub(super) sent_cheap: u64,
}

impl Sent {
    /// The part that the cheap deployment answered.
    pub(super) fn share(&self) -> f64 {
        self.sent_cheap as f64 / self.prompts.max(1) as f64
    }
}

impl Mixed {
    /// The part of what all would have cost at the strong deployment.
    pub(super) fn cost_share(&self) -> f64 {
        self.nano_usd as f64 / self.always_strong_nano_usd.max(1) as f64
    }
}

/// What an outage of everything behind a model was to providers and callers.
///
/// It came more than once.
#[derive(Debug, Serialize)]
pub(super) struct Outage {
    pub(super) arm: Arm,
    pub(super) kind: &'static str,
    pub(super) lasted_s: Vec<f64>,
    /// Requests while it lasted.
    pub(super) asked: u64,
    /// Attempts at providers meanwhile.
    pub(super) attempts: usize,
    /// Attempts that the retry budget allows.
    pub(super) allowed: f64,
    /// How long callers waited to be told that there is no answer, if they were told.
    pub(super) refused_p99_ms: Option<f64>,
    /// From its end to the first answer, at the worst.
    pub(super) recovery_s: f64,
    /// The share of requests that were answered after that, at the worst.
    pub(super) success_after: f64,
    /// Where a gateway keeps any.
    pub(super) books: Option<Books>,
}

/// What callers were charged, and what for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Books {
    /// Requests that reached the provider, however often they did.
    pub(super) requests: u64,
    pub(super) requests_charged: u64,
    /// Tokens that the provider told of.
    pub(super) tokens: u64,
    pub(super) tokens_charged: u64,
    /// Attempts that it did not answer at all, and the tokens that were reserved for them: nobody knows what they used,
    /// so that these stay charged.
    pub(super) untold: u64,
    pub(super) reserved: u64,
}

impl Outage {
    pub(super) fn new(arm: Arm, kind: &'static str) -> Self {
        Self {
            arm,
            kind,
            lasted_s: Vec::new(),
            asked: 0,
            attempts: 0,
            allowed: 0.0,
            refused_p99_ms: None,
            recovery_s: 0.0,
            success_after: 1.0,
            books: None,
        }
    }

    /// The name of the model.
    pub(super) fn model(&self) -> String {
        self.arm.of(self.kind)
    }

    pub(super) fn lasted(&mut self, lasts: Duration, during: &Report) {
        let seconds = lasts.as_secs_f64();
        self.lasted_s.push(seconds);
        self.asked += during.sent;
        // A tenth, what is saved up, and one a second.
        self.allowed += 1.1 * during.sent as f64 + 100.0 + seconds;
        let told = during.refused_us.p99 / 1000.0;
        if told > 0.0 {
            self.refused_p99_ms = Some(self.refused_p99_ms.unwrap_or(0.0).max(told));
        }
    }

    pub(super) fn recovered(&mut self, within: Duration, after: &Report) {
        self.recovery_s = self.recovery_s.max(within.as_secs_f64());
        let success = after.ok as f64 / after.due.max(1) as f64;
        self.success_after = self.success_after.min(success);
    }

    /// Attempts per request, and those that are allowed.
    pub(super) fn attempts_each(&self) -> (f64, f64) {
        let asked = self.asked.max(1) as f64;
        (self.attempts as f64 / asked, self.allowed / asked)
    }
}

impl Books {
    /// Whether everything was charged once.
    pub(super) fn are_even(&self) -> bool {
        self.requests == self.requests_charged && self.tokens + self.reserved == self.tokens_charged
    }
}

impl Row {
    pub(super) fn of(name: &str, it: &Report) -> Self {
        Self {
            name: name.to_owned(),
            requests: it.due,
            success: it.ok as f64 / it.due.max(1) as f64,
            p50_ms: it.total_us.p50 / 1000.0,
            p99_ms: it.total_us.p99 / 1000.0,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show_trouble(f)?;
        self.show_outages(f)?;
        self.show_ceilings(f)?;
        self.mixed.show(f)
    }
}

impl Figures {
    fn show_trouble(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "latency-aware (ours) against turns by weight, health off (turns): three deployments, one 5x slower, one flapping \
             at 50 % errors"
        )?;
        writeln!(
            f,
            "  {:10} {:>9} {:>9} {:>8} {:>8}",
            "", "requests", "success", "p50 ms", "p99 ms"
        )?;
        for it in &self.trouble {
            let success = it.success * 100.0;
            writeln!(
                f,
                "  {:10} {:>9} {success:>8.2}% {:>8.0} {:>8.0}",
                it.name, it.requests, it.p50_ms, it.p99_ms
            )?;
        }
        if let [well, turns, ours] = self.trouble.as_slice() {
            let (slower, faster) = (ours.p99_ms / well.p99_ms, turns.p99_ms / ours.p99_ms);
            writeln!(
                f,
                "  p99 of ours is {slower:.2}x that of all-well (wanted: at most 1.5x)"
            )?;
            writeln!(
                f,
                "  p99 of turns is {faster:.2}x that of ours (wanted: at least 2x)"
            )?;
        }
        Ok(())
    }

    fn show_outages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        writeln!(
            f,
            "everything behind a model is out, twice, for 20 to 40 s (seed {seed}); plain: turns, no health, no retries; direct: no \
             gateway"
        )?;
        writeln!(
            f,
            "  {:14} {:>9} {:>9} {:>12} {:>8} {:>9} {:>9} {:>9}",
            "", "requests", "attempts", "per request", "allowed", "told p99", "recovery", "after"
        )?;
        for it in &self.outages {
            let (each, allowed) = it.attempts_each();
            let success = it.success_after * 100.0;
            let told = it.refused_p99_ms;
            let told = told.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0} ms"));
            writeln!(
                f,
                "  {:14} {:>9} {:>9} {each:>12.3} {allowed:>8.3} {told:>9} {:>7.2} s {success:>8.2}%",
                it.model(),
                it.asked,
                it.attempts,
                it.recovery_s
            )?;
        }
        writeln!(
            f,
            "  wanted of ours: no more attempts than allowed, recovery within 5 s"
        )?;
        self.show_books(f)
    }

    fn show_books(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  charged once: requests that reached the provider; tokens that it told of, and what was reserved where it told \
             nothing"
        )?;
        writeln!(
            f,
            "  {:14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "requests", "charged", "tokens", "untold", "reserved", "charged"
        )?;
        for it in &self.outages {
            let Some(books) = &it.books else {
                continue;
            };
            writeln!(
                f,
                "  {:14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
                it.model(),
                books.requests,
                books.requests_charged,
                books.tokens,
                books.untold,
                books.reserved,
                books.tokens_charged,
                if books.are_even() { "even" } else { "NOT even" }
            )?;
        }
        Ok(())
    }

    fn show_ceilings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "a tenth of the demand is let through; plain: turns, no ceilings in the policy; direct: no gateway"
        )?;
        writeln!(
            f,
            "  {:20} {:>7} {:>9} {:>7} {:>8} {:>9} {:>9} {:>9}",
            "", "asked", "answered", "used", "allowed", "used", "429", "told p99"
        )?;
        for it in &self.ceilings {
            let part = it.part() * 100.0;
            writeln!(
                f,
                "  {:20} {:>7} {:>9} {:>7} {:>8} {part:>8.1}% {:>9} {:>6.1} ms",
                it.model(),
                it.asked,
                it.answered,
                it.used,
                it.allowed,
                it.limited,
                it.refused_p99_ms
            )?;
        }
        writeln!(
            f,
            "  wanted of ours: at least 97 % used, 0 times 429 from the provider"
        )
    }
}

impl Ceiling {
    /// The name of the model.
    pub(super) fn model(&self) -> String {
        self.arm.of(self.counted.model())
    }

    /// The part of what the provider lets through that was used.
    pub(super) fn part(&self) -> f64 {
        self.used as f64 / self.allowed.max(1) as f64
    }
}

impl Mixed {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (easy, hard) = (&self.easy, &self.hard);
        let all = easy.prompts + hard.prompts;
        let cheap = easy.sent_cheap + hard.sent_cheap;
        writeln!(
            f,
            "mixed work by complexity: {all} prompts, {cheap} sent cheap ({:.0} %)",
            cheap as f64 * 100.0 / all.max(1) as f64
        )?;
        writeln!(
            f,
            "  of {} easy ones {:.0} %, of {} hard ones {:.0} %; cost {:.0} % of always-strong",
            easy.prompts,
            easy.share() * 100.0,
            hard.prompts,
            hard.share() * 100.0,
            self.cost_share() * 100.0
        )
    }
}
