//! What operators do: raise a limit for a while, forgive what was spent.

use super::ledger::Books;
use super::*;

const HOUR_MS: u64 = 3_600_000;

fn raised(units: u64, until: OwnerTime) -> Event {
    Event::Raised {
        counter: counter(),
        raise: Some(Raise { units, until }),
    }
}

/// What a node says that has seen and spent so much.
fn spent(seen: u64, spent: u64, need: u64) -> NodeAccount {
    NodeAccount {
        spent,
        avail: seen.cast_signed() - spent.cast_signed(),
        ..account(seen, need)
    }
}

#[test]
fn a_raise_admits_more_until_it_ends_and_policy_holds_again() {
    let mut desk = Desk::new(10);
    let told = desk.report(1, account(0, 10));
    assert_eq!(Desk::last(&told, 1).granted, 10);
    desk.report(1, spent(10, 10, 0));
    let told = desk.report(2, account(0, 1));
    assert_eq!(Desk::last(&told, 2).exhausted_above, Some(0));

    desk.step(raised(15, NOW.after(5_000)));
    let told = desk.report(2, account(0, 5));
    assert_eq!(Desk::last(&told, 2).granted, 5);
    assert_eq!((desk.state().limit, desk.state().hwm), (15, 15));
    assert_eq!(
        desk.stored.as_ref().unwrap().0.limit,
        10,
        "policy's stays written"
    );

    // It ends by itself: the owner asks to be woken, and calls back what is idle.
    let end = desk.owner.next_deadline().unwrap();
    assert!(end <= NOW.after(5_000));
    desk.now = NOW.after(5_000);
    let told = desk.step(Event::Tick);
    assert_eq!(Desk::last(&told, 1).keep, Some(0));
    assert_eq!((desk.state().limit, desk.state().raise), (10, None));
    let told = desk.report(2, account(5, 1));
    assert_eq!(Desk::last(&told, 2).granted, 5);
}

#[test]
fn a_new_owner_that_is_told_of_a_raise_hands_out_no_more_than_it() {
    let mut desk = Desk::new(10);
    desk.step(raised(15, NOW.after(HOUR_MS)));
    desk.report(1, account(0, 12));
    assert_eq!(desk.stored.as_ref().unwrap().0.hwm, 15);
    let epoch = Epoch(EPOCH.0 + 1);
    desk.owner = Owner::new(epoch, Config::default(), limits(10, 1));
    desk.step(raised(20, NOW.after(HOUR_MS)));
    let told = desk.report(2, account(0, 5));
    assert_eq!(Desk::last(&told, 2).granted, 5);
    let told = desk.report(3, account(0, 1));
    assert_eq!(Desk::last(&told, 3).granted, 0);
    assert_eq!(desk.stored.as_ref().unwrap().0.hwm, 20);
}

#[test]
fn a_reset_of_a_window_forgives_what_was_spent_and_not_what_is_out() {
    let mut desk = Desk::new(10);
    desk.report(1, account(0, 6));
    desk.report(2, account(0, 4));
    desk.report(1, spent(6, 5, 0));
    assert_eq!((desk.state().spent, desk.state().free), (5, 0));

    desk.step(Event::Reset(counter()));
    assert_eq!(
        desk.stored.as_ref().unwrap().0.hwm,
        5,
        "what is out stays charged"
    );
    assert_eq!((desk.state().spent, desk.state().pending), (0, false));
    let told = desk.report(3, account(0, 5));
    assert_eq!(Desk::last(&told, 3).granted, 5);

    // Repeating it, and repeated reports, forgive nothing twice.
    desk.report(1, spent(6, 5, 0));
    desk.step(Event::Reset(counter()));
    assert_eq!(desk.stored.as_ref().unwrap().0.hwm, 10);
    desk.report(3, spent(5, 5, 0));
    desk.step(Event::Reset(counter()));
    assert_eq!(desk.stored.as_ref().unwrap().0.hwm, 5);
    let told = desk.report(4, account(0, 6));
    assert_eq!(Desk::last(&told, 4).granted, 0, "five are still out");
}

#[test]
fn what_is_kept_by_the_horizon_is_forgiven_at_once() {
    for kind in [
        Kind::Fixed { window_ms: 4_000 },
        Kind::Sliding { window_ms: 4_000 },
        Kind::Bucket { window_ms: 4_000 },
    ] {
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
        let word = |told: Option<&OwnerAccount>, spent: u64, need: u64| NodeAccount {
            counter: Counter::new("limit", kind, "k").unwrap(),
            window: told.map_or(Window(0), |told| told.window),
            generation: told.map_or(Generation::FIRST, |told| told.generation),
            spent,
            ..account(told.map_or(0, |told| told.granted), need)
        };
        let told = desk.report(1, word(None, 0, 8));
        let told = Desk::last(&told, 1).clone();
        desk.report(1, word(Some(&told), 6, 0));
        assert_eq!((desk.state().spent, desk.state().free), (6, 0), "{kind}");
        desk.step(Event::Reset(told.counter.clone()));
        assert_eq!((desk.state().spent, desk.state().free), (0, 6), "{kind}");
        desk.step(Event::Reset(told.counter.clone()));
        assert_eq!(desk.state().free, 6, "{kind}: two are still out");
    }
}

#[test]
fn what_an_earlier_owner_handed_out_stays_charged_over_a_reset() {
    let mut desk = Desk::new(10);
    desk.report(1, account(0, 6));
    desk.report(1, spent(6, 6, 0));
    let epoch = Epoch(EPOCH.0 + 1);
    desk.owner = Owner::new(epoch, Config::default(), limits(10, 1));
    desk.report(1, spent(6, 6, 0));
    desk.step(Event::Reset(counter()));
    assert_eq!(
        desk.stored.as_ref().unwrap().0.hwm,
        10,
        "all that was debited may be out"
    );
    assert!(!desk.state().pending);
}

#[test]
fn a_reset_of_a_budget_is_durable_and_its_totals_go_on() {
    let mut books = Books::new(Kind::Endless, 100);
    books.report(1, [0, 0, 0, 60]);
    books.report(1, [60, 0, 50, 0]);
    books.step(Event::Reset(books.counter()));
    assert_eq!((books.row(1).settled, books.row(1).forgiven), (50, 50));
    let state = books.books();
    assert_eq!((state.settled, state.outstanding, state.free), (0, 10, 90));

    // A late or repeated report of what was forgiven counts for nothing, a further one does.
    books.report(1, [60, 0, 50, 0]);
    assert_eq!(books.books().settled, 0);
    books.report(1, [60, 0, 58, 0]);
    assert_eq!((books.books().settled, books.books().outstanding), (8, 2));

    // The next owner reads it with the rows.
    books.take_over(100);
    books.report(2, [0, 0, 0, 90]);
    assert_eq!(books.row(2).granted, 90);
    books.report(1, [60, 0, 60, 0]);
    let state = books.books();
    assert_eq!((state.settled, state.outstanding, state.free), (10, 90, 0));
}

#[test]
fn a_reset_before_the_rows_are_read_waits_for_them() {
    let mut books = Books::new(Kind::Endless, 100);
    books.report(1, [0, 0, 0, 100]);
    books.report(1, [100, 0, 100, 0]);
    books.now = books.now.after(2_000);
    books.step(Event::Tick);
    books.take_over(100);
    books.step(Event::Reset(books.counter()));
    assert_eq!(books.row(1).forgiven, 100);
    assert_eq!(books.books().free, 100);
}
