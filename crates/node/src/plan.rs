//! Which counters must admit a request, worked out once for each key and model of a policy revision.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_policy::price::Bounds;
use tollgate_policy::table::{Amount, Caller, CounterSpec, Limit, Model, Reserve, Unit, Use};
use tollgate_quota::node::{Ask, CounterView, Denial, Why};
use tollgate_quota::{Counter, Kind, Period};

use crate::error::Error;
use crate::expected::Expected;
use crate::keys::Known;
use crate::permit::{Charge, Gauge, LimitState, Needs};
use crate::revision::Revision;

/// The counters that must admit a request, in the order in which they are taken.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) lines: Vec<Line>,
    /// Those that only tell what they would refuse.
    pub(crate) shadows: Vec<Line>,
    /// The experience with the model's answers, where a limit reserves by it.
    expected: Option<Arc<Expected>>,
}

/// One counter of a plan.
#[derive(Debug)]
pub(crate) struct Line {
    /// The counter.
    pub(crate) counter: Counter,
    /// Its limit.
    pub(crate) limit: Arc<Limit>,
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
        let tier = key.tier.as_deref();
        if let Some(tier) = tier.filter(|tier| !revision.table.has_tier(tier)) {
            // Without its tier's limits the caller would have none.
            return Err(Error::TierUnknown {
                tier: tier.to_owned(),
            });
        }
        let caller = Caller {
            key: &key.id,
            key_name: &key.name,
            subject: &key.subject,
            tier,
            labels: &key.labels,
        };
        let specs = revision.table.counters(&caller, model);
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
        let expected = lines.iter().any(reserves);
        let (shadows, lines) = lines.into_iter().partition(|line| line.limit.shadow);
        Ok(Self {
            expected: expected.then(|| revision.expected(model)).flatten(),
            lines,
            shadows,
        })
    }

    /// What a request within these bounds may use.
    pub(crate) fn needs(&self, revision: &Revision, model: &Model, bounds: &Bounds) -> Needs {
        let counts_money = |line: &Line| line.limit.measure.unit == Unit::Cost;
        let mut all = self.lines.iter().chain(&self.shadows);
        let counts_money = all.any(counts_money);
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
        let expected = self.expected.as_ref();
        let expected = expected.map_or(worst, |expected| needs(expected.output(bounds.output)));
        Needs { worst, expected }
    }

    /// What to take from each counter.
    pub(crate) fn asks(&self, needs: &Needs) -> Vec<Ask> {
        self.lines.iter().map(|line| line.ask(needs)).collect()
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
        if let Some(expected) = &self.expected {
            expected.learn(output);
        }
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
        let Some(line) = self.lines.get(denial.ask) else {
            return Error::Internal {
                what: "finding the limit that refused",
            };
        };
        let limit = line.limit.name.to_string();
        let counter = line.label.to_string();
        let unit = line.limit.measure.unit;
        let amount = |units| Amount { unit, units };
        match denial.why {
            Why::Exhausted {
                limit: units,
                retry_after_ms,
            } => Error::LimitExceeded {
                limit,
                counter,
                admits: amount(match line.limit.kind {
                    // What a bucket holds is not what a window brings in.
                    Kind::Bucket { .. } => line.limit.amount,
                    Kind::Fixed { .. }
                    | Kind::Sliding { .. }
                    | Kind::Calendar { .. }
                    | Kind::Endless
                    | Kind::Concurrent => units,
                }),
                per: per(line.limit.kind),
                retry_after: Duration::from_millis(retry_after_ms),
            },
            Why::TooLarge { limit: units } => Error::LimitTooSmall {
                limit,
                counter,
                admits: amount(units),
                needed: amount(line.reserved(needs)),
            },
            Why::NoAnswer | Why::Late => Error::LimitUnavailable { limit },
        }
    }
}

/// What a limit's amount is of, after it: ` per 60 s`, ` per month`.
fn per(kind: Kind) -> String {
    let period = match kind {
        Kind::Fixed { window_ms } | Kind::Sliding { window_ms } | Kind::Bucket { window_ms } => {
            return format!(" per {} s", window_ms / 1000);
        }
        Kind::Calendar { period, .. } => period,
        Kind::Endless => return " in all".to_owned(),
        // Their unit says it: requests at once.
        Kind::Concurrent => return String::new(),
    };
    let name = match period {
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
        Period::Quarter => "quarter",
        Period::Year => "year",
    };
    format!(" per {name}")
}

// === impl Line ===

impl Line {
    fn new(spec: CounterSpec) -> Result<Self, tollgate_quota::Error> {
        let limit = spec.limit;
        // `limit/unit=window[/dimension=value…]`: the quota crate names limit and window itself.
        let within_limit = spec.counter.split_once('/').map_or("", |(_, rest)| rest);
        let dimensions = within_limit.split_once('/').map_or("", |(_, rest)| rest);
        let label = if dimensions.is_empty() {
            limit.name.to_string()
        } else {
            format!("{}/{dimensions}", limit.name)
        };
        Ok(Self {
            counter: Counter::new(&limit.name, limit.kind, within_limit)?,
            limit,
            label: label.into(),
        })
    }

    /// Whether a unit that is held keeps another from coming in, because no window ends.
    pub(crate) fn is_rolling(&self) -> bool {
        !self.counter.kind().is_windowed()
    }

    /// What to take from its counter.
    pub(crate) fn ask(&self, needs: &Needs) -> Ask {
        Ask {
            counter: self.counter.clone(),
            units: self.reserved(needs),
        }
    }

    /// The units that a reservation for these needs is settled at.
    pub(crate) fn charged(&self, needs: &Needs, charge: Charge) -> u64 {
        let requests = needs.worst.requests;
        match charge {
            Charge::Nothing => 0,
            Charge::Used(used) => self.units(&Use { requests, ..used }),
            Charge::Unknown(most) => {
                let most = self.units(&Use { requests, ..most });
                self.reserved(needs).min(most)
            }
        }
    }

    /// The units of a use.
    pub(crate) fn units(&self, used: &Use) -> u64 {
        self.limit.measure.units(used)
    }

    /// Whether its units are slots: held until the request ends, and never used up.
    pub(crate) fn holds_slots(&self) -> bool {
        self.limit.measure.unit == Unit::Concurrent
    }

    /// The units that are held for a request.
    pub(crate) fn reserved(&self, needs: &Needs) -> u64 {
        if self.holds_slots() {
            return needs.worst.requests;
        }
        match self.limit.reserve {
            Reserve::WorstCase => self.units(&needs.worst),
            Reserve::Expected => self.units(&needs.expected),
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
