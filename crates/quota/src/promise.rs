//! Standing shares: units of windows to come that processes are promised ahead.
//!
//! A process that is cut off from its owner is given nothing, and with the end of a window all that it has is void. So
//! where policy says so, a part of each window is promised to processes for windows to come, durably and before they
//! are told. They go on with that, by their own clocks, whoever reaches whom. Owners hand out what is not promised. A
//! promise is kept to its end: neither silence nor death takes anything back, and only windows of which nothing can
//! have been handed out are promised (the demarcation protocol, with bounds that are set ahead).

use crate::{Incarnation, Window};

/// Most promises of one counter at a time.
const MOST_PROMISES: usize = 256;

/// The fewest windows that are promised at a time: renewed at half of it, the next one always is promised.
pub(crate) const FEWEST_AHEAD: u64 = 2;

/// So many units of each window from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Units of each of them.
    pub units: u64,
    /// The first one.
    pub from: Window,
    /// The last one.
    pub through: Window,
}

impl Promise {
    /// Whether the window is one of them.
    #[must_use]
    pub fn covers(&self, window: Window) -> bool {
        (self.from..=self.through).contains(&window)
    }
}

/// All that is promised of one counter, and to whom. No two promises to one process cover the same window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises(Vec<(Incarnation, Promise)>);

impl FromIterator<(Incarnation, Promise)> for Promises {
    fn from_iter<I: IntoIterator<Item = (Incarnation, Promise)>>(promises: I) -> Self {
        Self(promises.into_iter().collect())
    }
}

/// What should be promised.
#[derive(Debug)]
pub(crate) struct Aim<'a> {
    /// The latest window of which anything may have been handed out.
    pub(crate) window: Window,
    /// How many windows ahead.
    pub(crate) ahead: u64,
    /// Units of each window, of all processes together.
    pub(crate) units: u64,
    /// To whom, in equal parts.
    pub(crate) members: &'a [Incarnation],
    /// So many units of each window up to that one may be promised of which nothing is known.
    pub(crate) unknown: (u64, Window),
}

impl Promises {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (Incarnation, Promise)> + '_ {
        self.0.iter().copied()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Units of that window that are promised to anybody.
    #[must_use]
    pub fn units(&self, window: Window) -> u64 {
        let covering = self.0.iter().filter(|(_, it)| it.covers(window));
        covering.fold(0, |sum: u64, (_, it)| sum.saturating_add(it.units))
    }

    /// The latest window that anything is promised of.
    #[must_use]
    pub fn last(&self) -> Option<Window> {
        self.0.iter().map(|(_, it)| it.through).max()
    }

    /// What that process is promised of windows from that one on.
    pub(crate) fn of(&self, process: Incarnation, since: Window) -> Vec<Promise> {
        let own = self.0.iter().filter(|(of, _)| *of == process);
        let own = own.map(|(_, it)| *it);
        own.filter(|it| it.through >= since).collect()
    }

    /// Those that are of windows from that one on.
    pub(crate) fn since(&self, window: Window) -> Self {
        self.iter().filter(|(_, it)| it.through >= window).collect()
    }

    /// What is to be promised now, where that is more than is. Each member is promised an equal part of windows whose
    /// units are not promised yet; one that is new leaves room for another. How many windows grows with the time that it
    /// has had that part, up to [`Aim::ahead`], so that those who come a little later need not wait long; at half of
    /// that it is renewed.
    pub(crate) fn renewed(&self, aim: &Aim<'_>) -> Option<Self> {
        let count = u64::try_from(aim.members.len()).unwrap_or(u64::MAX);
        let each = aim.units.checked_div(count).filter(|units| *units > 0)?;
        let mut next = self.since(aim.window);
        let mut any = false;
        for process in aim.members {
            any |= next.promise(*process, (each, (aim.units / (count + 1)).max(1)), aim);
        }
        any.then_some(next)
    }

    /// Promises more windows to a process, if that is due and there is something left of them.
    fn promise(&mut self, process: Incarnation, (each, new): (u64, u64), aim: &Aim<'_>) -> bool {
        let own = self.0.iter().filter(|(of, _)| *of == process);
        let last = own.map(|(_, it)| *it).max_by_key(|it| it.through);
        let age = last.map_or(0, |it| aim.window.0.saturating_sub(it.from.0));
        let ahead = age
            .saturating_mul(2)
            .clamp(FEWEST_AHEAD, aim.ahead.max(FEWEST_AHEAD));
        if last.is_some_and(|it| it.through.0 > aim.window.0 + ahead / 2) {
            return false;
        }
        let from = last.map_or(aim.window, |it| it.through.max(aim.window));
        let whole = Promise {
            units: last.map_or(new, |_| each),
            from: Window(from.0 + 1),
            through: Window(aim.window.0 + ahead),
        };
        let Some(more) = self.fit(whole, aim) else {
            return false;
        };
        let same = |(of, it): &&mut (Incarnation, Promise)| {
            *of == process && it.units == more.units && it.through.0 + 1 == more.from.0
        };
        if let Some((_, it)) = self.0.iter_mut().find(same) {
            it.through = more.through;
        } else if self.0.len() < MOST_PROMISES {
            self.0.push((process, more));
        } else {
            return false;
        }
        true
    }

