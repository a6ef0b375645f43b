//! One counter that must admit a request or an attempt.

use std::sync::Arc;
use std::time::Duration;

use tollgate_policy::table::{Amount, CounterSpec, Limit, Reserve, Unit, Unreachable, Use};
use tollgate_quota::node::{Ask, Why};
use tollgate_quota::{Counter, Kind, Period};

use crate::error::Error;
use crate::permit::{Charge, Needs};

/// One counter that must admit a request or an attempt.
#[derive(Debug)]
pub(crate) struct Line {
    /// The counter.
    pub(crate) counter: Counter,
    /// Its limit.
    pub(crate) limit: Arc<Limit>,
    /// The limit's name and the values of its dimensions, as logs show it: `per-key/key=k1`.
    pub(crate) label: Box<str>,
}

impl Line {
    /// A line of the policy's table.
    ///
    /// # Errors
    /// The counter cannot be named, which is a defect.
    pub(crate) fn new(spec: CounterSpec) -> Result<Self, tollgate_quota::Error> {
        let limit = spec.limit;
        // `limit/unit=window[/dimension=value…]`: the quota crate names limit and window itself.
        let within_limit = spec.counter.split_once('/').map_or("", |(_, rest)| rest);
        let dimensions = within_limit.split_once('/').map_or("", |(_, rest)| rest);
        let label = if dimensions.is_empty() {
            limit.name.to_string()
        } else {
            format!("{}/{dimensions}", limit.name)
        };
        let counter = Counter::new(&limit.name, limit.kind, within_limit)?;
        Ok(Self {
            counter: match &spec.part {
                Some(who) => counter.part(who),
                None => counter,
            },
            limit,
            label: label.into(),
        })
    }

    /// Whether a unit that is held keeps another from coming in, because no window ends.
    pub(crate) fn is_rolling(&self) -> bool {
        !self.counter.kind().is_windowed()
    }

    /// What to take from its counter.
    pub(crate) fn ask(&self, needs: &Needs) -> Ask<&Counter> {
        Ask {
            counter: &self.counter,
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

    /// Whether an answer can outgrow what is held for it.
    pub(crate) fn can_be_outgrown(&self) -> bool {
        self.limit.reserve == Reserve::Expected && !self.holds_slots()
    }

    /// Whether nothing is admitted close to the edges of its windows.
    pub(crate) fn is_guarded(&self) -> bool {
        !self.limit.guard.is_zero()
    }

    /// Whether requests wait for it to have room.
    pub(crate) fn waits(&self) -> bool {
        self.limit.longest_wait.is_some()
    }

    /// Whether requests go on without it while nobody can say whether it has room.
    pub(crate) fn is_open(&self) -> bool {
        self.limit.unreachable == Unreachable::Open
    }

    /// What a caller is told of a refusal.
    pub(crate) fn refusal(&self, why: Why, needs: &Needs) -> Error {
        let limit = self.limit.name.to_string();
        let counter = self.label.to_string();
        let unit = self.limit.measure.unit;
        let amount = |units| Amount { unit, units };
        match why {
            Why::Exhausted {
                limit: units,
                retry_after_ms,
            } => Error::LimitExceeded {
                limit,
                counter,
                admits: amount(match self.limit.kind {
                    // What a bucket holds is not what a window brings in.
                    Kind::Bucket { .. } => self.limit.amount,
                    Kind::Fixed { .. }
                    | Kind::Sliding { .. }
                    | Kind::Calendar { .. }
                    | Kind::Endless
                    | Kind::Concurrent => units,
                }),
                per: per(self.limit.kind),
                retry_after: Duration::from_millis(retry_after_ms),
            },
            Why::OverShare {
                limit: units,
                share,
                retry_after_ms,
            } => Error::LimitExceeded {
                limit,
                counter,
                admits: amount(units),
                per: format!(
                    "{}, of which the caller's share is {} while others want theirs",
                    per(self.limit.kind),
                    amount(share)
                ),
                retry_after: Duration::from_millis(retry_after_ms),
            },
            Why::TooLarge { limit: units } => Error::LimitTooSmall {
                limit,
                counter,
                admits: amount(units),
                per: if matches!(self.limit.kind, Kind::Bucket { .. }) {
                    " at once".to_owned()
                } else {
                    per(self.limit.kind)
                },
                needed: amount(self.reserved(needs)),
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

#[cfg(test)]
mod tests {
    use tollgate_proto::node::v1::Key;

    use super::*;
    use crate::keys::Known;
    use crate::revision::Revision;

    #[test]
    fn a_request_that_is_too_large_is_told_what_the_limit_admits() {
        for (limit, expect) in [
            ("tokens: 10, window: 1m", "admits 10 tokens per 60 s:"),
            ("tokens: 10, window: 1mo", "admits 10 tokens per month:"),
            ("tokens: 60, window: 1m, kind: bucket", "tokens at once:"),
            ("concurrent: 2", "admits 2 requests at once:"),
        ] {
            let revision = Revision::of_text(&format!(
                "providers: {{ p: {{ kind: simulated }} }}\n\
                 deployments: {{ d: {{ provider: p, model: m }} }}\n\
                 pools: {{ p: {{ targets: [ {{ deployment: d }} ] }} }}\n\
                 models: {{ chat: {{ routes: [ {{ pools: [p] }} ] }} }}\n\
                 limits: [ {{ name: l, {limit} }} ]"
            ));
            let model = revision.table.model("chat").unwrap();
            let key = Known::new(&Key {
                id: "k1".into(),
                subject: "acme".into(),
                ..Key::default()
            });
            let plan = key.unwrap().plan(&revision, model).unwrap();
            let why = Why::TooLarge {
                limit: plan.lines[0].limit.amount,
            };
            let told = plan.lines[0].refusal(why, &Needs::default()).to_string();
            assert!(told.contains(expect), "{told}");
        }
    }
}
