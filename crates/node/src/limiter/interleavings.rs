//! Requests that meet at the limiter, in every order in which threads can take its lock (`loom`): nothing is admitted
//! that is not there, nobody sleeps through the coming of units, and what a request held comes back once. The last tests
//! break the rules of the shell, and are to fail.

use loom::thread::{Builder, JoinHandle};
use tollgate_quota::node::Scope;
use tollgate_quota::{Epoch, Generation, Kind, NodeAccount, OwnerAccount, OwnerTime, Window};

use super::*;

/// In words; what the machine needs in a build without optimisation, and room to spare.
const STACK: usize = 1 << 17;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let run = Arc::new(run);
    loom::model(move || {
        let run = Arc::clone(&run);
        thread(move || run()).join().unwrap();
    });
}

fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(STACK).spawn(run).unwrap()
}

fn counter(name: &str) -> Counter {
    let kind = Kind::Fixed {
        window_ms: 3_600_000,
    };
    Counter::new(name, kind, "").unwrap()
}

/// The owner's word: so much is granted of each, and there is no more where it is `all`.
fn granted(names: &[&str], granted: u64, all: bool) -> OwnerMessage {
    let account = |name: &&str| OwnerAccount {
        counter: counter(name),
        window: Window(1),
        generation: Generation::FIRST,
        granted,
        rem_ms: 1 << 50,
        version: 1,
        exhausted_above: all.then_some(0),
        keep: None,
        limit: 100,
        remaining: 100,
        share: None,
        coming: Vec::new(),
        promises: Vec::new(),
    };
    OwnerMessage {
        epoch: Epoch(1),
        incarnation: Incarnation(7),
        echo_t_node: NodeTime(0),
        owner_now: OwnerTime(1),
        accounts: names.iter().map(account).collect(),
        closed: Vec::new(),
    }
}

fn limiter() -> Arc<Limiter> {
    Arc::new(Limiter::new("n", 7, None))
}

/// One unit of each.
fn reserve(limiter: &Arc<Limiter>, names: &[&str]) -> Option<Reservation> {
    let counters: Vec<_> = names.iter().map(|name| counter(name)).collect();
    let asks: Vec<_> = counters
        .iter()
        .map(|counter| Ask { counter, units: 1 })
        .collect();
    let (reserved, outcome, receiver) = limiter.begin(&asks, LONGEST_WAIT);
    let outcome = match receiver {
        None => outcome,
        Some(receiver) => {
            let mut waiter = limiter.waiter(reserved, asks.len(), receiver);
            let outcome = loom::future::block_on(&mut waiter.receiver);
            waiter.resolved = true;
            outcome.unwrap()
        }
    };
    matches!(outcome, Outcome::Admitted(_)).then(|| Reservation {
        limiter: Arc::clone(limiter),
        reserved,
        asks: asks.len(),
        settled: false,
    })
}

/// Asks for one unit without waiting for it.
fn begin(limiter: &Arc<Limiter>, name: &str) -> Waiter {
    let counter = counter(name);
    let ask = Ask {
        counter: &counter,
        units: 1,
    };
    let (reserved, _, receiver) = limiter.begin(&[ask], LONGEST_WAIT);
    limiter.waiter(reserved, 1, receiver.unwrap())
}

/// What the limiter would say of a counter.
fn said(limiter: &Limiter, name: &str) -> NodeAccount {
    let mut state = limiter.state.lock();
    state.machine.connected(now());
    let message = state.machine.poll_message(now(), Scope::All).unwrap();
    let mut accounts = message.accounts.into_iter();
    accounts.find(|it| it.counter == counter(name)).unwrap()
}

