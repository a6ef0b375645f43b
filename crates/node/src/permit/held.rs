//! Units of several counters, held together until it is known what was used.

use std::sync::Arc;

use tollgate_policy::table::Use;
use tollgate_quota::node::{Admission, Ask, Denial, PerAsk, Why};

use super::growth::Growth;
use super::{Charge, Needs};
use crate::limiter::{LONGEST_WAIT, Limiter, Reservation};
use crate::plan::Line;

/// Units of several counters. Dropped unsettled they go back whole: nothing can have been done with them.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) reservation: Reservation,
    pub(super) admission: Admission,
    pub(super) needs: Needs,
    /// The places of counters that nobody answered for and that let the request through all the same.
    pub(super) unbounded: PerAsk<usize>,
    /// What it was settled at.
    pub(super) charge: Option<Charge>,
}

impl Held {
    /// Takes what these needs come to from all counters, or nothing. Waits where units are missing.
    ///
    /// # Errors
    /// The counter that has no room, or for which nobody answered.
    pub(super) async fn take(
        limiter: &Arc<Limiter>,
        lines: &[Line],
        needs: Needs,
    ) -> Result<Self, Denial> {
        let mut asks: PerAsk<Ask> = lines.iter().map(|line| line.ask(&needs)).collect();
        let mut unbounded = PerAsk::new();
        if lines.iter().any(Line::is_open) {
            limiter.unanswered(&asks, |ask| lines[ask].is_open(), &mut unbounded);
            for ask in &unbounded {
                asks[*ask].units = 0;
            }
        }
        guarded(limiter, lines, &unbounded, None)?;
        loop {
            match limiter.reserve(&asks, LONGEST_WAIT).await {
                Ok((reservation, admission)) => {
                    // Units are taken by now, so that this look at the clock is the one that counts.
                    guarded(limiter, lines, &unbounded, Some(&admission))?;
                    for ask in &unbounded {
                        limiter.went_without(&lines[*ask].limit.name);
                    }
                    return Ok(Self {
                        reservation,
                        admission,
                        needs,
                        unbounded,
                        charge: None,
                    });
                }
                Err(denial) => {
                    let ask = denial.ask;
                    let open = lines.get(ask).is_some_and(Line::is_open);
                    if denial.why.is_for_want_of_units() || !open || asks[ask].units == 0 {
                        return Err(denial);
                    }
                    asks[ask].units = 0;
                    unbounded.push(ask);
                }
            }
        }
    }

    /// The limits that the units are of.
    pub(super) fn limiter(&self) -> &Arc<Limiter> {
        self.reservation.limiter()
    }

    /// Notes what has been used for certain meanwhile. It makes a difference to limits without windows only: there
    /// what is held and might come back keeps others out.
    pub(super) fn used(&self, lines: &[Line], used: &Use) {
        let rolling = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.is_rolling());
        let counts = self.needs.worst.requests;
        let used = Use {
            requests: used.requests.min(counts),
            ..*used
        };
        let units: PerAsk<_> = rolling
            .map(|(ask, line)| (ask, line.units(&used)))
            .filter(|(_, units)| *units > 0)
            .collect();
        if !units.is_empty() {
            self.reservation.spend(&units);
        }
    }

    /// Ends it.
    pub(super) fn settle(&mut self, lines: &[Line], charge: Charge) {
        self.settle_with(&mut Growth::default(), lines, charge);
    }

    /// Ends it, and what was taken beside it since.
    pub(super) fn settle_with(&mut self, growth: &mut Growth, lines: &[Line], charge: Charge) {
        let charged = |(place, line): (usize, &Line)| {
            let actual = line.charged(&self.needs, charge);
            growth.settle(place, line.reserved(&self.needs), actual)
        };
        let actual: PerAsk<_> = lines.iter().enumerate().map(charged).collect();
        self.charge = Some(charge);
        self.reservation.settle(&actual);
    }
}

/// Looks whether all lines but the unbounded ones are far enough from the edges of their windows.
fn guarded(
    limiter: &Limiter,
    lines: &[Line],
    unbounded: &[usize],
    admission: Option<&Admission>,
) -> Result<(), Denial> {
    let guarded = lines.iter().enumerate();
    for (ask, line) in guarded.filter(|(ask, line)| line.is_guarded() && !unbounded.contains(ask)) {
        let held = admission.and_then(|it| Some(it.limits.get(ask)?.window));
        if let Some(wait) = limiter.guards(&line.counter, line.limit.guard, held) {
            return Err(Denial {
                ask,
                counter: line.counter.clone(),
                why: Why::Exhausted {
                    limit: line.limit.amount,
                    retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                },
            });
        }
    }
    Ok(())
}
