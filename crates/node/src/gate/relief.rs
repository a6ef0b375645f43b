//! How many places a node can use without its event loops falling behind.
//!
//! Places are bounded by memory; where processors are what is scarce, that is too many. A loop that is never on time
//! during a whole interval has a standing queue, as in CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012): the
//! least delay of an interval tells it from bursts, which are harmless. Then there are to be fewer requests than there
//! are; otherwise places come back little by little (additive increase, multiplicative decrease).
//!
//! Pure: it is told the delay, and says how many places there are.

use std::time::Duration;

/// The least delay of an interval that says that a loop does not keep up.
const TARGET: Duration = Duration::from_millis(10);
/// Of the requests that are there, so many parts are to stay.
const KEPT: (usize, usize) = (7, 8);
/// The part of the places that an interval on time gives back.
const RETURNED: usize = 32;
/// Fewest places for each loop: so few requests delay each other little, and a delay has other causes.
const FEWEST: usize = 32;

/// The places that may be used.
#[derive(Debug)]
pub(crate) struct Relief {
    places: usize,
    fewest: usize,
    most: usize,
    loops: usize,
}

// === impl Relief ===

impl Relief {
    /// All of `most` places, on so many event loops.
    pub(crate) fn new(most: usize, loops: usize) -> Self {
        let loops = loops.max(1);
        Self {
            places: most,
            fewest: (FEWEST * loops).min(most),
            most,
            loops,
        }
    }

    /// A loop was late by so much at least during a whole interval, while so many places were taken. How many there
    /// are to be from now on.
    pub(crate) fn late(&mut self, least: Duration, taken: usize) -> usize {
        let (kept, of) = KEPT;
        self.places = if least > TARGET {
            (self.places.min(taken) * kept / of).max(self.fewest)
        } else {
            // Each loop says so: together they give back one part.
            let returned = (self.places / RETURNED / self.loops).max(1);
            (self.places + returned).min(self.most)
        };
        self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_TIME: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_millis(40);

    #[test]
    fn a_loop_that_falls_behind_gets_fewer_requests_at_once() {
        let mut relief = Relief::new(10_000, 2);
        assert_eq!(relief.late(ON_TIME, 900), 10_000);
        assert_eq!(relief.late(LATE, 800), 700);
        assert_eq!(relief.late(LATE, 700), 612);
        let fewest = (0..100).map(|_| relief.late(LATE, 600)).min();
        assert_eq!(fewest, Some(64));
    }

    #[test]
    fn places_come_back_within_seconds() {
        let mut relief = Relief::new(10_000, 2);
        for _ in 0..100 {
            relief.late(LATE, 100);
        }
        // Both loops speak ten times a second.
        let intervals = (1..).find(|_| {
            relief.late(ON_TIME, 0);
            relief.late(ON_TIME, 0) == 10_000
        });
        assert!(intervals.is_some_and(|it| it < 250), "{intervals:?}");
    }

    #[test]
    fn few_places_are_not_taken_away() {
        let mut relief = Relief::new(10, 4);
        assert_eq!(relief.late(LATE, 10), 10);
    }
}
