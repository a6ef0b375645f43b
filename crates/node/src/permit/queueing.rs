//! Waiting for limits that have no room, where policy says so: in order, as long as there will be room in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tollgate_quota::Kind;
use tollgate_quota::node::{Denial, Why};

use super::Needs;
use super::held::Held;
use crate::limiter::{Behind, Limiter, Place};
use crate::metrics;
use crate::plan::Line;

/// Who is first looks again no sooner than this.
const SHORTEST: Duration = Duration::from_millis(2);
/// A slot comes free whenever a request ends: who is first looks this often.
const SLOT_LOOK: Duration = Duration::from_millis(20);

/// A request that wants to wait.
struct Queueing<'a> {
    limiter: &'a Arc<Limiter>,
    lines: &'a [Line],
    needs: Needs,
    began: Instant,
    until: Instant,
}

/// Its place in the queue of the counter that it waits for.
struct Waiting {
    place: Place,
    /// The counter's place among the lines.
    ask: usize,
    /// When it gives up.
    by: Instant,
}

impl Held {
    /// Like [`take`](Self::take). Where a limit of which policy says so has no room, waits for it to have some, behind
    /// those who wait already, if there will be some before `until` and within the limit's longest wait.
    ///
    /// # Errors
    /// The counter that has no room in time, or for which nobody answered. The time that it speaks of is the one at
    /// which there will be room for those ahead too.
    pub(super) async fn take_patiently(
        limiter: &Arc<Limiter>,
        lines: &[Line],
        needs: Needs,
        until: Instant,
    ) -> Result<Self, Denial> {
        if !lines.iter().any(Line::waits) {
            return Self::take(limiter, lines, needs).await;
        }
        let queueing = Queueing {
            limiter,
            lines,
            needs,
            began: Instant::now(),
            until,
        };
        let mut waiting = queueing.behind_others()?;
        loop {
            if let Some(waiting) = &mut waiting {
                queueing.be_first(waiting).await?;
            }
            let denial = match Self::take(limiter, lines, needs).await {
                Ok(held) => return Ok(held),
                Err(denial) => denial,
            };
            let exhausted = matches!(denial.why, Why::Exhausted { .. } | Why::OverShare { .. });
            if !exhausted || !lines.get(denial.ask).is_some_and(Line::waits) {
                return Err(denial);
            }
            let here = waiting.filter(|waiting| waiting.ask == denial.ask);
            let (here, wait) = queueing.wait_at(here, denial)?;
            let is_first = here.place.is_first();
            waiting = Some(here);
            if is_first {
                sleep(wait).await;
            }
        }
    }
}

impl Queueing<'_> {
    /// A place behind those who wait already for a counter of this request: nobody is overtaken.
    fn behind_others(&self) -> Result<Option<Waiting>, Denial> {
        for (ask, line) in self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.waits())
        {
            let queues = self.limiter.queues();
            match queues.behind(&line.counter, line.reserved(&self.needs)) {
                Behind::Nobody => {}
                Behind::Others(place) => {
                    let waiting = self.waiting(place, ask);
                    self.in_time(&waiting)?;
                    return Ok(Some(waiting));
                }
                Behind::TooMany(lacking) => return Err(self.no_room(ask, lacking)),
            }
        }
        Ok(None)
    }

    /// Stays where it is, or takes a place; and how long to wait there.
    fn wait_at(
        &self,
        here: Option<Waiting>,
        denial: Denial,
    ) -> Result<(Waiting, Duration), Denial> {
        let line = &self.lines[denial.ask];
        // There may be units, and yet it may be too close to a window's edge.
        let told = match denial.why {
            Why::Exhausted { retry_after_ms, .. } if line.is_guarded() => {
                Duration::from_millis(retry_after_ms)
            }
            Why::Exhausted { .. }
            | Why::OverShare { .. }
            | Why::TooLarge { .. }
            | Why::NoAnswer
            | Why::Late => Duration::ZERO,
        };
        let here = match here {
            Some(here) => here,
            None => {
                let queues = self.limiter.queues();
                let Some(place) = queues.join(&line.counter, line.reserved(&self.needs)) else {
                    return Err(denial);
                };
                metrics::waits(&line.limit.name);
                self.waiting(place, denial.ask)
            }
        };
        let wait = self.in_time(&here)?;
        Ok((here, wait.max(told)))
    }

    fn waiting(&self, place: Place, ask: usize) -> Waiting {
        let longest = self.lines[ask].limit.longest_wait.unwrap_or_default();
        let by = self.until.min(self.began + longest);
        Waiting { place, ask, by }
    }

    async fn be_first(&self, waiting: &mut Waiting) -> Result<(), Denial> {
        let by = waiting.by;
        let first = timeout_at(by, waiting.place.first()).await;
        first.map_err(|_| self.no_room(waiting.ask, waiting.place.ahead()))
    }

    /// How long until there is room at this place, or the refusal where that is too late.
    fn in_time(&self, waiting: &Waiting) -> Result<Duration, Denial> {
        let slots = self.lines[waiting.ask].limit.kind == Kind::Concurrent;
        let (ask, ahead) = (waiting.ask, waiting.place.ahead());
        let wait = match self.comes_in(ask, ahead) {
            // Nobody can tell when.
            Some(_) if slots => SLOT_LOOK,
            Some((_, wait)) => wait.max(SHORTEST),
            None => SHORTEST,
        };
        if Instant::now() + wait > waiting.by {
            return Err(self.no_room(ask, ahead));
        }
        Ok(wait)
    }

    /// The refusal by a line behind those who lack so much.
    fn no_room(&self, ask: usize, ahead: u64) -> Denial {
        let line = &self.lines[ask];
        let (limit, wait) = self
            .comes_in(ask, ahead)
            .unwrap_or((line.limit.amount, SHORTEST));
        Denial {
            ask,
            counter: line.counter.clone(),
            why: Why::Exhausted {
                limit,
                retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1),
            },
        }
    }

    /// The limit in force, and how long until there is room for this request and those ahead of it.
    fn comes_in(&self, ask: usize, ahead: u64) -> Option<(u64, Duration)> {
        let line = &self.lines[ask];
        let units = line.reserved(&self.needs);
        let all = units.saturating_add(ahead);
        self.limiter.comes_in(&line.counter, all)
    }
}
