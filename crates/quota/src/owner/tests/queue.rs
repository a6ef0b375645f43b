//! Tickets, recall and exhaustion; what is timed.

use super::*;

#[test]
fn three_single_units_serve_a_need_of_three() {
    let mut desk = Desk::new(3);
    for node in 1..=3 {
        let told = desk.report(node, account(0, 1));
        assert_eq!(Desk::last(&told, node).granted, 1);
        desk.report(
            node,
            NodeAccount {
                avail: 1,
                ..account(1, 0)
            },
        );
    }
    let told = desk.report(4, account(0, 3));
    assert_eq!(told.iter().filter(|(_, a)| a.keep == Some(0)).count(), 3);
    let waiting: Vec<_> = desk.state().nodes.iter().map(|n| n.waiting).collect();
    assert_eq!(waiting, [0, 0, 0, 1]);
    let version = told.iter().find(|(to, _)| *to == 1).unwrap().1.version;
    let mut told = Vec::new();
    for node in 1..=3 {
        let answer = NodeAccount {
            returned: 1,
            answered: version,
            ..account(1, 0)
        };
        told = desk.report(node, answer);
    }
    assert_eq!(Desk::last(&told, 4).granted, 3);
    assert_eq!(Desk::last(&told, 4).exhausted_above, None);
}

#[test]
fn what_is_too_much_for_one_is_left_for_another() {
    let mut desk = Desk::new(1_000);
    desk.report(1, account(0, 500));
    desk.report(
        1,
        NodeAccount {
            spent: 500,
            ..account(500, 0)
        },
    );
    let told = desk.report(2, account(0, 900));
    let refused = Desk::last(&told, 2);
    assert_eq!((refused.granted, refused.exhausted_above), (0, Some(500)));
    let told = desk.report(3, account(0, 200));
    assert_eq!(Desk::last(&told, 3).granted, 200);
    desk.report(
        3,
        NodeAccount {
            spent: 200,
            ..account(200, 0)
        },
    );
    let told = desk.report(2, account(0, 0));
    assert_eq!(
        Desk::last(&told, 2).exhausted_above,
        Some(300),
        "the state follows"
    );
    assert!(Desk::last(&told, 2).version > refused.version);
}

#[test]
fn what_comes_back_is_news_to_those_who_want_some() {
    let mut desk = Desk::new(10);
    desk.report(1, account(0, 10));
    let told = desk.report(
        2,
        NodeAccount {
            demand: 3,
            ..account(0, 1)
        },
    );
    let recall = Desk::last(&told, 1).clone();
    assert_eq!(recall.keep, Some(0));
    let told = desk.report(
        1,
        NodeAccount {
            answered: recall.version,
            ..account(10, 0)
        },
    );
    let refusal = Desk::last(&told, 2).clone();
    assert_eq!(
        refusal.exhausted_above,
        Some(0),
        "all ten are held by open requests"
    );
    let told = desk.report(
        1,
        NodeAccount {
            returned: 2,
            answered: recall.version,
            ..account(10, 0)
        },
    );
    let relief = Desk::last(&told, 2);
    assert_eq!(relief.exhausted_above, Some(2));
    assert!(relief.version > refusal.version);
    let told = desk.report(
        2,
        NodeAccount {
            demand: 3,
            ..account(0, 1)
        },
    );
    assert_eq!(Desk::last(&told, 2).granted, 1);
}

#[test]
fn a_holder_that_does_not_answer_is_waited_for_only_so_long() {
    let mut desk = Desk::new(10);
    desk.report(1, account(0, 10));
    desk.report(
        1,
        NodeAccount {
            avail: 10,
            ..account(10, 0)
        },
    );
    let told = desk.report(2, account(0, 1));
    assert_eq!(Desk::last(&told, 2).exhausted_above, None);
    let due = desk.owner.next_deadline().unwrap();
    assert_eq!(due, NOW.after(Config::default().recall_ms));
    desk.now = due;
    let told = desk.step(Event::Tick);
    assert_eq!(Desk::last(&told, 2).exhausted_above, Some(0));

    // One whose stream ended is not waited for at all.
    let mut desk = Desk::new(10);
    desk.report(
        1,
        NodeAccount {
            avail: 10,
            ..account(0, 10)
        },
    );
    desk.step(Event::Disconnected(Incarnation(1)));
    let told = desk.report(2, account(0, 1));
    assert_eq!(Desk::last(&told, 2).exhausted_above, Some(0));
    assert_eq!(
        desk.state().nodes[0].outstanding,
        10,
        "its units stay charged"
    );
}

#[test]
fn the_rest_of_the_window_is_counted_from_the_receipt_that_is_echoed() {
    let mut desk = Desk::new(10);
    let first = desk.message(1, account(0, 1));
    let t_node = first.t_node;
    desk.step(Event::Node(first));
    let left = window().end(T).since(NOW);
    desk.now = NOW.after(700);
    // A push, caused by somebody else: the same echo, the same rest.
    desk.report(
        1,
        NodeAccount {
            avail: 1,
            ..account(1, 0)
        },
    );
    let later = NOW.after(1_400);
    desk.now = later;
    let message = desk.message(2, account(0, 10));
    let effects = desk.owner.step(desk.now, Event::Node(message));
    let Some(Effect::Send(push)) = effects
        .iter()
        .find(|e| matches!(e, Effect::Send(m) if m.incarnation.0 == 1))
    else {
        panic!("{effects:?}")
    };
    assert_eq!(push.echo_t_node.0, t_node.0 + 1);
    assert_eq!(push.accounts[0].rem_ms, left - 700 - 1);
}

