//! Requests that wait until a limit has room again: in the order in which they came to this node, holding nothing
//! meanwhile.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tollgate_quota::Counter;

/// Most requests that wait for one counter; further ones are refused.
const MOST_WAITING: usize = 1_000;

/// The queues of all counters that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// How many there are: to pass by when there is none.
    open: AtomicUsize,
    by_counter: Mutex<HashMap<Counter, Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Held by the first. It is fair: the next is who has waited longest.
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: usize,
    /// What they lack together.
    units: u64,
}

/// A place in a queue. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Place {
    queues: Arc<Queues>,
    counter: Counter,
    units: u64,
    /// What those ahead lacked when it was taken.
    ahead: u64,
    waits_for: Arc<tokio::sync::Mutex<()>>,
    turn: Option<OwnedMutexGuard<()>>,
}

/// Who waits for a counter already.
#[derive(Debug)]
pub(crate) enum Behind {
    Nobody,
    /// Others, and this is the place behind them.
    Others(Place),
    /// So many that there is no place behind them. They lack so many units.
    TooMany(u64),
}

impl Queues {
    /// A place behind those who wait for the counter, if anybody does.
    pub(crate) fn behind(self: &Arc<Self>, counter: &Counter, units: u64) -> Behind {
        if self.open.load(Ordering::Acquire) == 0 {
            return Behind::Nobody;
        }
        let lacking = self.by_counter.lock().get(counter).map(|it| it.units);
        let Some(lacking) = lacking else {
            return Behind::Nobody;
        };
        self.join(counter, units)
            .map_or(Behind::TooMany(lacking), Behind::Others)
    }

    /// The last place of the counter's queue; none where too many wait.
    pub(crate) fn join(self: &Arc<Self>, counter: &Counter, units: u64) -> Option<Place> {
        let mut by_counter = self.by_counter.lock();
        let queue = by_counter.entry(counter.clone()).or_default();
        if queue.waiting >= MOST_WAITING {
            return None;
        }
        let ahead = queue.units;
        queue.waiting += 1;
        queue.units = queue.units.saturating_add(units);
        let waits_for = Arc::clone(&queue.turn);
        self.open.store(by_counter.len(), Ordering::Release);
        Some(Place {
            queues: Arc::clone(self),
            counter: counter.clone(),
            units,
            ahead,
            turn: Arc::clone(&waits_for).try_lock_owned().ok(),
            waits_for,
        })
    }
}

impl Place {
    /// Whether nobody is ahead.
    pub(crate) fn is_first(&self) -> bool {
        self.turn.is_some()
    }

    /// What those ahead lack, as of the time when the place was taken.
    pub(crate) fn ahead(&self) -> u64 {
        if self.is_first() { 0 } else { self.ahead }
    }

    /// Waits to be the first.
    pub(crate) async fn first(&mut self) {
        if self.turn.is_none() {
            self.turn = Some(Arc::clone(&self.waits_for).lock_owned().await);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_counter = self.queues.by_counter.lock();
        if let Entry::Occupied(mut entry) = by_counter.entry(self.counter.clone()) {
            let queue = entry.get_mut();
            queue.waiting -= 1;
            queue.units = queue.units.saturating_sub(self.units);
            if queue.waiting == 0 {
                entry.remove();
            }
        }
        self.queues.open.store(by_counter.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    fn counter(name: &str) -> Counter {
        Counter::new(name, Kind::Fixed { window_ms: 60_000 }, "").unwrap()
    }

    #[tokio::test]
    async fn who_came_first_is_first() {
        let queues = Arc::new(Queues::default());
        let a = counter("a");
        let behind = |units| match queues.behind(&a, units) {
            Behind::Others(place) => place,
            other @ (Behind::Nobody | Behind::TooMany(_)) => panic!("{other:?}"),
        };
        assert!(matches!(queues.behind(&a, 1), Behind::Nobody));
        let mut first = queues.join(&a, 2).unwrap();
        let mut second = behind(3);
        let mut third = behind(4);
        assert!(matches!(queues.behind(&counter("b"), 1), Behind::Nobody));
        assert_eq!((first.ahead(), second.ahead(), third.ahead()), (0, 2, 5));
        first.first().await;
        let order = Mutex::new(Vec::new());
        tokio::join!(
            biased;
            async {
                second.first().await;
                order.lock().push("second");
                drop(second);
            },
            async {
                third.first().await;
                order.lock().push("third");
                drop(third);
            },
            async { drop(first) },
        );
        assert_eq!(*order.lock(), ["second", "third"]);
        assert!(queues.by_counter.lock().is_empty());
        assert!(matches!(queues.behind(&a, 1), Behind::Nobody));
    }

    #[tokio::test]
    async fn who_gives_up_keeps_nobody_waiting() {
        let queues = Arc::new(Queues::default());
        let a = counter("a");
        let first = queues.join(&a, 1).unwrap();
        let mut second = queues.join(&a, 1).unwrap();
        let mut third = queues.join(&a, 1).unwrap();
        {
            let waits = second.first();
            tokio::pin!(waits);
            assert!(futures_util::poll!(waits.as_mut()).is_pending());
        }
        drop(second);
        drop(first);
        third.first().await;
        assert_eq!(third.ahead(), 0);
    }

    #[test]
    fn a_queue_has_an_end() {
        let queues = Arc::new(Queues::default());
        let a = counter("a");
        let places: Vec<_> = (0..MOST_WAITING)
            .map(|_| queues.join(&a, 1).unwrap())
            .collect();
        assert!(queues.join(&a, 1).is_none());
        // Nobody passes a full queue by.
        let full = u64::try_from(MOST_WAITING).unwrap();
        assert!(matches!(queues.behind(&a, 1), Behind::TooMany(units) if units == full));
        assert!(queues.join(&counter("b"), 1).is_some());
        drop(places);
        assert!(queues.join(&a, 1).is_some());
    }
}
