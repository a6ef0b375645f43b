//! Counters where nothing is going on weigh little, and are as before when something is.

use super::*;

/// Lets time pass until nothing is timed before that moment.
fn pass(desk: &mut Desk, until: OwnerTime) {
    while let Some(at) = desk.owner.next_deadline().filter(|at| *at <= until) {
        desk.now = at;
        assert_eq!(desk.step(Event::Tick), []);
    }
    desk.now = until;
}

/// Two nodes have used 3 and 5 of what they got of 100, and gave the rest back.
fn used() -> (Desk, Vec<NodeAccount>) {
    let mut desk = Desk::new(100);
    let mut last = Vec::new();
    for (node, units) in [(1, 3), (2, 5)] {
        let told = desk.report(node, account(0, units));
        let granted = Desk::last(&told, node).granted;
        let report = NodeAccount {
            returned: granted - units,
            spent: units,
            ..account(granted, 0)
        };
        desk.report(node, report.clone());
        last.push(report);
    }
    (desk, last)
}

#[test]
fn what_rests_is_shown_and_goes_on_as_before() {
    let (mut desk, last) = used();
    let mut awake = desk.owner.clone();
    let before = desk.state();
    pass(&mut desk, NOW.after(12_000));
    assert_eq!((desk.owner.accounts.len(), desk.owner.idle.len()), (0, 1));
    assert_eq!(
        desk.owner.last_writes(desk.now),
        awake.last_writes(desk.now)
    );
    let after = desk.state();
    let of = |state: &CounterState| {
        let nodes = state
            .nodes
            .iter()
            .map(|it| (it.incarnation, it.granted, it.returned, it.spent));
        (
            state.limit,
            state.hwm,
            state.free,
            state.spent,
            nodes.collect::<Vec<_>>(),
        )
    };
    assert_eq!(of(&after), of(&before));
    // The same answer as from one that never rested, to a repeated report and to a need.
    for report in [
        last[0].clone(),
        NodeAccount {
            need: 2,
            waiters: 1,
            ..last[0].clone()
        },
    ] {
        let message = desk.message(1, report);
        let told = desk.owner.step(desk.now, Event::Node(message.clone()));
        assert_eq!(told, awake.step(desk.now, Event::Node(message)));
    }
    assert_eq!((desk.owner.accounts.len(), desk.owner.idle.len()), (1, 0));
}

#[test]
fn a_change_of_the_limit_reaches_what_rests() {
    let (mut desk, _) = used();
    pass(&mut desk, NOW.after(12_000));
    desk.step(Event::Limits(limits(100, 2)));
    assert_eq!(desk.owner.idle.len(), 1, "the same limit is no news");
    desk.step(Event::Limits(limits(6, 3)));
    assert_eq!(desk.state().limit, 6);
    assert_eq!(desk.stored.as_ref().unwrap().0.limit, 6);
    let told = desk.report(1, account(0, 1));
    assert_eq!(
        Desk::last(&told, 1).exhausted_above,
        Some(0),
        "8 of 6 are used"
    );
}

#[test]
fn what_rests_is_forgotten_with_its_window() {
    let (mut desk, _) = used();
    pass(&mut desk, window().end(T).after(6_000));
    assert_eq!((desk.owner.accounts.len(), desk.owner.idle.len()), (0, 0));
    assert_eq!(desk.owner.next_deadline(), None);
}
