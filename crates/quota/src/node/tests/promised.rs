//! Windows that a process begins by itself.

use super::*;
use crate::Promise;

/// A node that was granted 5 in a window of which 30 s are left, and is promised 3 of each of the next ones.
fn promised(through: u64) -> Node {
    node(vec![told(through)])
}

fn told(through: u64) -> OwnerAccount {
    let promise = Promise {
        units: 3,
        from: Window(W.0 + 1),
        through: Window(W.0 + through),
    };
    OwnerAccount {
        promises: vec![promise],
        ..grant("a", 5)
    }
}

/// When the window of that number after the first one has begun for certain, and when it has not ended for certain.
fn certain(number: u64) -> (NodeTime, NodeTime) {
    let begun = NOW.after(30_006 + 2 + (number - 1) * (T + 12));
    let left = NOW.after(30_000 - 6 + number * (T - 12) - 1);
    (begun, left)
}

#[test]
fn a_node_that_hears_nothing_uses_its_promises_window_by_window() {
    let mut node = promised(3);
    for number in 1..=3 {
        let (begun, left) = certain(number);
        for now in [begun, left, left] {
            let (id, outcome) = node.admit(now, &[ask("a", 1)]);
            let Outcome::Admitted(admission) = outcome else {
                panic!("{number}: {outcome:?}")
            };
            assert_eq!(admission.limits[0].window, Window(W.0 + number));
            node.settle(now, id, &[1]).unwrap();
        }
        let (id, outcome) = node.admit(left, &[ask("a", 1)]);
        assert_eq!(outcome, Outcome::Waiting, "no more than 3 of {number}");
        node.cancel(left, id);
    }
    let (_, outcome) = node.admit(certain(4).0, &[ask("a", 1)]);
    assert_eq!(
        outcome,
        Outcome::Waiting,
        "nothing is promised of the fourth"
    );
}

#[test]
fn no_window_begins_before_owners_are_in_it_or_lasts_until_they_are_not() {
    for number in 1..=3 {
        let (begun, left) = certain(number);
        for (now, begins) in [
            (NodeTime(begun.0 - 1), false),
            (begun, true),
            (left, true),
            (left.after(1), false),
        ] {
            let mut node = promised(3);
            let (_, outcome) = node.admit(now, &[ask("a", 1)]);
            assert_eq!(
                is_admitted(&outcome),
                begins,
                "{number} at {now:?}: {outcome:?}"
            );
        }
    }
}

#[test]
fn what_is_promised_is_there_once_whoever_says_so_how_often() {
    let mut node = promised(3);
    let (begun, _) = certain(1);
    let (id, _) = node.admit(begun, &[ask("a", 2)]);
    node.settle(begun, id, &[2]).unwrap();
    let next = OwnerAccount {
        window: Window(W.0 + 1),
        rem_ms: T - 1_000,
        ..told(5)
    };
    for _ in 0..3 {
        node.receive(begun, &message(begun, vec![next.clone()]));
    }
    let view = node.view(begun, &counter("a")).unwrap();
    assert_eq!(view.avail, 1 + 5, "of the promise and of the grant");
    // What an earlier owner says is true as well.
    node.receive(begun, &message(NOW, vec![told(2)]));
    assert_eq!(node.view(begun, &counter("a")).unwrap().avail, 1 + 5);
}

#[test]
fn it_is_given_back_last_and_to_the_owner_that_asks() {
    let mut node = promised(3);
    let (begun, _) = certain(1);
    let next = |keep, epoch| OwnerMessage {
        epoch: Epoch(epoch),
        ..message(
            begun,
            vec![OwnerAccount {
                window: Window(W.0 + 1),
                rem_ms: T - 1_000,
                version: 2,
                keep,
                ..told(3)
            }],
        )
    };
    node.receive(begun, &next(None, 1));
    // Of what is idle, what was granted goes by itself.
    let said = node.heartbeats(begun, 32, "a");
    assert_eq!((said.returned, said.promised_back, said.avail), (5, 0, 3));
    node.receive(begun, &next(Some(1), 1));
    let said = node.said(begun, "a");
    assert_eq!((said.promised_back, said.avail), (2, 1));
    // The next owner is given what is left, and told of no more.
    node.receive(begun, &next(Some(0), 2));
    let said = node.said(begun, "a");
    assert_eq!((said.epoch, said.returned), (Epoch(2), 5));
    assert_eq!((said.promised_back, said.avail), (1, 0));
}

#[test]
fn the_next_process_goes_on_with_it() {
    let mut node = promised(3);
    let (begun, _) = certain(1);
    let (id, _) = node.admit(begun, &[ask("a", 2)]);
    node.settle(begun, id, &[2]).unwrap();
    node.drain(begun);
    node.give_back(begun, |_| true);
    let estate = node.estate().unwrap();
    let mut heir = Node::resume("n", Config::default(), begun, &estate);
    assert_eq!(heir.view(begun, &counter("a")).unwrap().avail, 1);
    heir.receive(begun, &message(NOW, vec![told(3)]));
    assert_eq!(heir.view(begun, &counter("a")).unwrap().avail, 1);
    let (later, _) = certain(2);
    let (_, outcome) = heir.admit(later, &[ask("a", 3)]);
    assert!(is_admitted(&outcome), "{outcome:?}");
}

#[test]
fn who_waits_as_a_window_ends_is_served_by_the_next_one() {
    let mut node = promised(3);
    let (begun, _) = certain(1);
    let before = NodeTime(begun.0 - 5);
    let (id, outcome) = node.reserve(before, &[ask("a", 1)], before.after(20));
    assert_eq!(outcome, Outcome::Waiting, "it may be either window");
    assert_eq!(node.next_tick(), Some(before.after(20)));
    node.tick(before.after(20));
    let wake = node.poll_wake().unwrap();
    assert_eq!((wake.id, wake.outcome), (id, Outcome::Taken));
    assert!(is_admitted(&node.stamp(before.after(20), id)));
}

#[test]
fn an_account_is_not_forgotten_while_something_is_promised() {
    let mut node = promised(9);
    let long = certain(8).0;
    for _ in 0..16 {
        node.poll_message(long, Scope::All);
    }
    let (_, outcome) = node.admit(long, &[ask("a", 3)]);
    assert!(is_admitted(&outcome), "{outcome:?}");
}
