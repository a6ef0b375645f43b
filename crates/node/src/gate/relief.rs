//! How many places a node can use without its event loops falling behind.
//!
//! Places are bounded by memory; where processors are what is scarce, that is too many. A loop that is never on time
//! during a whole interval has a standing queue, as in CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012): the
//! least delay of an interval tells it from bursts, which are harmless. Then there are to be fewer requests than there
//! are; otherwise places come back little by little (additive increase, multiplicative decrease). A loop that is late
//! and yet often idle is held up by others on the machine, which fewer requests would not change. Nor would they where
//! more is refused than let in: then it is refusals that keep the loop busy.
//!
//! Pure: it is told how a loop fared, and says how many places there are.

use std::time::Duration;

/// The least delay of an interval that says that a loop does not keep up.
const TARGET: Duration = Duration::from_millis(20);
/// How much of an interval a loop is at work that has more to do than it can, in percent. The rest is for input.
const BUSY: u8 = 75;
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

/// How an event loop fared during an interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat {
    /// The least that it was late by.
    pub(crate) least_late: Duration,
    /// The part of the interval that it was not idle, in percent.
    pub(crate) busy: u8,
    /// Whether more requests were refused meanwhile than let in.
    pub(crate) is_refusing: bool,
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

    /// A loop fared so, while so many places were taken. How many there are to be from now on.
    pub(crate) fn told(&mut self, beat: Beat, taken: usize) -> usize {
        let (kept, of) = KEPT;
        let falls_behind = beat.least_late > TARGET && beat.busy >= BUSY;
        self.places = if falls_behind && beat.is_refusing {
            self.places
        } else if falls_behind {
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

    const fn beat(late_ms: u64, busy: u8) -> Beat {
        Beat {
            least_late: Duration::from_millis(late_ms),
            busy,
            is_refusing: false,
        }
    }

    const ON_TIME: Beat = beat(1, 100);
    const LATE: Beat = beat(40, 90);

    #[test]
    fn a_loop_that_falls_behind_gets_fewer_requests_at_once() {
        let mut relief = Relief::new(10_000, 2);
        assert_eq!(relief.told(ON_TIME, 900), 10_000);
        assert_eq!(relief.told(LATE, 800), 700);
        assert_eq!(relief.told(LATE, 700), 612);
        let fewest = (0..100).map(|_| relief.told(LATE, 600)).min();
        assert_eq!(fewest, Some(64));
    }

    #[test]
    fn places_come_back_within_seconds() {
        let mut relief = Relief::new(10_000, 2);
        for _ in 0..100 {
            relief.told(LATE, 100);
        }
        // Both loops speak ten times a second.
        let intervals = (1..).find(|_| {
            relief.told(ON_TIME, 0);
            relief.told(ON_TIME, 0) == 10_000
        });
        assert!(intervals.is_some_and(|it| it < 250), "{intervals:?}");
    }

    #[test]
    fn a_loop_that_others_hold_up_keeps_its_requests() {
        let mut relief = Relief::new(1000, 1);
        assert_eq!(relief.told(beat(40, 30), 900), 1000);
        let refusing = Beat {
            is_refusing: true,
            ..LATE
        };
        assert_eq!(relief.told(refusing, 900), 1000);
    }

    #[test]
    fn few_places_are_not_taken_away() {
        let mut relief = Relief::new(10, 4);
        assert_eq!(relief.told(LATE, 10), 10);
    }
}
