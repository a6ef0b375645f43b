//! What becomes of units after a reservation, and what the owner is told.

use super::*;

#[test]
fn a_reservation_is_settled_exactly_once() {
    let mut node = node(vec![grant("a", 10), grant("b", 10)]);
    let (id, _) = node.admit(NOW, &[ask("b", 4), ask("a", 3)]);
    assert_eq!(
        node.settle(NOW, id, &[1]),
        Err(Error::Figures { asks: 2, given: 1 })
    );
    let settled = node.settle(NOW, id, &[1, 3]).unwrap();
    let expected = |spent, refunded| Settled {
        spent,
        refunded,
        ..Settled::default()
    };
    assert_eq!(
        settled.as_slice(),
        [expected(1, 3), expected(3, 0)],
        "in the order of the asks"
    );
    assert_eq!(node.settle(NOW, id, &[1, 3]), Err(Error::NotOpen(id.0)));
    assert_eq!((node.avail("a"), node.avail("b")), (7, 9));
    let (id, _) = node.reserve(NOW, &[ask("a", 1)], NOW.after(WAIT));
    assert_eq!(
        node.settle(NOW, id, &[1]),
        Err(Error::NotOpen(id.0)),
        "not stamped"
    );
}

#[test]
fn an_overrun_is_debt_that_blocks_and_is_asked_for_first() {
    let mut node = node(vec![grant("a", 10)]);
    let (id, _) = node.admit(NOW, &[ask("a", 10)]);
    assert_eq!(node.settle(NOW, id, &[14]).unwrap()[0].overrun, 4);
    assert_eq!(node.avail("a"), -4);
    let report = node.said(NOW, "a");
    assert_eq!((report.spent, report.need, report.waiters), (14, 4, 0));
    assert_eq!(node.admit(NOW, &[ask("a", 1)]).1, Outcome::Waiting);
    assert_eq!(node.said(NOW, "a").need, 5);
    node.receive(NOW, &message(NOW, vec![grant("a", 14)]));
    assert_eq!(node.poll_wake(), None);
    node.receive(NOW, &message(NOW, vec![grant("a", 15)]));
    assert!(node.poll_wake().is_some());
}

#[test]
fn units_of_an_earlier_epoch_are_used_but_not_returned() {
    let mut node = node(vec![grant("a", 3)]);
    let keep = OwnerAccount {
        keep: Some(0),
        version: 1,
        ..grant("a", 4)
    };
    let (id, outcome) = node.admit(NOW, &[ask("a", 1)]);
    assert!(is_admitted(&outcome));
    node.receive(
        NOW,
        &OwnerMessage {
            epoch: Epoch(2),
            ..message(NOW, vec![keep])
        },
    );
    let report = node.said(NOW, "a");
    assert_eq!(
        (report.epoch, report.seen, report.returned),
        (Epoch(2), 4, 4)
    );
    assert_eq!(node.avail("a"), 2, "those of the first epoch stay");
    node.settle(NOW, id, &[1]).unwrap();
    assert!(is_admitted(&node.admit(NOW, &[ask("a", 2)]).1));
    // A late grant of the first owner is still good: it debited those.
    node.receive(NOW, &message(NOW, vec![grant("a", 5)]));
    assert_eq!(node.avail("a"), 2);
    assert_eq!(node.said(NOW, "a").seen, 4);
}

#[test]
fn idle_units_go_back_in_time_but_not_the_last() {
    let mut node = node(vec![grant("a", 900)]);
    let (id, _) = node.admit(NOW, &[ask("a", 10)]);
    node.settle(NOW, id, &[10]).unwrap();
    let later = NOW.after(20_000);
    let report = node.heartbeats(later, 8, "a");
    assert_eq!((report.avail, report.returned), (445, 445));
    let report = node.heartbeats(later, 48, "a");
    assert_eq!(
        (report.avail, report.returned),
        (20, 870),
        "enough for the next requests stays"
    );
}

/// However long it takes until nobody answers any more: the pause before is not the end of what the node had.
#[test]
fn requests_that_follow_a_pause_find_some_of_what_was_there() {
    let mut node = node(vec![grant("a", 24)]);
    let (id, _) = node.admit(NOW, &[ask("a", 1)]);
    node.settle(NOW, id, &[1]).unwrap();
    let later = NOW.after(5_000);
    node.heartbeats(later, 8, "a");
    for _ in 0..10 {
        assert!(is_admitted(&node.admit(later, &[ask("a", 1)]).1));
    }
}

