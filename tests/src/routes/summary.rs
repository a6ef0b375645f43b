//! The figures, for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::load::Report;

/// What the show measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub(super) trouble: Vec<Row>,
    pub(super) outages: Vec<Outage>,
}

/// How the callers of a model fared.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    requests: u64,
    success: f64,
    p50_ms: f64,
    p99_ms: f64,
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
        writeln!(
            f,
            "three deployments, one 5x slower, one flapping at 50 % errors"
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
