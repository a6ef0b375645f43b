#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names only what it expects"
)]

use super::*;
use crate::{Epoch, Generation, Kind, LONGEST_LEASE_MS, NodeAccount, OwnerAccount, OwnerTime};

mod estate;
mod noting;
mod promised;
mod rolling;
mod settling;
const T: u64 = 60_000;
const ME: Incarnation = Incarnation(42);
const NOW: NodeTime = NodeTime(1_000_000);
const W: Window = Window(100);
const WAIT: u64 = 50;

fn counter(name: &str) -> Counter {
    Counter::new(name, Kind::Fixed { window_ms: T }, "k").unwrap()
}

fn ask(name: &str, units: u64) -> Ask {
    Ask {
        counter: counter(name),
        units,
    }
}

/// The owner's word that `granted` units are the node's for the next 30 s.
fn grant(name: &str, granted: u64) -> OwnerAccount {
    OwnerAccount {
        counter: counter(name),
        window: W,
        generation: Generation::FIRST,
        granted,
        rem_ms: 30_000,
        version: 1,
        exhausted_above: None,
        keep: None,
        limit: 1_000,
        remaining: 1_000,
        share: None,
        coming: Vec::new(),
        promises: Vec::new(),
    }
}

fn message(echo: NodeTime, accounts: Vec<OwnerAccount>) -> OwnerMessage {
    OwnerMessage {
        epoch: Epoch(1),
        incarnation: ME,
        echo_t_node: echo,
        owner_now: OwnerTime(0),
        accounts,
        closed: Vec::new(),
    }
}

/// A node whose owner has said `accounts`.
fn node(accounts: Vec<OwnerAccount>) -> Node {
    let mut node = Node::new("n", ME, Config::default());
    node.receive(NOW, &message(NOW, accounts));
    node
}

impl Node {
    /// Reserves, and stamps at once.
    fn admit(&mut self, now: NodeTime, asks: &[Ask]) -> (RequestId, Outcome) {
        match self.reserve(now, asks, now.after(WAIT)) {
            (id, Outcome::Taken) => (id, self.stamp(now, id)),
            other => other,
        }
    }

    fn avail(&self, name: &str) -> i64 {
        self.view(NOW, &counter(name)).unwrap().avail
    }

    /// What the node would report of a counter.
    fn said(&mut self, now: NodeTime, name: &str) -> NodeAccount {
        let slot = self.book.find(&counter(name)).unwrap();
        self.report(now, slot).unwrap()
    }

    /// What the last of so many heartbeats that speak of a counter says.
    fn heartbeats(&mut self, now: NodeTime, times: usize, name: &str) -> NodeAccount {
        let beats = (0..times).filter_map(|_| self.poll_message(now, Scope::All));
        let accounts = beats.flat_map(|message| message.accounts);
        accounts
            .filter(|a| a.counter == counter(name))
            .last()
            .unwrap()
    }
}

fn is_admitted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Admitted(_))
}

