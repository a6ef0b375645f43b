//! What becomes of requests where a limit has no room, or nobody answers for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tollgate_quota::node::{Ask, Denial, PerAsk};
use tollgate_quota::{Counter, Kind, Window};

use super::queue::Queues;
use super::{Limiter, now};
use crate::{clock, metrics};

impl Limiter {
    /// Gathers the places of those asks that `may` names and for which it would be in vain to wait: nobody answers
    /// for their counters.
    pub(crate) fn unanswered(
        &self,
        asks: &[Ask<&Counter>],
        may: impl Fn(usize) -> bool,
        found: &mut PerAsk<usize>,
    ) {
        let mut state = self.state.lock();
        let now = now();
        let machine = &mut state.machine;
        let asks = asks.iter().enumerate().filter(|(place, _)| may(*place));
        found.extend(
            asks.filter_map(|(place, ask)| machine.is_unanswered(now, ask).then_some(place)),
        );
        if !found.is_empty() {
            self.after(&mut state);
        }
    }

    /// A limit let somebody through although nobody answered for it.
    pub(crate) fn went_without(&self, limit: &Arc<str>) {
        metrics::unbounded(limit);
        let second = clock::boot_time().as_secs();
        // Once a second, whoever it is.
        if self.told_unbounded.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(
                limit = &**limit,
                "nobody answers for a limit that lets requests through then: it does not hold now"
            );
        }
    }

    /// Requests that wait for limits to have room.
    pub(crate) fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// The limit in force for a counter, and how long until so many units of it can be had. None where nothing is
    /// known that speaks against having them at once.
    pub(crate) fn comes_in(&self, counter: &Counter, units: u64) -> Option<(u64, Duration)> {
        let state = self.state.lock();
        let (limit, ms) = state.machine.comes_in_ms(now(), counter, units)?;
        Some((limit, Duration::from_millis(ms)))
    }

    /// How long until a counter is far enough from the edges of its windows; none where it is, or nothing is known.
    /// Where units are held already, `held` is the window that they bear: it has to be that one.
    pub(crate) fn guards(
        &self,
        counter: &Counter,
        guard: Duration,
        held: Option<Window>,
    ) -> Option<Duration> {
        let guard = u64::try_from(guard.as_millis()).unwrap_or(u64::MAX);
        let edges = self.state.lock().machine.edges(now(), counter);
        let wait = match (edges, held) {
            (None, None) => return None,
            // The window is over, or another.
            (None, Some(_)) => guard,
            (Some(edges), Some(held)) if edges.window != held => guard,
            (Some(edges), _) if edges.left_ms <= guard => edges.left_ms + guard,
            (Some(edges), _) => guard.saturating_sub(edges.since_ms),
        };
        (wait > 0).then(|| Duration::from_millis(wait))
    }
}

/// The refusal of what nobody answers for.
pub(super) fn no_answer(asks: &[Ask<&Counter>]) -> Denial {
    #[expect(
        clippy::expect_used,
        reason = "a counter that is well-formed by construction"
    )]
    let counter = asks.first().map_or_else(
        || Counter::new("none", Kind::Fixed { window_ms: 60_000 }, "").expect("a valid counter"),
        |ask| Counter::clone(ask.counter),
    );
    Denial {
        ask: 0,
        counter,
        why: tollgate_quota::node::Why::NoAnswer,
    }
}
