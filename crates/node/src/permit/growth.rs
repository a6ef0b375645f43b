//! What is held for a stream goes up with its answer, where limits hold only what answers mostly use.
//!
//! Once three quarters of what is held are used, a quarter more is asked for, and nobody waits for that as long as what
//! is held suffices. What a limit has no room for is debt in the end, or ends the stream, as policy says.

use std::sync::Arc;

use tollgate_policy::table::{Overrun, Use};
use tollgate_quota::node::Ask;

use super::Needs;
use crate::limiter::{LONGEST_WAIT, Limiter, Reservation, Trial};
use crate::plan::Line;

/// So many output tokens are taken at once at least, where there are.
const STEP: u64 = 256;

/// Units that were taken beside what was held for a stream at first.
#[derive(Debug, Default)]
pub(super) struct Growth(Vec<Grown>);

/// The same of one limit.
#[derive(Debug, Default)]
struct Grown {
    /// The limit's place in the plan.
    place: usize,
    /// What was taken, and how many units each time.
    taken: Vec<(Reservation, u64)>,
    /// The sum of these.
    held: u64,
    /// What is being asked for.
    asked: Option<(Trial, u64)>,
    /// So often less was asked for, since there was not as much.
    halved: u32,
    /// Nothing more is asked for before so much is used.
    again_at: u64,
}

/// Why nothing more is held.
enum Answer {
    /// There were not so many units.
    No(u64),
    /// Nobody said anything.
    Nobody,
}

/// Whether a stream may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Course {
    /// It may.
    On,
    /// What is held is used up, and whether there is more is being asked for.
    Waits,
    /// The limit of that name has no room for more, and ends it.
    Ends(Arc<str>),
}

impl Growth {
    /// Has the limits hold enough for what is used so far, but for those at the `unbounded` places, which go without.
    pub(super) fn keep_up(
        &mut self,
        limiter: &Arc<Limiter>,
        (lines, unbounded): (&[Line], &[usize]),
        needs: &Needs,
        used: &Use,
    ) -> Course {
        let mut course = Course::On;
        let lines = lines.iter().enumerate();
        for (place, line) in lines.filter(|(_, line)| line.can_be_outgrown()) {
            if unbounded.contains(&place) {
                continue;
            }
            match self.of(place).keep_up(limiter, line, needs, used) {
                Course::On => {}
                Course::Waits => course = Course::Waits,
                ends @ Course::Ends(_) => return ends,
            }
        }
        course
    }

    fn of(&mut self, place: usize) -> &mut Grown {
        let known = self.0.iter().position(|it| it.place == place);
        let at = known.unwrap_or_else(|| {
            self.0.push(Grown {
                place,
                ..Grown::default()
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// Waits for the answers that are under way.
    pub(super) async fn answered(&mut self) {
        for (trial, _) in self.0.iter_mut().filter_map(|it| it.asked.as_mut()) {
            trial.answered().await;
        }
    }

    /// Settles what was taken of the limit at that place, of which `first` units were held at first and `actual` are
    /// charged in all. Answers how many of these the first ones are charged.
    pub(super) fn settle(&mut self, place: usize, first: u64, actual: u64) -> u64 {
        let known = self.0.iter_mut().find(|it| it.place == place);
        known.map_or(actual, |grown| grown.settle(first, actual))
    }
}

impl Grown {
    fn keep_up(
        &mut self,
        limiter: &Arc<Limiter>,
        line: &Line,
        needs: &Needs,
        used: &Use,
    ) -> Course {
        let (first, most) = (line.reserved(needs), line.units(&needs.worst));
        let used = line.units(used);
        loop {
            let answer = self.take_in();
            let held = first + self.held;
            if used < held - held / 4 || held >= most {
                return Course::On;
            }
            let ends = line.limit.overrun == Overrun::Stop && used >= held;
            // So much at least, or it is used up at once.
            let least = (used.saturating_sub(held) + 1).min(most - held);
            match answer {
                Some(Answer::No(units)) if units > least => self.halved += 1,
                Some(Answer::No(_)) if ends => return Course::Ends(Arc::clone(&line.limit.name)),
                Some(Answer::Nobody) if ends && !line.is_open() => {
                    return Course::Ends(Arc::clone(&line.limit.name));
                }
                Some(Answer::Nobody) => return Course::On,
                Some(Answer::No(_)) | None => {}
            }
            if self.asked.is_some() {
                return if ends { Course::Waits } else { Course::On };
            }
            if !ends && used < self.again_at {
                return Course::On;
            }
            self.again_at = used + (held / 16).max(1);
            let usual = (held / 4).max(step(needs, most));
            let usual = usual.checked_shr(self.halved).unwrap_or(0);
            let units = usual.max(least).min(most - held);
            let counter = line.counter.clone();
            let trial = limiter.try_out(Ask { counter, units }, LONGEST_WAIT);
            self.asked = Some((trial, units));
        }
    }

    /// Takes in what has come of the last question. None where it was a yes, or is under way.
    fn take_in(&mut self) -> Option<Answer> {
        let (mut trial, units) = self.asked.take()?;
        trial.look();
        match trial {
            Trial::Held(reservation) => {
                self.held += units;
                self.taken.push((reservation, units));
                None
            }
            Trial::Waiting(_) => {
                self.asked = Some((trial, units));
                None
            }
            Trial::Refused => Some(Answer::No(units)),
            Trial::Unknown => Some(Answer::Nobody),
        }
    }

    fn settle(&mut self, first: u64, actual: u64) -> u64 {
        self.asked = None;
        let Some(last) = self.taken.len().checked_sub(1) else {
            return actual;
        };
        let mut rest = actual.saturating_sub(first);
        for (at, (reservation, units)) in self.taken.iter_mut().enumerate() {
            // What was used beyond all is debt where the last was taken.
            let part = if at == last { rest } else { rest.min(*units) };
            reservation.settle(&[part]);
            rest -= part;
        }
        actual.min(first)
    }
}

/// What [`STEP`] output tokens come to, of a limit of which the whole request may use `most` units.
fn step(needs: &Needs, most: u64) -> u64 {
    let part = u128::from(most) * u128::from(STEP) / u128::from(needs.worst.output.max(STEP));
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
