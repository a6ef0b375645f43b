//! What is noted in the journal, and what waits for it.

use super::*;
use crate::Close;

const BUDGET: Kind = Kind::Endless;

fn budget(kind: Kind) -> Counter {
    Counter::new("budget", kind, "k").unwrap()
}

fn told(kind: Kind, granted: u64) -> OwnerMessage {
    let account = OwnerAccount {
        counter: budget(kind),
        window: Window(1),
        ..grant("budget", granted)
    };
    message(NOW, vec![account])
}

fn journaled() -> Node {
    let config = Config {
        journaled: true,
        ..Config::default()
    };
    Node::new("n", ME, config)
}

fn take(node: &mut Node, kind: Kind, units: u64) -> Outcome {
    let counter = budget(kind);
    node.admit(NOW, &[Ask { counter, units }]).1
}

/// Flushes what is to be noted, and answers the last mark.
fn flush(node: &mut Node) -> Option<u64> {
    let notes = node.poll_notes();
    node.noted(NOW, &notes);
    notes.last().map(|note| note.mark)
}

#[test]
fn an_owner_is_asked_only_once_the_counter_is_noted() {
    let mut node = journaled();
    assert_eq!(take(&mut node, BUDGET, 5), Outcome::Waiting);
    assert_eq!(node.next_message(), None);
    assert!(
        node.poll_message(NOW, Scope::All)
            .unwrap()
            .accounts
            .is_empty()
    );
    let notes = node.poll_notes();
    assert_eq!((notes[0].mark, notes[0].window), (0, Window(0)));
    node.noted(NOW, &notes);
    let message = node.poll_message(NOW, Scope::Changed).unwrap();
    assert_eq!(message.accounts[0].need, 5);
}

#[test]
fn units_are_taken_only_below_a_mark_that_is_durable_and_it_goes_ahead() {
    let mut node = journaled();
    assert_eq!(take(&mut node, BUDGET, 10), Outcome::Waiting);
    flush(&mut node);
    node.receive(NOW, &told(BUDGET, 1_000));
    // The request waits for the disk, this once.
    assert!(node.poll_wake().is_none());
    let mark = flush(&mut node).unwrap();
    assert!(matches!(
        node.poll_wake(),
        Some(Wake {
            outcome: Outcome::Taken,
            ..
        })
    ));
    assert_eq!(mark, 10 + 250, "a quarter of what is held ahead");
    // From here on requests go on while more is being noted.
    let mut taken = 0;
    while matches!(take(&mut node, BUDGET, 10), Outcome::Admitted(_)) {
        taken += 1;
    }
    assert_eq!(taken, 25, "up to the mark and not beyond");
    assert!(node.has_notes());
    flush(&mut node);
    assert!(matches!(
        take(&mut node, BUDGET, 10),
        Outcome::Waiting | Outcome::Admitted(_)
    ));
}

#[test]
fn slots_need_no_mark_and_last_notes_say_what_was_used() {
    let mut node = journaled();
    take(&mut node, Kind::Concurrent, 1);
    take(&mut node, BUDGET, 10);
    flush(&mut node);
    node.receive(NOW, &told(Kind::Concurrent, 2));
    let Some(Wake {
        id,
        outcome: Outcome::Taken,
    }) = node.poll_wake()
    else {
        panic!("a slot needs no mark");
    };
    assert!(matches!(node.stamp(NOW, id), Outcome::Admitted(_)));
    node.receive(NOW, &told(BUDGET, 100));
    flush(&mut node);
    let Some(Wake { id, .. }) = node.poll_wake() else {
        panic!("the budget's mark is durable");
    };
    node.stamp(NOW, id);
    node.settle(NOW, id, &[7]).unwrap();
    let last = node.last_notes();
    let of = |kind| {
        last.iter()
            .find(|note| note.counter == budget(kind))
            .unwrap()
    };
    assert_eq!((of(BUDGET).mark, of(BUDGET).settled), (7, 7));
    assert_eq!(of(Kind::Concurrent).settled, 0);
}

#[test]
fn what_is_inherited_is_said_until_it_is_closed() {
    let close = |process: u64| Close {
        incarnation: Incarnation(process),
        counter: budget(BUDGET),
        window: Window(1),
        mark: 5,
        settled: 1,
    };
    let mut node = journaled();
    node.inherit(vec![close(1), close(2)]);
    let said = node.poll_message(NOW, Scope::All).unwrap().closes;
    assert_eq!(said.len(), 2);
    let mut answer = message(NOW, Vec::new());
    answer.closed = vec![close(1)];
    node.receive(NOW, &answer);
    assert_eq!(
        node.poll_message(NOW, Scope::All).unwrap().closes,
        [close(2)]
    );
    assert!(!node.is_disowned());
    answer.closed = vec![close(ME.0)];
    node.receive(NOW, &answer);
    assert!(node.is_disowned());
}

#[test]
fn units_outlive_the_owner_that_granted_them_and_are_counted_once() {
    let mut node = node(Vec::new());
    take(&mut node, BUDGET, 10);
    node.receive(NOW, &told(BUDGET, 50));
    let mut next = told(BUDGET, 50);
    next.epoch = Epoch(2);
    node.receive(NOW, &next);
    let view = node.view(NOW, &budget(BUDGET)).unwrap();
    assert_eq!((view.avail, view.reset_ms), (40, 0));
}
