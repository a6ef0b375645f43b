//! A store that was restored from an older copy.

use super::ledger::Books;
use super::*;

#[test]
fn a_frozen_owner_takes_closings_in_and_hands_out_nothing() {
    // As the copy has it: 30 granted to process 1, of which 10 were spent.
    let mut books = Books::new(Kind::Endless, 100);
    books.report(1, [0, 0, 0, 30]);
    books.report(1, [30, 0, 10, 0]);
    books.now = books.now.after(2_000);
    books.step(Event::Tick);
    books.take_over(100);
    books.owner.freeze();
    books.step(Event::Open(books.counter()));
    assert_eq!(books.books().free, 70);
    let told = books.report(3, [0, 0, 0, 20]);
    assert!(
        told.iter().all(|(_, account)| account.granted == 0),
        "{told:?}"
    );

    // Since the copy process 1 was granted more, and process 2 began: both are closed with all they used.
    for (dead, mark, settled) in [(1, 55, 50), (2, 20, 20)] {
        let word = books.word(dead, mark, settled);
        books.close(9, word.clone());
        assert!(books.close(9, word), "it is durable by the next message");
    }
    let state = books.books();
    assert_eq!((state.settled, state.suspense, state.free), (70, 5, 25));

    // Thawed, the rest can be had and no more.
    books.take_over(100);
    books.owner.restored(books.now);
    let told = books.report(3, [0, 0, 0, 25]);
    assert_eq!(told.last().unwrap().1.granted, 25);
    let told = books.report(4, [0, 0, 0, 1]);
    assert_eq!(told.last().unwrap().1.granted, 0);
}

#[test]
fn windows_that_had_begun_are_used_up_after_a_restore() {
    let mut desk = Desk::new(100);
    desk.owner.restored(NOW);
    let told = desk.report(1, account(0, 1));
    assert_eq!(Desk::last(&told, 1).granted, 0);
    assert_eq!((desk.writes.len(), desk.state().hwm), (0, 0));
    desk.now = window().end(T);
    let next = NodeAccount {
        window: Window::at(desk.now, T),
        ..account(0, 1)
    };
    let told = desk.report(1, next);
    assert_eq!(Desk::last(&told, 1).granted, 1);
}

#[test]
fn what_the_horizon_keeps_waits_until_all_before_the_restore_is_dead() {
    let kind = Kind::Sliding { window_ms: 4_000 };
    let spec = LimitSpec {
        kind,
        units: 8,
        burst: 8,
        revision: 1,
    };
    let limits = Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap());
    let mut desk = Desk {
        owner: Owner::new(EPOCH, Config::default(), limits),
        ..Desk::new(8)
    };
    desk.owner.restored(NOW);
    let word = NodeAccount {
        counter: Counter::new("limit", kind, "k").unwrap(),
        window: Window(0),
        ..account(0, 1)
    };
    let told = desk.report(1, word.clone());
    assert!(
        told.iter().all(|(_, account)| account.granted == 0),
        "{told:?}"
    );
    // As long as a horizon is written ahead, a lease, the skew of clocks, and the window.
    desk.now = NOW.after(3_000 + 2_000 + 500 + 4_000);
    let told = desk.report(1, word);
    assert_eq!(Desk::last(&told, 1).granted, 1);
}