#[test]
fn of_several_limits_all_is_taken_or_nothing() {
    model(|| {
        let limiter = limiter();
        limiter.receive(&granted(&["a", "b"], 1, true));
        let racers: Vec<_> = [["a", "b"], ["b", "a"]]
            .into_iter()
            .map(|names| {
                let limiter = Arc::clone(&limiter);
                thread(move || reserve(&limiter, &names))
            })
            .collect();
        let held: Vec<_> = racers
            .into_iter()
            .filter_map(|racer| racer.join().unwrap())
            .collect();
        // One of each is there, and who came too late has left nothing taken.
        assert_eq!(held.len(), 1);
        assert_eq!(
            (said(&limiter, "a").avail, said(&limiter, "b").avail),
            (0, 0)
        );
        drop(held);
        assert_eq!(
            (said(&limiter, "a").avail, said(&limiter, "b").avail),
            (1, 1)
        );
    });
}

#[test]
fn nobody_sleeps_through_the_coming_of_units() {
    model(|| {
        let limiter = limiter();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                // What the first one gives back is the second one's.
                thread(move || reserve(&limiter, &["a"]).unwrap().settle(&[0]))
            })
            .collect();
        limiter.receive(&granted(&["a"], 1, false));
        waiting.into_iter().for_each(|it| it.join().unwrap());
        let said = said(&limiter, "a");
        assert_eq!((said.spent, said.avail), (0, 1));
    });
}

#[test]
fn who_leaves_leaves_nothing_taken() {
    model(|| {
        let limiter = limiter();
        let waiter = begin(&limiter, "a");
        let leaves = thread(move || drop(waiter));
        limiter.receive(&granted(&["a"], 1, false));
        leaves.join().unwrap();
        assert_eq!(said(&limiter, "a").avail, 1);
        assert!(limiter.state.lock().waiting.is_empty());
    });
}

#[test]
fn a_trial_that_is_left_counts_once() {
    model(|| {
        let limiter = limiter();
        let (counter, limit) = (counter("a"), Arc::from("a"));
        let ask = Ask {
            counter: &counter,
            units: 2,
        };
        let trial = limiter.try_out(ask, LONGEST_WAIT);
        let leaves = thread(move || trial.settle(1, &limit));
        limiter.receive(&granted(&["a"], 2, false));
        leaves.join().unwrap();
        let said = said(&limiter, "a");
        assert_eq!((said.spent, said.avail), (1, 1));
        assert!(limiter.state.lock().late.is_empty());
    });
}

#[test]
fn what_an_earlier_number_held_does_not_end_under_a_later_one() {
    model(|| {
        let limiter = limiter();
        limiter.receive(&granted(&["a"], 1, false));
        let mut held = reserve(&limiter, &["a"]).unwrap();
        let ends = thread(move || held.settle(&[1]));
        limiter.begin_anew(7);
        limiter.receive(&granted(&["a"], 1, false));
        ends.join().unwrap();
        let said = said(&limiter, "a");
        assert_eq!((said.spent, said.avail), (0, 1));
    });
}

#[test]
#[should_panic(expected = "left: 0")]
fn it_shows_where_who_leaves_does_not_say_so() {
    model(|| {
        let limiter = limiter();
        let waiter = begin(&limiter, "a");
        let leaves = thread(move || std::mem::forget(waiter));
        limiter.receive(&granted(&["a"], 1, false));
        leaves.join().unwrap();
        assert_eq!(said(&limiter, "a").avail, 1);
    });
}

#[test]
#[should_panic(expected = "nobody is told")]
fn it_shows_where_units_come_and_nobody_is_told() {
    model(|| {
        let limiter = limiter();
        let mut waiter = begin(&limiter, "a");
        let message = granted(&["a"], 1, false);
        let comes = {
            let limiter = Arc::clone(&limiter);
            thread(move || limiter.state.lock().machine.receive(now(), &message))
        };
        comes.join().unwrap();
        // Whoever waited for that would wait for ever, and loom ends where all do.
        waiter.resolved = true;
        assert!(waiter.receiver.try_recv().is_ok(), "nobody is told");
    });
}
