//! A process that goes on in the place of another.

use super::*;

const BUDGET: Kind = Kind::Endless;

fn ended(mut node: Node) -> Estate {
    node.drain(NOW);
    node.estate().unwrap()
}

fn resumed(estate: &Estate, config: Config) -> Node {
    Node::resume("n", config, NOW.after(500), estate)
}

#[test]
fn the_next_process_has_what_the_last_one_had_and_goes_on_with_its_totals() {
    let mut node = node(vec![grant("a", 10)]);
    let (id, _) = node.admit(NOW, &[ask("a", 4)]);
    node.settle(NOW, id, &[3]).unwrap();
    node.give_back(NOW, |_| false);
    let mut heir = resumed(&ended(node), Config::default());
    let later = NOW.after(600);
    assert_eq!(heir.avail("a"), 7);
    // What was granted already is no news, though it arrives late.
    heir.receive(later, &message(NOW, vec![grant("a", 10)]));
    assert_eq!(heir.avail("a"), 7);
    let (id, outcome) = heir.admit(later, &[ask("a", 7)]);
    assert!(is_admitted(&outcome));
    heir.settle(later, id, &[7]).unwrap();
    let said = heir.said(later, "a");
    assert_eq!((said.seen, said.returned, said.spent), (10, 0, 10));
    // It ends when it would have ended.
    let late = NOW.after(30_000);
    let (_, outcome) = heir.admit(late, &[ask("a", 0), ask("b", 1)]);
    assert_eq!(outcome, Outcome::Waiting);
    assert_eq!(heir.view(late, &counter("a")).unwrap().avail, 0);
}

#[test]
fn what_was_given_back_is_given_back_for_both_and_what_is_used_up_is_known() {
    let full = OwnerAccount {
        exhausted_above: Some(0),
        ..grant("b", 2)
    };
    let mut node = node(vec![grant("a", 10), full]);
    node.drain(NOW);
    node.give_back(NOW, |it| *it == counter("a"));
    let mut heir = resumed(&node.estate().unwrap(), Config::default());
    assert_eq!(heir.said(NOW, "a").returned, 10);
    assert_eq!((heir.avail("a"), heir.avail("b")), (0, 2));
    let (_, outcome) = heir.admit(NOW.after(500), &[ask("b", 3)]);
    assert!(matches!(why(&outcome), Why::Exhausted { .. }));
}

#[test]
fn windows_that_were_forgotten_stay_so() {
    let mut node = node(vec![grant("a", 10)]);
    let over = NOW.after(T);
    for _ in 0..16 {
        node.poll_message(over, Scope::All);
    }
    assert!(node.view(over, &counter("a")).is_none());
    let mut heir = resumed(&ended(node), Config::default());
    heir.receive(NOW.after(500), &message(NOW, vec![grant("a", 10)]));
    assert!(heir.view(NOW, &counter("a")).is_none());
}

#[test]
fn budgets_go_on_from_what_is_noted() {
    let config = Config {
        journaled: true,
        ..Config::default()
    };
    let budget = Counter::new("budget", BUDGET, "k").unwrap();
    let told = OwnerAccount {
        counter: budget.clone(),
        window: Window(1),
        ..grant("budget", 100)
    };
    let ask = Ask {
        counter: budget.clone(),
        units: 10,
    };
    let mut node = Node::new("n", ME, config.clone());
    node.admit(NOW, std::slice::from_ref(&ask));
    let notes = node.poll_notes();
    node.noted(NOW, &notes);
    node.receive(NOW, &message(NOW, vec![told]));
    let notes = node.poll_notes();
    node.noted(NOW, &notes);
    let id = node.poll_wake().unwrap().id;
    assert!(node.drained_estate().is_none(), "a request is under way");
    node.stamp(NOW, id);
    node.settle(NOW, id, &[6]).unwrap();
    let last = node.last_notes();
    assert_eq!((last[0].mark, last[0].settled), (6, 6));

    let mut heir = resumed(&node.drained_estate().unwrap(), config);
    assert_eq!(heir.view(NOW, &budget).unwrap().avail, 94);
    // Its own heir would free all above the last notes, so it goes no further before it has noted that.
    let later = NOW.after(500);
    assert_eq!(
        heir.admit(later, std::slice::from_ref(&ask)).1,
        Outcome::Waiting
    );
    let notes = heir.poll_notes();
    assert!(notes[0].mark >= 16, "{notes:?}");
    heir.noted(later, &notes);
    assert!(matches!(
        heir.poll_wake(),
        Some(Wake {
            outcome: Outcome::Taken,
            ..
        })
    ));
}

impl Node {
    fn drained_estate(&mut self) -> Option<Estate> {
        self.draining = true;
        self.estate()
    }
}
