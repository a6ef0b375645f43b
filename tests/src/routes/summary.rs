//! The figures, for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::load::Report;

/// What the show measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub(super) trouble: Vec<Row>,
    pub(super) outages: Vec<Outage>,
    pub(super) ceiling: Ceiling,
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
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// What the provider lets through meanwhile.
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
#[derive(Debug, Serialize)]
pub(super) struct Outage {
    pub(super) name: String,
    /// Requests while it lasted.
    pub(super) asked: u64,
    /// Attempts at providers meanwhile.
    pub(super) attempts: u64,
    /// Attempts per request that the retry budget allows.
    pub(super) allowed: f64,
    /// From its end to the first answer.
    pub(super) recovery_s: f64,
    /// The share of requests that were answered after that.
    pub(super) success_after: f64,
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
        self.ceiling.show(f)?;
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
        writeln!(f, "everything behind a model is out for a while")?;
        writeln!(
            f,
            "  {:10} {:>9} {:>9} {:>12} {:>9} {:>10} {:>9}",
            "", "requests", "attempts", "per request", "allowed", "recovery", "after"
        )?;
        for it in &self.outages {
            let each = it.attempts as f64 / it.asked.max(1) as f64;
            let success = it.success_after * 100.0;
            writeln!(
                f,
                "  {:10} {:>9} {:>9} {each:>12.3} {:>9.3} {:>8.2} s {success:>8.2}%",
                it.name, it.asked, it.attempts, it.allowed, it.recovery_s
            )?;
        }
        Ok(())
    }
}

impl Ceiling {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.answered as f64 * 100.0 / self.allowed.max(1) as f64;
        writeln!(
            f,
            "a ceiling at a tenth of the demand: {} requests, {} answered of the {} that the provider lets through",
            self.asked, self.answered, self.allowed
        )?;
        writeln!(
            f,
            "  used {used:.1} % (wanted: at least 97 %); 429 from the provider: {} (wanted: 0); refused by the node within \
             {:.1} ms at p99",
            self.limited, self.refused_p99_ms
        )
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
