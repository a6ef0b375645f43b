//! Which counters must admit a request, worked out once for each key and model of a policy revision.

mod line;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_policy::price::Bounds;
use tollgate_policy::table::{CounterSpec, Model, Reserve, Unit, Use};
use tollgate_quota::Counter;
use tollgate_quota::node::{CounterView, Denial};

pub(crate) use line::Line;

use crate::error::Error;
use crate::expected::Expected;
use crate::keys::Known;
use crate::permit::{Gauge, LimitState, Needs};
use crate::revision::Revision;

/// The counters that must admit a request, in the order in which they are taken.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) lines: Vec<Line>,
    /// Those that only tell what they would refuse.
    pub(crate) shadows: Vec<Line>,
    /// The experience with the model's answers.
    expected: Arc<Expected>,
    /// Whether a limit reserves by it.
    reserves_expected: bool,
    /// Whether an answer can outgrow what a limit holds for it.
    pub(crate) can_be_outgrown: bool,
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
    /// The limits that must admit a copy of such a request.
    ///
    /// # Errors
    /// A counter cannot be named, which is a defect.
    pub(crate) fn of_copies(
        revision: &Revision,
        key: &Known,
        model: &Model,
    ) -> Result<Self, Error> {
        let specs = revision.table.copy_counters(&key.caller(), model);
        Self::of(specs, (revision, key, model))
    }

    fn new(revision: &Revision, key: &Known, model: &Model) -> Result<Self, Error> {
        let tier = key.tier.as_deref();
        if let Some(tier) = tier.filter(|tier| !revision.table.has_tier(tier)) {
            // Without its tier's limits the caller would have none.
            return Err(Error::TierUnknown {
                tier: tier.to_owned(),
            });
        }
        let specs = revision.table.counters(&key.caller(), model);
        Self::of(specs, (revision, key, model))
    }

    fn of(
        specs: Vec<CounterSpec>,
        (revision, key, model): (&Revision, &Known, &Model),
    ) -> Result<Self, Error> {
        for (spec, doubt) in specs
            .iter()
            .filter_map(|spec| Some((spec, spec.doubt.as_ref()?)))
        {
            revision.doubt(&spec.limit, doubt, key);
        }
        let lines: Result<Vec<_>, _> = specs.into_iter().map(Line::new).collect();
        let lines = lines.map_err(|error: tollgate_quota::Error| {
            tracing::error!(%error, "a counter of the policy cannot be kept: this is a defect");
            Error::Internal {
                what: "naming a counter",
            }
        })?;
        let reserves = |line: &Line| line.limit.reserve == Reserve::Expected;
        let reserves_expected = lines.iter().any(reserves);
        let (shadows, lines): (_, Vec<_>) = lines.into_iter().partition(|line| line.limit.shadow);
        Ok(Self {
            can_be_outgrown: lines.iter().any(Line::can_be_outgrown),
            expected: revision.expected(model).unwrap_or_default(),
            reserves_expected,
            lines,
            shadows,
        })
    }

    /// A plan of these lines.
    #[cfg(test)]
    pub(crate) fn of_lines(lines: Vec<Line>) -> Self {
        Self {
            can_be_outgrown: lines.iter().any(Line::can_be_outgrown),
            lines,
            shadows: Vec::new(),
            expected: Arc::default(),
            reserves_expected: false,
        }
    }

    /// What a request within these bounds may use.
    pub(crate) fn needs(&self, revision: &Revision, model: &Model, bounds: &Bounds) -> Needs {
        let counts_money = self.counts_money();
        let needs = |output| Use {
            requests: 1,
            input: bounds.input,
            cached_input: 0,
            output,
            cost: if counts_money {
                let bounds = Bounds { output, ..*bounds };
                revision.table.highest_cost(model, &bounds)
            } else {
                0
            },
        };
        let worst = needs(bounds.output);
        let expected = if self.reserves_expected {
            needs(self.expected.output(bounds.output))
        } else {
            worst
        };
        Needs { worst, expected }
    }

    /// Whether any limit counts money.
    pub(crate) fn counts_money(&self) -> bool {
        let mut all = self.lines.iter().chain(&self.shadows);
        all.any(|line| line.limit.measure.unit == Unit::Cost)
    }

    /// Whether a limit that can refuse counts money.
    pub(crate) fn bounds_money(&self) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|line| line.limit.measure.unit == Unit::Cost)
    }

    /// Whether any limit counts more than requests, so that each attempt uses units of its own.
    pub(crate) fn varies(&self) -> bool {
        let varies = |line: &Line| {
            let unit = line.limit.measure.unit;
            !matches!(unit, Unit::Requests | Unit::Concurrent)
        };
        self.lines.iter().any(varies)
    }

    /// Whether any limit holds slots.
    pub(crate) fn holds_slots(&self) -> bool {
        self.lines.iter().any(Line::holds_slots)
    }

    /// An answer had so many output tokens.
    pub(crate) fn learn(&self, output: u64) {
        self.expected.learn(output);
    }

    /// The tightest of its limits of each unit, as far as `view` knows them.
    pub(crate) fn state(&self, view: impl Fn(&Counter) -> Option<CounterView>) -> LimitState {
        let mut state = LimitState::default();
        for line in &self.lines {
            if let Some(known) = view(&line.counter) {
                let gauge = Gauge {
                    limit: known.limit,
                    remaining: known.remaining,
                    reset: Duration::from_millis(known.reset_ms),
                };
                state.tighten(line.limit.measure.unit, gauge);
            }
        }
        state
    }

    /// What a caller is told of a refusal.
    pub(crate) fn refusal(&self, denial: &Denial, needs: &Needs) -> Error {
        match self.lines.get(denial.ask) {
            Some(line) => line.refusal(denial.why, needs),
            None => Error::Internal {
                what: "finding the limit that refused",
            },
        }
    }
}

// === impl Plans ===

impl Plans {
    /// Finds the plan for a model, or works it out.
    ///
    /// # Errors
    /// The caller's tier is not part of the policy, or a counter cannot be named, which is a defect.
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