#[test]
fn the_next_window_is_handed_out_as_it_begins() {
    let mut desk = Desk::new(100);
    desk.report(
        1,
        NodeAccount {
            demand: 10,
            ..account(0, 1)
        },
    );
    let end = window().end(T);
    desk.now = OwnerTime(end.0 - 500);
    desk.report(
        1,
        NodeAccount {
            demand: 10,
            spent: 1,
            ..account(1, 0)
        },
    );
    assert!(desk.owner.next_deadline().unwrap() <= end);
    desk.now = end;
    let told = desk.step(Event::Tick);
    let next = Desk::last(&told, 1);
    assert_eq!(next.window.0, window().0 + 1);
    assert!(next.granted > 0, "{next:?}");
}

#[test]
fn counters_of_past_windows_are_forgotten() {
    let config = Config {
        max_counters: 1,
        ..Config::default()
    };
    let mut desk = Desk::new(10);
    desk.owner = Owner::new(EPOCH, config, limits(10, 1));
    desk.report(1, account(0, 1));
    let other = Counter::new("limit", KIND, "other").unwrap();
    let message = desk.message(
        1,
        NodeAccount {
            counter: other.clone(),
            ..account(0, 1)
        },
    );
    assert!(
        desk.step(Event::Node(message)).is_empty(),
        "no more counters than configured"
    );
    desk.now = OwnerTime(window().end(T).0 + 10_000);
    desk.step(Event::Tick);
    assert_eq!(desk.owner.snapshot(desk.now).count(), 0);
    desk.stored = None;
    let message = desk.message(
        1,
        NodeAccount {
            counter: other,
            ..account(0, 1)
        },
    );
    assert!(!desk.step(Event::Node(message)).is_empty());
}

#[test]
fn a_read_that_fails_is_tried_again_ever_more_seldom() {
    let mut owner = Owner::new(EPOCH, Config::default(), limits(10, 1));
    owner.step(NOW, Event::Node(Desk::new(10).message(1, account(0, 1))));
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..8 {
        owner.step(
            now,
            Event::Loaded {
                counter: counter(),
                outcome: Load::Failed,
            },
        );
        let due = owner.timers.first().unwrap().0;
        waits.push(due.since(now));
        now = due;
        assert_eq!(owner.step(now, Event::Tick)[0], Effect::Load(counter()));
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 1_600, 1_600]);
}

#[test]
fn one_request_for_too_much_does_not_make_the_others_ask_for_each_of_theirs() {
    let mut desk = Desk::new(10_000);
    let busy = |seen, spent| NodeAccount {
        demand: 100,
        spent,
        avail: 0,
        ..account(seen, 1)
    };
    let told = desk.report(1, busy(0, 0));
    let before = Desk::last(&told, 1).granted;
    assert!(before > 100, "a block of some seconds' demand: {before}");
    let told = desk.report(2, account(0, 9_999));
    let recall = Desk::last(&told, 1).clone();
    assert_eq!(recall.keep, Some(0));
    let answer = NodeAccount {
        answered: recall.version,
        ..busy(before, before)
    };
    let told = desk.report(
        1,
        NodeAccount {
            need: 0,
            waiters: 0,
            ..answer.clone()
        },
    );
    let refused = Desk::last(&told, 2).exhausted_above.unwrap();
    assert_eq!(refused, 10_000 - before);
    let told = desk.report(1, answer);
    let after = Desk::last(&told, 1);
    assert_eq!(after.keep, None, "idle units may be kept again");
    assert!(after.granted > before + 100, "{before} {after:?}");
    assert!(!desk.state().exhausted);
}

#[test]
fn a_bound_counts_what_is_idle_elsewhere_and_binds_no_ticket() {
    let mut desk = Desk::new(1_000);
    desk.report(1, account(0, 500));
    let held = NodeAccount {
        spent: 300,
        ..account(500, 0)
    };
    desk.report(1, held.clone());
    let told = desk.report(2, account(0, 600));
    let version = Desk::last(&told, 1).version;
    let told = desk.report(
        1,
        NodeAccount {
            answered: version,
            ..held.clone()
        },
    );
    assert_eq!(
        Desk::last(&told, 2).exhausted_above,
        Some(500),
        "200 are held at the first node"
    );
    // The first node's requests end, and 200 units are idle there.
    let idle = NodeAccount {
        answered: version,
        avail: 200,
        ..held
    };
    let told = desk.report(1, idle.clone());
    assert_eq!(
        Desk::last(&told, 1).exhausted_above,
        Some(500),
        "besides what it has itself"
    );
    let told = desk.report(2, account(0, 0));
    assert_eq!(Desk::last(&told, 2).exhausted_above, Some(700));
    let told = desk.report(3, account(0, 600));
    assert_eq!(
        Desk::last(&told, 3).exhausted_above,
        None,
        "not decided yet"
    );
    let version = Desk::last(&told, 1).version;
    let returned = NodeAccount {
        answered: version,
        returned: 200,
        avail: 0,
        ..idle
    };
    let told = desk.report(1, returned);
    assert_eq!(Desk::last(&told, 3).granted, 600);
}