#[test]
fn messages_are_due_when_they_matter() {
    let mut node = node(vec![grant("a", 100)]);
    let config = Config::default();
    // Some demand, so that the heartbeat does not give everything back.
    let (id, _) = node.admit(NOW, &[ask("a", 50)]);
    node.settle(NOW, id, &[0]).unwrap();
    node.poll_message(NOW, Scope::All);
    assert_eq!(
        (node.next_message(), node.next_heartbeat()),
        (None, NOW.after(config.heartbeat_ms))
    );
    assert_eq!(node.poll_message(NOW, Scope::Changed), None);
    node.admit(NOW, &[ask("a", 1)]);
    assert_eq!(
        node.next_message(),
        Some(NOW.after(config.heartbeat_ms)),
        "with the next heartbeat"
    );
    node.admit(NOW, &[ask("a", 90)]);
    assert_eq!(
        node.next_message(),
        Some(NOW.after(config.urgent_ms)),
        "it runs low"
    );
    assert_eq!(
        node.poll_message(NOW, Scope::Changed)
            .unwrap()
            .accounts
            .len(),
        1
    );
    node.admit(NOW, &[ask("a", 90)]);
    assert_eq!(
        node.next_message(),
        Some(NOW.after(config.urgent_ms)),
        "somebody waits"
    );
    let keep = OwnerAccount {
        version: 2,
        keep: Some(0),
        ..grant("a", 100)
    };
    node.poll_message(NOW, Scope::Changed);
    node.receive(NOW, &message(NOW, vec![keep]));
    assert_eq!(
        node.next_message(),
        Some(NOW.after(config.urgent_ms)),
        "somebody elsewhere waits"
    );
}

#[test]
fn a_new_stream_repeats_every_total() {
    let mut node = node(vec![grant("a", 5)]);
    let (id, _) = node.admit(NOW, &[ask("a", 5)]);
    node.settle(NOW, id, &[5]).unwrap();
    let later = NOW.after(10_000);
    node.poll_message(later, Scope::All);
    assert_eq!(node.poll_message(later, Scope::All).unwrap().accounts, []);
    node.connected(later);
    assert_eq!(node.next_heartbeat(), later);
    assert_eq!(node.heartbeats(later, 1, "a").spent, 5);
}

#[test]
fn a_drained_node_gives_back_what_an_owner_can_be_told_of() {
    let mut node = node(vec![grant("a", 10), grant("b", 0), grant("c", 3)]);
    let (open, _) = node.admit(NOW, &[ask("a", 4)]);
    let (waiting, _) = node.reserve(NOW, &[ask("b", 1)], NOW.after(WAIT));
    node.drain(NOW);
    let wake = node.poll_wake().unwrap();
    assert_eq!((wake.id, why(&wake.outcome)), (waiting, Why::NoAnswer));
    node.settle(NOW, open, &[1]).unwrap();
    node.give_back(NOW, |it| *it == counter("a"));
    assert_eq!(why(&node.admit(NOW, &[ask("a", 1)]).1), Why::NoAnswer);
    let last = node.poll_message(NOW, Scope::All).unwrap();
    let returned = last.accounts.iter();
    let returned: Vec<_> = returned
        .map(|it| (it.counter.limit(), it.returned))
        .collect();
    assert!(returned.contains(&("a", 9)), "{returned:?}");
    assert_eq!(node.avail("c"), 3);
}

#[test]
fn waiters_are_bounded() {
    let mut node = Node::new(
        "n",
        ME,
        Config {
            max_waiters: 2,
            ..Config::default()
        },
    );
    for _ in 0..2 {
        assert_eq!(node.admit(NOW, &[ask("a", 1)]).1, Outcome::Waiting);
    }
    assert_eq!(why(&node.admit(NOW, &[ask("a", 1)]).1), Why::NoAnswer);
}

#[test]
fn nothing_asked_is_nothing_waited_for() {
    let mut node = Node::new("n", ME, Config::default());
    assert!(is_admitted(&node.admit(NOW, &[]).1));
    let (id, outcome) = node.admit(NOW, &[ask("a", 0)]);
    assert!(is_admitted(&outcome));
    assert_eq!(
        node.settle(NOW, id, &[0]).unwrap().as_slice(),
        [Settled::default()]
    );
}

#[test]
fn a_request_that_an_answer_left_waiting_is_asked_for_again() {
    let mut node = node(vec![grant("a", 0)]);
    let urgent = NOW.after(Config::default().urgent_ms);
    assert_eq!(node.admit(NOW, &[ask("a", 5)]).1, Outcome::Waiting);
    let mut answered = |accounts: OwnerAccount| {
        node.poll_message(NOW, Scope::Changed).unwrap();
        node.receive(NOW, &message(NOW, vec![accounts]));
        (node.next_message(), node.said(NOW, "a").need)
    };
    assert_eq!(
        answered(grant("a", 0)),
        (None, 5),
        "the owner knows and is at it"
    );
    let mut node = self::node(vec![grant("a", 0)]);
    node.admit(NOW, &[ask("a", 5)]);
    node.poll_message(NOW, Scope::Changed).unwrap();
    node.receive(NOW, &message(NOW, vec![grant("a", 2)]));
    assert_eq!(
        (node.next_message(), node.said(NOW, "a").need),
        (Some(urgent), 3)
    );
    let bound = OwnerAccount {
        version: 2,
        exhausted_above: Some(9),
        ..grant("a", 2)
    };
    node.poll_message(NOW, Scope::Changed);
    node.receive(NOW, &message(NOW, vec![bound]));
    assert_eq!(
        node.next_message(),
        Some(urgent),
        "the owner thinks it was refused"
    );
}
