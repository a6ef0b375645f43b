//! Which counters must admit a request, worked out once for each key and model of a policy revision.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_policy::table::{Caller, CounterSpec, Model, Unit};
use tollgate_quota::node::{Ask, CounterView};
use tollgate_quota::{Counter, Kind};

use crate::error::Error;
use crate::keys::Known;
use crate::permit::{Gauge, LimitState};
use crate::revision::Revision;

/// The counters that must admit a request, in the order in which they are taken.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) lines: Vec<Line>,
}

/// One counter of a plan.
#[derive(Debug)]
pub(crate) struct Line {
    /// The counter.
    pub(crate) counter: Counter,
    /// Name of its limit.
    pub(crate) limit: Arc<str>,
    /// What it counts.
    pub(crate) unit: Unit,
    /// Length of a window, in milliseconds.
    pub(crate) window_ms: u64,
    /// The limit's name and the values of its dimensions, as logs show it: `per-key/key=k1`.
    pub(crate) label: Box<str>,
}

/// The plans of one key, for the newest revision only.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    revision: u64,
    by_model: Vec<(Arc<str>, Arc<Plan>)>,
}

// === impl Plan ===

impl Plan {
    fn new(revision: &Revision, key: &Known, model: &Model) -> Result<Self, Error> {
        let caller = Caller {
            key: &key.id,
            subject: &key.subject,
        };
        let specs = revision.table.counters(caller, model);
        let lines: Result<_, _> = specs.into_iter().map(Line::new).collect();
        lines
            .map(|lines| Self { lines })
            .map_err(|error: tollgate_quota::Error| {
                tracing::error!(%error, "a counter of the policy cannot be kept: this is a defect");
                Error::Internal {
                    what: "naming a counter",
                }
            })
    }

    /// What to take from each counter for a request of so many tokens.
    pub(crate) fn asks(&self, tokens: u64) -> Vec<Ask> {
        let ask = |line: &Line| Ask {
            counter: line.counter.clone(),
            units: line.units(tokens),
        };
        self.lines.iter().map(ask).collect()
    }
}

impl Plan {
    /// The tightest of its limits of each kind, as far as `view` knows them.
    pub(crate) fn state(&self, view: impl Fn(&Counter) -> Option<CounterView>) -> LimitState {
        let mut state = LimitState::default();
        for line in &self.lines {
            if let Some(known) = view(&line.counter) {
                let gauge = Gauge {
                    limit: known.limit,
                    remaining: known.remaining,
                    reset: Duration::from_millis(known.reset_ms),
                };
                state.tighten(line.unit, gauge);
            }
        }
        state
    }
}

impl Line {
    fn new(spec: CounterSpec) -> Result<Self, tollgate_quota::Error> {
        // `limit/unit=window[/dimension=value…]`: the quota crate names limit and window itself.
        let within_limit = spec.counter.split_once('/').map_or("", |(_, rest)| rest);
        let dimensions = within_limit.split_once('/').map_or("", |(_, rest)| rest);
        let label = if dimensions.is_empty() {
            spec.limit_name.to_string()
        } else {
            format!("{}/{dimensions}", spec.limit_name)
        };
        let kind = Kind::Fixed {
            window_ms: spec.window_ms,
        };
        Ok(Self {
            counter: Counter::new(&spec.limit_name, kind, within_limit)?,
            limit: spec.limit_name,
            unit: spec.unit,
            window_ms: spec.window_ms,
            label: label.into(),
        })
    }

    /// What one request takes that has so many tokens.
    pub(crate) fn units(&self, tokens: u64) -> u64 {
        match self.unit {
            Unit::Requests => 1,
            Unit::Tokens => tokens,
        }
    }
}

// === impl Plans ===

impl Plans {
    /// Finds the plan for a model, or works it out.
    ///
    /// # Errors
    /// A counter that cannot be named: a defect.
    pub(crate) fn get(
        &self,
        revision: &Revision,
        key: &Known,
        model: &Model,
    ) -> Result<Arc<Plan>, Error> {
        let number = revision.table.revision();
        let mut newest = self.0.lock();
        if newest.revision != number {
            *newest = Newest {
                revision: number,
                by_model: Vec::new(),
            };
        }
        if let Some((_, plan)) = newest.by_model.iter().find(|(name, _)| *name == model.name) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan::new(revision, key, model)?);
        newest
            .by_model
            .push((Arc::clone(&model.name), Arc::clone(&plan)));
        Ok(plan)
    }
}
