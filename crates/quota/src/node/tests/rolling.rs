//! Limits without windows at a node: leases, generations, and what is spent before the end.

use super::*;
use crate::Coming;

/// A sliding limit of that name.
fn sliding(name: &str) -> Counter {
    Counter::new(name, Kind::Sliding { window_ms: 10_000 }, "k").unwrap()
}

fn want(units: u64) -> Ask {
    Ask {
        counter: sliding("a"),
        units,
    }
}

/// The owner's word that `granted` units are the node's for 2 s.
fn lease(granted: u64, generation: u32) -> OwnerAccount {
    OwnerAccount {
        counter: sliding("a"),
        window: Window(0),
        generation: Generation(generation),
        rem_ms: 2_000,
        limit: 10,
        remaining: 10,
        ..grant("a", granted)
    }
}

fn avail(node: &Node, now: NodeTime) -> i64 {
    node.view(now, &sliding("a")).unwrap().avail
}

fn said(node: &mut Node, now: NodeTime) -> NodeAccount {
    let slot = node.book.find(&sliding("a")).unwrap();
    node.report(now, slot).unwrap()
}

#[test]
fn units_last_as_long_as_the_owner_hears_of_the_node() {
    let mut node = node(vec![lease(5, 7)]);
    let late = NOW.after(1_998);
    assert!(is_admitted(&node.admit(late, &[want(1)]).1));
    let over = NOW.after(2_000);
    assert_eq!(node.admit(over, &[want(1)]).1, Outcome::Waiting);
    // The answer to a later message.
    node.receive(over, &message(NOW.after(1_500), vec![lease(5, 7)]));
    assert_eq!(avail(&node, NOW.after(3_400)), 3, "one was waited for");
    assert_eq!(avail(&node, NOW.after(3_500)), 0);
}

#[test]
fn what_was_written_off_is_void_however_late_it_is_granted_again() {
    let mut node = node(vec![lease(5, 7)]);
    let (id, outcome) = node.admit(NOW, &[want(2)]);
    assert!(is_admitted(&outcome));
    node.receive(NOW, &message(NOW, vec![lease(1, 9)]));
    assert_eq!(avail(&node, NOW), 1);
    node.receive(NOW, &message(NOW, vec![lease(8, 7)]));
    assert_eq!(avail(&node, NOW), 1, "an earlier generation");
    let settled = node.settle(NOW, id, &[0]).unwrap()[0];
    assert_eq!((settled.refunded, settled.lapsed), (0, 2));
    let report = said(&mut node, NOW);
    let totals = (report.generation, report.seen, report.spent);
    assert_eq!(totals, (Generation(9), 1, 0));
}

#[test]
fn what_is_used_is_said_before_the_reservation_ends_and_stays_used() {
    let mut node = node(vec![lease(8, 7)]);
    let (id, _) = node.admit(NOW, &[want(6)]);
    assert_eq!(said(&mut node, NOW).spent, 0);
    for (total, spent) in [(2, 2), (1, 2), (4, 4)] {
        node.spend(NOW, id, 0, total).unwrap();
        assert_eq!(said(&mut node, NOW).spent, spent);
    }
    assert_eq!(node.spend(NOW, id, 1, 1), Err(Error::NotOpen(id.0)));
    let settled = node.settle(NOW, id, &[3]).unwrap()[0];
    assert_eq!((settled.spent, settled.refunded), (4, 2));
    let report = said(&mut node, NOW);
    assert_eq!((report.spent, report.avail), (4, 4));
    assert_eq!(node.spend(NOW, id, 0, 5), Err(Error::NotOpen(id.0)));
}

#[test]
fn a_bound_is_obeyed_until_more_should_have_come() {
    let point = |units, in_ms| Coming { units, in_ms };
    let bound = OwnerAccount {
        exhausted_above: Some(0),
        coming: vec![point(1, 300), point(4, 900), point(10, 2_100)],
        ..lease(0, 7)
    };
    let mut node = node(vec![bound]);
    for (units, expected) in [(1, 200), (3, 600), (4, 800), (7, 1_400)] {
        let outcome = node.admit(NOW.after(100), &[want(units)]).1;
        let expected = Why::Exhausted {
            limit: 10,
            retry_after_ms: expected,
        };
        assert_eq!(why(&outcome), expected, "{units}");
    }
    let outcome = node.admit(NOW.after(300), &[want(1)]).1;
    assert_eq!(outcome, Outcome::Waiting, "it asks");
}

#[test]
fn nothing_is_kept_idle_of_what_nobody_asks_for() {
    let mut node = node(vec![lease(8, 7)]);
    let beat = node.poll_message(NOW, Scope::All).unwrap();
    let report = beat.accounts.iter().find(|a| a.counter == sliding("a"));
    let report = report.unwrap();
    assert_eq!((report.returned, report.avail), (8, 0));
    let much_later = NOW.after(LONGEST_LEASE_MS + 3_000);
    for beat in 0..8 {
        node.poll_message(much_later.after(beat), Scope::All);
    }
    assert_eq!(node.view(much_later, &sliding("a")), None, "forgotten");
}

#[test]
fn what_a_forgotten_account_was_told_is_not_had_again_however_late_it_comes() {
    let mut node = node(vec![lease(5, 7)]);
    let (id, outcome) = node.admit(NOW, &[want(3)]);
    assert!(is_admitted(&outcome));
    node.settle(NOW, id, &[3]).unwrap();
    node.poll_message(NOW, Scope::All);
    let later = NOW.after(60_000);
    for _ in 0..8 {
        node.poll_message(later, Scope::All);
    }
    assert_eq!(node.view(later, &sliding("a")), None, "forgotten");
    // Opened anew, it hears what was said long ago.
    assert_eq!(node.admit(later, &[want(1)]).1, Outcome::Waiting);
    node.receive(later, &message(NOW.after(10), vec![lease(5, 7)]));
    let report = said(&mut node, later);
    assert_eq!((report.seen, report.returned, report.spent), (0, 0, 0));
    node.receive(later, &message(later, vec![lease(4, 9)]));
    assert_eq!(avail(&node, later), 3, "one was waited for");
}
