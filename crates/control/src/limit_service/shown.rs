//! Counters as operators see and name them.

use tollgate_policy::counter::shown;
use tollgate_policy::table::Unit;
use tollgate_proto::admin::v1::{LimitState, NodeShare, Sharer};
use tollgate_quota::owner::{self, Books, CounterState, Holding};
use tollgate_quota::{Counter, Kind};

use crate::clock;
use crate::error::{Error, Result};
use crate::snapshot::{self, Current, Snapshot};

/// What an operator speaks of.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) counter: Counter,
    /// As it is shown.
    pub(super) label: String,
    pub(super) unit: Unit,
    /// The lowest that lets more through than policy does.
    pub(super) least_raise: u64,
}

impl Subject {
    /// So many units, where a raise to them changes something and counters hold as many.
    pub(super) fn raised_to(&self, units: u64) -> Result<u64> {
        let (least, most) = (self.least_raise, self.unit.most());
        if (least..=most).contains(&units) {
            return Ok(units);
        }
        let problem = if units > most {
            let most = self.unit.figure(most);
            format!("is more than any limit may let through, {most}")
        } else {
            let policy = self.unit.figure(least - 1);
            format!(
                "is no more than policy lets through, {policy}: to let through less, change the policy"
            )
        };
        Err(Error::field("limit", problem))
    }
}

/// Finds the counter that is shown as this. It need not be in use.
///
/// # Errors
/// [`Error::NotFound`] where policy has no limit with such a counter, and those of [`snapshot::now`].
pub(super) fn subject(current: &Current, label: &str) -> Result<Subject> {
    let snapshot = snapshot::now(current)?;
    let found = snapshot.table.shown_counter(label);
    let counter = found.and_then(|(limit, name)| {
        let (_, subject) = name.split_once('/')?;
        let counter = Counter::new(&limit.name, limit.kind, subject).ok()?;
        let spec = snapshot.limits.of(&counter);
        // A bucket fills faster, or holds more, or both.
        let by_policy = spec.map_or(0, |spec| match limit.kind {
            Kind::Bucket { .. } => spec.units.min(spec.burst),
            Kind::Fixed { .. }
            | Kind::Sliding { .. }
            | Kind::Calendar { .. }
            | Kind::Endless
            | Kind::Concurrent => spec.units,
        });
        Some((counter, limit.measure.unit, by_policy + 1))
    });
    let (counter, unit, least_raise) = counter.ok_or_else(|| Error::NotFound {
        what: "counter",
        name: label.chars().take(200).collect(),
    })?;
    Ok(Subject {
        counter,
        label: label.to_owned(),
        unit,
        least_raise,
    })
}

/// The limit's name and the values of its dimensions. Unit and window, which are part of a counter's name, are
/// shown beside it.
fn label(counter: &Counter) -> String {
    shown(&format!("{}/{}", counter.limit(), counter.subject()))
}

pub(super) fn state(state: &CounterState, snapshot: &Snapshot) -> LimitState {
    let name = state.counter.limit();
    let limit = snapshot.table.limit(name);
    let unit = limit.map(|limit| limit.measure.unit.as_str());
    // What never ends has no end to show.
    let window = state.window.filter(|_| state.counter.kind().has_windows());
    let books = state.books.unwrap_or_else(|| books_of_mark(state));
    LimitState {
        limit_name: name.to_owned(),
        counter: label(&state.counter),
        unit: unit.unwrap_or_default().to_owned(),
        limit: state.limit,
        spent: books.settled,
        outstanding: books.outstanding,
        free: books.free,
        window_start: window.map(|(_, start, _)| clock::timestamp(start.0)),
        window_end: window.map(|(_, _, end)| clock::timestamp(end.0)),
        exhausted: state.exhausted,
        nodes: state.nodes.iter().map(share).collect(),
        kind: state.counter.kind().name().to_owned(),
        per_request: state.per_request,
        suspense: books.suspense,
        debt: books.debt,
        name: state.counter.as_str().to_owned(),
        shadow: limit.is_some_and(|limit| limit.shadow),
        raised_until: state.raise.map(|raise| clock::timestamp(raise.until.0)),
        admits_at: state.admits_at.map(|at| clock::timestamp(at.0)),
        promised: state.promised,
        sharers: state.sharers.iter().map(sharer).collect(),
    }
}

fn sharer(sharer: &owner::Sharer) -> Sharer {
    Sharer {
        who: sharer.who.to_string(),
        used: sharer.used,
        most: sharer.most,
        waiting: sharer.waiting,
    }
}

/// The books of a counter that is not kept by rows. What was held before a failover and cannot come back in this
/// window counts as outstanding.
fn books_of_mark(state: &CounterState) -> Books {
    let settled = state.spent;
    // What no owner has charged yet can be handed out as well as what is charged and held by nobody.
    let free = state.free + state.limit.saturating_sub(state.hwm);
    Books {
        settled,
        free,
        outstanding: state.limit.saturating_sub(free.saturating_add(settled)),
        ..Books::default()
    }
}

fn share(holding: &Holding) -> NodeShare {
    NodeShare {
        node: holding.node.to_string(),
        incarnation: holding.incarnation.0,
        granted: holding.granted,
        returned: holding.returned,
        spent: holding.spent,
        waiting: holding.waiting,
        freed: holding.freed,
        suspense: holding.suspense,
        closed: holding.closed,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    const MINUTE: Kind = Kind::Fixed { window_ms: 60_000 };

    #[test]
    fn counters_are_shown_without_unit_and_window() {
        for (limit, subject, shown) in [
            ("whole-app", "tokens=3600s", "whole-app"),
            ("per-key", "requests=60s/key=k1", "per-key/key=k1"),
            (
                "both",
                "requests=60s/team=acme/search/model=chat",
                "both/team=acme/search/model=chat",
            ),
        ] {
            assert_eq!(label(&Counter::new(limit, MINUTE, subject).unwrap()), shown);
        }
    }
}