    /// As much of a promise as there is room for: fewer units, as long as they are half of it, or else fewer windows.
    fn fit(&self, whole: Promise, aim: &Aim<'_>) -> Option<Promise> {
        let left = |window| {
            let unknown = if window <= aim.unknown.1 {
                aim.unknown.0
            } else {
                0
            };
            aim.units.saturating_sub(self.units(window).max(unknown))
        };
        let windows = whole.from.0..=whole.through.0;
        let least = windows.clone().map(|it| left(Window(it))).min()?;
        if least >= whole.units.div_ceil(2) {
            let units = least.min(whole.units);
            return Some(Promise { units, ..whole });
        }
        let late = windows.rev().map(Window);
        let from = late.take_while(|it| left(*it) >= whole.units).last()?;
        Some(Promise { from, ..whole })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aim(window: u64, units: u64, members: &[Incarnation]) -> Aim<'_> {
        Aim {
            window: Window(window),
            ahead: 10,
            units,
            members,
            unknown: (0, Window(0)),
        }
    }

    #[test]
    fn who_comes_later_has_its_part_soon() {
        let (one, both) = ([Incarnation(1)], [Incarnation(1), Incarnation(2)]);
        let first = Promises::default().renewed(&aim(7, 40, &one)).unwrap();
        assert_eq!(first.units(Window(7)), 0, "its units may be out");
        assert_eq!(
            (first.units(Window(8)), first.last()),
            (20, Some(Window(9)))
        );
        let second = first.renewed(&aim(7, 40, &both)).unwrap();
        assert_eq!(second.units(Window(8)), 20 + 13);
        let third = second.renewed(&aim(8, 40, &both)).unwrap();
        assert_eq!(third.units(Window(9)), 20 + 13, "what is promised is kept");
        for process in both {
            let promises = third.of(process, Window(10));
            assert_eq!(promises[0].units, 20, "{third:?}");
        }
    }

    #[test]
    fn promises_reach_further_the_longer_nobody_comes() {
        let members = [Incarnation(1), Incarnation(2)];
        let mut promises = Promises::default();
        let mut writes = 0;
        for window in 100..200 {
            if let Some(renewed) = promises.renewed(&aim(window, 9, &members)) {
                promises = renewed;
                writes += 1;
            }
            let ahead = promises.last().unwrap().0 - window;
            assert!(
                ahead >= if window < 110 { 1 } else { 5 },
                "{ahead} at {window}"
            );
        }
        assert_eq!(promises.iter().count(), 2);
        assert!(writes < 30, "{writes} writes in 100 windows");
    }

    #[test]
    fn the_dead_keep_their_part_to_the_end_of_what_they_were_promised() {
        let (old, new) = ([Incarnation(1)], [Incarnation(2)]);
        let dead: Promises = old
            .into_iter()
            .map(|it| {
                let (from, through) = (Window(1), Window(12));
                (
                    it,
                    Promise {
                        units: 40,
                        from,
                        through,
                    },
                )
            })
            .collect();
        assert_eq!(dead.renewed(&aim(5, 40, &new)), None);
        let next = dead.renewed(&aim(12, 40, &new)).unwrap();
        assert_eq!((next.units(Window(12)), next.units(Window(13))), (40, 20));
        // Half of it is better than nothing, a third is not.
        let half = dead.renewed(&aim(5, 90, &new)).unwrap();
        assert_eq!(half.units(Window(6)), 85);
        assert_eq!(dead.renewed(&aim(5, 50, &new)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whoever comes and goes, and whatever becomes of the limit: nothing that is promised is taken back, nothing
        /// of a window that has begun is promised, and nothing is promised of what is not left.
        #[test]
        fn promises_stand(
            steps in prop::collection::vec((0..3u64, 0..100u64, 0..63u8), 1..60),
        ) {
            let mut promises = Promises::default();
            let mut window = 10;
            for (later, units, present) in steps {
                window += later;
                let members: Vec<_> = (0..6).filter(|it| present & (1 << it) != 0).map(Incarnation).collect();
                let Some(next) = promises.renewed(&aim(window, units, &members)) else {
                    continue;
                };
                for at in (0..window + 30).map(Window) {
                    let (before, after) = (promises.units(at), next.units(at));
                    if at.0 < window {
                        continue;
                    }
                    prop_assert!(after >= before, "taken back: {promises:?} {next:?}");
                    prop_assert!(at.0 > window || after == before, "of a window that has begun: {next:?}");
                    prop_assert!(after <= before.max(units), "{after} of {units} in {at:?}: {next:?}");
                    for of in (0..6).map(Incarnation) {
                        let mine = |all: &Promises| -> Vec<u64> {
                            all.iter().filter(|(it, p)| *it == of && p.covers(at)).map(|(_, p)| p.units).collect()
                        };
                        prop_assert!(mine(&next).len() <= 1, "twice: {next:?}");
                        prop_assert!(mine(&promises).is_empty() || mine(&promises) == mine(&next));
                    }
                }
                promises = next;
            }
        }
    }
}