fn why(outcome: &Outcome) -> Why {
    match outcome {
        Outcome::Denied(denial) => denial.why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_is_left_counts_what_the_owner_has_not_heard_of() {
    let mut node = node(vec![grant("a", 500)]);
    let left = |node: &Node| node.view(NOW, &counter("a")).unwrap().remaining;
    let (id, _) = node.admit(NOW, &[ask("a", 100)]);
    assert_eq!(left(&node), 900);
    // An answer to what was said before does not know of it.
    node.receive(NOW, &message(NOW, vec![grant("a", 500)]));
    assert_eq!(left(&node), 900);
    assert!(node.settle(NOW, id, &[60]).is_ok());
    assert_eq!(left(&node), 940);
    node.receive(NOW, &message(NOW, vec![grant("a", 500)]));
    assert_eq!(left(&node), 940);
    // One to what has been said does.
    node.heartbeats(NOW, 1, "a");
    let knowing = OwnerAccount {
        remaining: 940,
        ..grant("a", 500)
    };
    node.receive(NOW, &message(NOW, vec![knowing]));
    assert_eq!(left(&node), 940);
}

#[test]
fn totals_count_once_however_often_and_late_they_come() {
    let mut node = node(vec![grant("a", 5)]);
    for granted in [5, 3, 5, 8, 5, 8] {
        node.receive(NOW, &message(NOW, vec![grant("a", granted)]));
    }
    assert_eq!(node.avail("a"), 8);
    let report = node.said(NOW, "a");
    assert_eq!((report.seen, report.returned, report.spent), (8, 0, 0));
}

#[test]
fn what_is_not_for_this_process_is_dropped() {
    let mut node = Node::new("n", ME, Config::default());
    let other = OwnerMessage {
        incarnation: Incarnation(1),
        ..message(NOW, vec![grant("a", 5)])
    };
    node.receive(NOW, &other);
    node.receive(NOW, &message(NOW.after(1), vec![grant("a", 5)]));
    let generation = OwnerAccount {
        generation: Generation(1),
        ..grant("a", 5)
    };
    node.receive(NOW, &message(NOW, vec![generation]));
    assert_eq!(node.view(NOW, &counter("a")), None);
}

#[test]
fn a_deadline_counts_from_the_sending_less_drift() {
    let sent = NodeTime(NOW.0 - 4_000);
    let mut node = Node::new("n", ME, Config::default());
    node.receive(NOW, &message(sent, vec![grant("a", 5)]));
    // 30 s after the sending, less 200 ppm of it.
    let deadline = sent.after(30_000 - 6);
    assert!(is_admitted(
        &node.admit(NodeTime(deadline.0 - 1), &[ask("a", 1)]).1
    ));
    assert_eq!(node.admit(deadline, &[ask("a", 1)]).1, Outcome::Waiting);
    // An answer to a later message shows that the window goes on: the units are still there.
    let later = OwnerAccount {
        rem_ms: 3_000,
        ..grant("a", 5)
    };
    node.receive(deadline, &message(NodeTime(deadline.0 - 500), vec![later]));
    let wake = node.poll_wake().unwrap();
    assert_eq!(wake.outcome, Outcome::Taken);
    assert!(is_admitted(&node.stamp(deadline, wake.id)));
    assert_eq!(node.said(deadline, "a").seen, 5);
}

#[test]
fn a_stamp_past_the_deadline_puts_back_and_tries_anew() {
    let mut node = node(vec![grant("a", 5)]);
    let (id, outcome) = node.reserve(NOW, &[ask("a", 2)], NOW.after(60_000));
    assert_eq!(outcome, Outcome::Taken);
    let late = NOW.after(1_900);
    let next = OwnerAccount {
        window: Window(W.0 + 1),
        ..grant("a", 3)
    };
    node.receive(late, &message(late, vec![next]));
    assert_eq!(node.stamp(late, id), Outcome::Waiting);
    // From the next window's units.
    assert_eq!(
        node.poll_wake(),
        Some(Wake {
            id,
            outcome: Outcome::Taken
        })
    );
    assert!(is_admitted(&node.stamp(late, id)));
    assert_eq!(node.avail("a"), 1);

    let mut node = self::node(vec![grant("a", 5)]);
    let (id, _) = node.reserve(NOW, &[ask("a", 2)], NOW.after(WAIT));
    assert_eq!(why(&node.stamp(NOW.after(30_000), id)), Why::Late);
    assert_eq!(node.avail("a"), 5);
    assert!(!node.cancel(NOW, id), "a refused request holds nothing");
}

#[test]
fn an_earlier_window_is_never_heard_of_again() {
    let mut node = node(vec![grant("a", 5)]);
    let (id, _) = node.admit(NOW, &[ask("a", 2)]);
    let next = OwnerAccount {
        window: Window(W.0 + 1),
        ..grant("a", 1)
    };
    node.receive(NOW, &message(NOW, vec![next]));
    node.receive(NOW, &message(NOW, vec![grant("a", 50)]));
    assert_eq!(node.avail("a"), 1);
    let settled = node.settle(NOW, id, &[0]).unwrap();
    assert_eq!(
        settled.as_slice(),
        [Settled {
            lapsed: 2,
            ..Settled::default()
        }]
    );
    assert_eq!(
        node.avail("a"),
        1,
        "units of the old label do not become new ones"
    );
}

#[test]
fn a_forgotten_account_refuses_the_grants_it_had() {
    let mut node = node(vec![grant("a", 5)]);
    assert!(is_admitted(&node.admit(NOW, &[ask("a", 5)]).1));
    let later = NOW.after(33_000);
    for _ in 0..8 {
        node.poll_message(later, Scope::All);
    }
    assert_eq!(node.view(later, &counter("a")), None);
    node.receive(later, &message(later, vec![grant("a", 5)]));
    assert_eq!(node.admit(later, &[ask("a", 1)]).1, Outcome::Waiting);
    let next = OwnerAccount {
        window: Window(W.0 + 1),
        ..grant("a", 5)
    };
    node.receive(later, &message(later, vec![next]));
    assert_eq!(
        node.poll_wake().map(|wake| wake.outcome),
        Some(Outcome::Taken)
    );
}

#[test]
fn all_or_nothing_in_one_order_keeping_what_it_has() {
    let mut node = node(vec![grant("a", 2), grant("b", 0), grant("c", 9)]);
    let (id, outcome) = node.reserve(
        NOW,
        &[ask("c", 1), ask("b", 1), ask("a", 1)],
        NOW.after(WAIT),
    );
    assert_eq!(outcome, Outcome::Waiting);
    assert_eq!(
        (node.avail("a"), node.avail("c")),
        (1, 9),
        "a is held, c not yet taken"
    );
    assert_eq!(node.said(NOW, "b").need, 1);
    node.receive(NOW, &message(NOW, vec![grant("b", 1)]));
    assert_eq!(
        node.poll_wake(),
        Some(Wake {
            id,
            outcome: Outcome::Taken
        })
    );
    let Outcome::Admitted(admission) = node.stamp(NOW, id) else {
        panic!("in time")
    };
    assert!(admission.limits.iter().all(|limit| limit.window == W));
    assert_eq!(
        (node.avail("a"), node.avail("b"), node.avail("c")),
        (1, 0, 8)
    );

    let (id, _) = node.reserve(NOW, &[ask("a", 1), ask("b", 1)], NOW.after(WAIT));
    assert_eq!(node.next_tick(), Some(NOW.after(WAIT)));
    node.tick(NOW.after(WAIT));
    let wake = node.poll_wake().unwrap();
    assert_eq!((wake.id, why(&wake.outcome)), (id, Why::NoAnswer));
    assert_eq!(node.avail("a"), 1, "undone");
    assert_eq!(node.next_tick(), None);
}

#[test]
fn what_is_undone_serves_the_next_in_line() {
    let mut node = node(vec![grant("a", 1), grant("b", 0)]);
    let (first, _) = node.reserve(NOW, &[ask("a", 1), ask("b", 1)], NOW.after(WAIT));
    let (second, outcome) = node.reserve(NOW, &[ask("a", 1)], NOW.after(WAIT));
    assert_eq!(outcome, Outcome::Waiting);
    assert!(node.cancel(NOW, first));
    assert_eq!(
        node.poll_wake(),
        Some(Wake {
            id: second,
            outcome: Outcome::Taken
        })
    );
    assert!(!node.cancel(NOW, first));
}

#[test]
fn a_large_request_that_is_refused_lets_a_small_one_pass() {
    let mut node = node(vec![grant("a", 100)]);
    let (large, outcome) = node.reserve(NOW, &[ask("a", 900)], NOW.after(WAIT));
    assert_eq!(outcome, Outcome::Waiting);
    let (small, outcome) = node.reserve(NOW, &[ask("a", 60)], NOW.after(WAIT));
    assert_eq!(
        outcome,
        Outcome::Waiting,
        "nobody overtakes who may still be served"
    );
    let exhausted = OwnerAccount {
        version: 2,
        exhausted_above: Some(500),
        keep: Some(0),
        ..grant("a", 100)
    };
    node.receive(NOW, &message(NOW, vec![exhausted]));
    let wakes: Vec<Wake> = std::iter::from_fn(|| node.poll_wake()).collect();
    assert_eq!(wakes[0].id, large);
    assert!(matches!(
        why(&wakes[0].outcome),
        Why::Exhausted {
            limit: 1_000,
            retry_after_ms: 30_000..
        }
    ));
    assert_eq!(
        wakes[1],
        Wake {
            id: small,
            outcome: Outcome::Taken
        }
    );
    let report = node.said(NOW, "a");
    assert_eq!(
        (report.returned, report.avail, report.answered),
        (40, 0, 2),
        "the rest goes back"
    );
    assert!(matches!(
        why(&node.admit(NOW, &[ask("a", 501)]).1),
        Why::Exhausted { .. }
    ));
    assert_eq!(
        node.admit(NOW, &[ask("a", 499)]).1,
        Outcome::Waiting,
        "the owner may have that much"
    );
}

#[test]
fn the_highest_version_of_the_highest_epoch_counts() {
    let mut node = node(vec![grant("a", 0)]);
    let exhausted = OwnerAccount {
        version: 5,
        exhausted_above: Some(0),
        ..grant("a", 0)
    };
    node.receive(NOW, &message(NOW, vec![exhausted]));
    node.receive(
        NOW,
        &message(
            NOW,
            vec![OwnerAccount {
                version: 4,
                ..grant("a", 0)
            }],
        ),
    );
    assert!(matches!(
        why(&node.admit(NOW, &[ask("a", 1)]).1),
        Why::Exhausted { .. }
    ));
    let newer = OwnerMessage {
        epoch: Epoch(2),
        ..message(NOW, vec![grant("a", 0)])
    };
    node.receive(NOW, &newer);
    assert_eq!(node.admit(NOW, &[ask("a", 1)]).1, Outcome::Waiting);
}

#[test]
fn a_request_above_the_limit_is_refused_as_such() {
    let mut node = node(vec![grant("a", 100)]);
    assert_eq!(
        why(&node.admit(NOW, &[ask("a", 1_001)]).1),
        Why::TooLarge { limit: 1_000 }
    );
    // Before the owner was heard the limit is not known: the request waits, and learns it.
    let (id, outcome) = node.reserve(NOW, &[ask("b", 1_001)], NOW.after(WAIT));
    assert_eq!(outcome, Outcome::Waiting);
    node.receive(NOW, &message(NOW, vec![grant("b", 0)]));
    let wake = node.poll_wake().unwrap();
    assert_eq!(
        (wake.id, why(&wake.outcome)),
        (id, Why::TooLarge { limit: 1_000 })
    );
}

#[test]
fn a_counter_nobody_answers_for_is_silent_until_somebody_does() {
    let mut node = node(vec![grant("a", 5)]);
    let ask_b = ask("b", 2);
    assert!(!node.is_unanswered(NOW, &ask_b));
    let (_, outcome) = node.reserve(NOW, &[ask("a", 1), ask_b.clone()], NOW.after(WAIT));
    assert_eq!(outcome, Outcome::Waiting);
    node.tick(NOW.after(WAIT));
    assert_eq!(why(&node.poll_wake().unwrap().outcome), Why::NoAnswer);
    assert!(node.is_unanswered(NOW.after(WAIT), &ask_b));
    // Whoever goes on without it has the owner asked all the same.
    assert!(node.heartbeats(NOW.after(WAIT), 1, "b").demand > 0);
    // What was answered is not silent, and a word ends it, even a refusal.
    assert!(!node.is_unanswered(NOW, &ask("a", 1)));
    let full = OwnerAccount {
        exhausted_above: Some(0),
        ..grant("b", 0)
    };
    node.receive(NOW, &message(NOW, vec![full]));
    assert!(!node.is_unanswered(NOW, &ask_b));
}

#[test]
fn edges_are_never_farther_than_they_seem() {
    let sent = NodeTime(NOW.0 - 4_000);
    let mut node = Node::new("n", ME, Config::default());
    assert_eq!(node.edges(NOW, &counter("a")), None);
    // 30 s of 60 were left when the owner had the message, which was at `sent` or later, up to now.
    node.receive(NOW, &message(sent, vec![grant("a", 5)]));
    let edges = node.edges(NOW, &counter("a")).unwrap();
    assert_eq!(edges.window, W);
    assert_eq!(edges.left_ms, 30_000 - 4_000 - 6);
    assert_eq!(edges.since_ms, 30_000 - 6 - 2);
    assert_eq!(node.edges(NOW.after(26_000), &counter("a")), None);
}

/// Behind many who wait, the whole limit has to come several times.
#[test]
fn more_than_a_whole_limit_comes_in_several_rounds_as_long_as_its_kind_has() {
    let slots = Counter::new("slots", Kind::Concurrent, "k").unwrap();
    for (counter, rem_ms, comes_in_ms) in [
        (counter("a"), 30_000, 30_000 + 3 * T),
        // Nobody can tell when one comes free: a second, and one more for each round.
        (slots, 3_600_000, 1_000 + 3 * 1_000),
    ] {
        let full = OwnerAccount {
            counter: counter.clone(),
            exhausted_above: Some(0),
            limit: 10,
            rem_ms,
            ..grant("a", 0)
        };
        let node = node(vec![full]);
        let (limit, ms) = node.comes_in_ms(NOW, &counter, 31).unwrap();
        assert_eq!(limit, 10);
        assert!(ms.abs_diff(comes_in_ms) < 100, "{counter}: {ms}");
    }
}
