//! Units of windows to come that processes are promised.

use super::*;

/// An owner of a limit of 100, of which 60 per cent of each window are promised.
fn desk() -> Desk {
    let mut desk = Desk::new(100);
    let limits = Limits::clone(&limits(100, 1)).with_promises([(Arc::from("limit"), 60)]);
    desk.step(Event::Limits(Arc::new(limits)));
    desk
}

fn at(window: Window) -> OwnerTime {
    window.start(T).after(10_000)
}

fn later(by: u64) -> Window {
    Window(window().0 + by)
}

fn busy(window: Window) -> NodeAccount {
    NodeAccount {
        window,
        demand: 1,
        ..account(0, 1)
    }
}

/// A window begins, and both processes are there.
fn begin(desk: &mut Desk, window: Window) {
    desk.now = at(window);
    for node in [1, 2] {
        let heartbeat = NodeMessage {
            accounts: Vec::new(),
            ..desk.message(node, busy(window))
        };
        desk.step(Event::Node(heartbeat));
    }
}

/// Both processes speak of the counter, in that window.
fn both(desk: &mut Desk, window: Window) -> [OwnerAccount; 2] {
    begin(desk, window);
    let first = desk.report(1, busy(window));
    let second = desk.report(2, busy(window));
    let told = [first, second].concat();
    [1, 2].map(|node| Desk::last(&told, node).clone())
}

#[test]
fn a_part_of_the_next_windows_is_promised_durably_and_in_equal_parts() {
    let mut desk = desk();
    let [one, other] = both(&mut desk, window());
    assert_eq!((one.promises[0].units, other.promises[0].units), (30, 20));
    assert_eq!(
        (one.promises[0].from, other.promises[0].from),
        (later(1), later(1))
    );
    let [one, other] = both(&mut desk, later(1));
    let next = |told: &OwnerAccount| {
        let covering = told.promises.iter().find(|it| it.covers(later(3)));
        covering.map(|it| it.units)
    };
    assert_eq!((next(&one), next(&other)), (Some(30), Some(30)));
    let (stored, _) = desk.stored.unwrap();
    let told = one.promises.iter().map(|it| (Incarnation(1), *it));
    assert!(told.clone().count() > 0);
    for promise in told {
        assert!(stored.promises.iter().any(|it| it == promise), "{stored:?}");
    }
}

#[test]
fn owners_hand_out_what_is_not_promised_and_what_comes_back_of_it() {
    let mut desk = desk();
    for by in 0..3 {
        both(&mut desk, later(by));
    }
    let window = later(3);
    begin(&mut desk, window);
    // Somebody who is promised nothing wants everything.
    let greedy = |need, seen| NodeAccount {
        window,
        ..account(seen, need)
    };
    let told = desk.report(3, greedy(40, 0));
    assert_eq!(Desk::last(&told, 3).granted, 40);
    assert_eq!(desk.state().promised, 60);
    // The first process is asked for what it does not use.
    let asked = desk.report(3, greedy(1, 40));
    assert_eq!(Desk::last(&asked, 1).keep, Some(0), "60 are promised");
    let idle = NodeAccount {
        window,
        ..account(0, 0)
    };
    let back = |units| NodeAccount {
        avail: 0,
        promised_back: units,
        answered: u64::MAX,
        ..idle.clone()
    };
    let told = desk.report(1, back(30));
    assert_eq!(Desk::last(&told, 3).granted, 41);
    assert_eq!(desk.state().free, 29);
    // A total, however often it is said, and no more than was promised.
    desk.report(1, back(30));
    desk.report(1, back(90));
    assert_eq!(desk.state().free, 29);
}

#[test]
fn another_owner_keeps_what_was_promised_whoever_is_there() {
    let mut desk = desk();
    for by in 0..3 {
        both(&mut desk, later(by));
    }
    let mut next = self::desk();
    next.stored = desk.stored.map(|(record, modified)| {
        let epoch = Epoch(EPOCH.0 - 1);
        (Record { epoch, ..record }, modified)
    });
    next.now = at(later(3));
    let told = next.report(
        3,
        NodeAccount {
            window: later(3),
            ..account(0, 41)
        },
    );
    assert_eq!(Desk::last(&told, 3).granted, 0);
    let (stored, _) = next.stored.clone().unwrap();
    assert_eq!(stored.promises.units(later(3)), 60, "{stored:?}");
    // What a process was promised it has, and is told anew.
    let told = next.report(2, busy(later(3)));
    let promises = &Desk::last(&told, 2).promises;
    assert!(
        promises
            .iter()
            .any(|it| it.covers(later(3)) && it.units == 30)
    );
}

#[test]
fn after_a_restore_as_much_as_may_be_promised_counts_as_promised() {
    let mut desk = desk();
    desk.owner.restored(at(window()));
    for by in [1, 5, 11] {
        desk.now = at(later(by));
        let want = NodeAccount {
            window: later(by),
            ..account(0, 41)
        };
        let told = desk.report(1, want);
        let told = Desk::last(&told, 1);
        assert_eq!(told.granted, 0, "{by}: {told:?}");
        assert!(by == 11 || told.promises.is_empty(), "{by}: {told:?}");
    }
    desk.now = at(later(12));
    let want = NodeAccount {
        window: later(12),
        ..account(0, 41)
    };
    let told = desk.report(1, want);
    assert_eq!(Desk::last(&told, 1).granted, 41);
}
