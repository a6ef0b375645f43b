//! What a run measured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Load;
use super::caller::{Answer, Failure};
use crate::provider::wall_ms;

/// A distribution of times, microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "the names of percentiles")]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// The result of a run. All but `sent` is about the measured part.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was run.
    pub load: Load,
    /// Requests answered or failed over the whole run, warm-up included.
    pub sent: u64,
    /// Requests that fell due (open loop), or were answered or failed (closed loop).
    pub due: u64,
    /// Of those, the ones answered with exactly what was expected.
    pub ok: u64,
    /// Of those, the ones that had not ended when the generator gave up waiting.
    pub unanswered: u64,
    /// How the others ended, by kind; warm-up included.
    pub failures: BTreeMap<String, u64>,
    /// One example of each kind.
    pub examples: BTreeMap<String, String>,
    /// Right answers per second.
    pub rate: f64,
    /// From due to the end of the reply, right answers only.
    pub total_us: Latency,
    /// From due to the first content, right answers only; streams only.
    pub first_us: Option<Latency>,
    /// From being sent to the refusal, where the server answered with an error.
    pub refused_us: Latency,
    /// Those that callers went away from, warm-up included.
    #[serde(skip)]
    pub cancelled: Vec<Cancelled>,
}

/// A request that its caller went away from.
#[derive(Debug, Clone)]
pub struct Cancelled {
    /// Its nonce.
    pub nonce: String,
    /// Wall clock when the caller went, milliseconds since 1970.
    pub at_ms: u64,
}

/// When a request was due, when it was sent, and when its reply had come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) due: Instant,
    pub(super) sent: Instant,
    pub(super) done: Instant,
}

impl Report {
    /// Fails unless every request was answered rightly.
    pub fn all_ok(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.failures.is_empty() && self.unanswered == 0 && self.ok > 0,
            "{} of {} requests answered rightly; {} unanswered; failures: {:?}; such as {:?}",
            self.ok,
            self.due,
            self.unanswered,
            self.failures,
            self.examples
        );
        Ok(())
    }
}

/// Gathers measurements of all callers.
#[derive(Debug)]
pub(super) struct Recorder {
    run: u32,
    nonces: AtomicU64,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Sums {
    sent: u64,
    due: u64,
    ended: u64,
    ok: u64,
    failures: BTreeMap<String, u64>,
    examples: BTreeMap<String, String>,
    total: Histogram<u64>,
    first: Histogram<u64>,
    refused: Histogram<u64>,
    cancelled: Vec<Cancelled>,
}

impl Recorder {
    pub(super) fn new() -> anyhow::Result<Self> {
        /// Nanoseconds in ten minutes, longer than any request may take.
        const LONGEST: u64 = 600_000_000_000;
        let histogram = || Histogram::new_with_bounds(1000, LONGEST, 4).context("make a histogram");
        Ok(Self {
            run: getrandom::u32().map_err(|error| anyhow!("draw a random number: {error}"))?,
            nonces: AtomicU64::new(0),
            sums: Mutex::new(Sums {
                sent: 0,
                due: 0,
                ended: 0,
                ok: 0,
                failures: BTreeMap::new(),
                examples: BTreeMap::new(),
                total: histogram()?,
                first: histogram()?,
                refused: histogram()?,
                cancelled: Vec::new(),
            }),
        })
    }

    /// A nonce that no other request of any run has.
    pub(super) fn next_nonce(&self) -> String {
        let number = self.nonces.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:08x}", self.run)
    }

    fn with(&self, change: impl FnOnce(&mut Sums)) {
        change(&mut self.sums.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The open loop: a request fell due.
    pub(super) fn fell_due(&self, measured: bool) {
        self.with(|sums| sums.due += u64::from(measured));
    }

    /// Notes who has gone away just now.
    pub(super) fn note_cancel(&self, nonce: &str, answer: &Answer) {
        if matches!(answer, Err(Failure::Cancelled)) {
            let cancelled = Cancelled {
                nonce: nonce.to_owned(),
                at_ms: wall_ms(),
            };
            self.with(|sums| sums.cancelled.push(cancelled));
        }
    }

    pub(super) fn answered(&self, measured: bool, times: Times, answer: Answer) {
        let Times { due, sent, done } = times;
        self.with(|sums| {
            sums.sent += 1;
            sums.ended += u64::from(measured);
            match answer {
                Ok(first) if measured => {
                    sums.ok += 1;
                    sums.total.saturating_record(nanoseconds(done - due));
                    sums.first.saturating_record(nanoseconds(first - due));
                }
                Ok(_) => {}
                Err(failure) => {
                    if measured && failure.is_refusal() {
                        sums.refused.saturating_record(nanoseconds(done - sent));
                    }
                    let kind = failure.to_string();
                    let example = failure.example();
                    sums.examples
                        .entry(kind.clone())
                        .or_insert_with(|| example.to_owned());
                    *sums.failures.entry(kind).or_default() += 1;
                }
            }
        });
    }

    pub(super) fn report(&self, load: &Load) -> Report {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let due = sums.due.max(sums.ended);
        Report {
            load: load.clone(),
            sent: sums.sent,
            due,
            ok: sums.ok,
            unanswered: due - sums.ended,
            failures: sums.failures.clone(),
            examples: sums.examples.clone(),
            rate: sums.ok as f64 / load.duration.as_secs_f64(),
            total_us: latency(&sums.total),
            first_us: load.stream.then(|| latency(&sums.first)),
            refused_us: latency(&sums.refused),
            cancelled: sums.cancelled.clone(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Latency {
        mean: histogram.mean() / 1e3,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max() as f64 / 1e3,
    }
}
