use proptest::prelude::*;

use super::*;
use crate::{Counter, Kind};

fn counter() -> Counter {
    Counter::new("budget", Kind::Endless, "").unwrap()
}

fn row() -> LedgerRow {
    LedgerRow::new(Window(1), Incarnation(7), "n".into())
}

fn close(mark: u64, settled: u64) -> Close {
    Close {
        incarnation: Incarnation(7),
        counter: counter(),
        window: Window(1),
        mark,
        settled,
    }
}

#[test]
fn the_first_closing_frees_all_but_the_mark_and_later_words_only_add_what_was_spent() {
    let mut row = LedgerRow {
        granted: 100,
        ..row()
    };
    row.merge(20, 30);
    assert_eq!(row.charge(), 80);
    row.close(&close(50, 35), false);
    assert_eq!((row.charge(), row.freed, row.settled), (50, 30, 35));
    // A late return, and another closing, free nothing more.
    row.merge(60, 30);
    row.close(&close(0, 0), false);
    assert_eq!((row.charge(), row.returned), (50, 20));
    // A higher figure of what was spent counts, whoever says it.
    row.merge(60, 55);
    assert_eq!(row.charge(), 55);
}

#[test]
fn an_operator_may_close_at_less_but_never_below_what_was_spent() {
    let mut row = LedgerRow {
        granted: 100,
        ..row()
    };
    row.close(&close(80, 10), false);
    row.close(&close(40, 0), true);
    assert_eq!((row.charge(), row.freed), (40, 60));
    row.close(&close(0, 0), true);
    assert_eq!(row.charge(), 10);
}

#[test]
fn what_was_spent_beyond_a_grant_is_charged_and_owed() {
    let mut row = LedgerRow {
        granted: 10,
        ..row()
    };
    row.merge(0, 15);
    assert_eq!((row.charge(), row.debt()), (15, 5));
    // Granting the debt costs the limit nothing.
    row.granted += 5;
    assert_eq!((row.charge(), row.debt()), (15, 0));
}

/// What can happen to a row.
#[derive(Debug, Clone)]
enum Step {
    Grant(u64),
    /// The process gives back, reserves, or settles this part in a thousand of what it could.
    Return(u64),
    Reserve(u64),
    Settle(u64, u64),
    /// A report arrives: the one made so many steps ago.
    Report(usize),
    Die,
    Close,
    /// Another owner takes over: what was not written is lost.
    TakeOver,
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..50u64).prop_map(Step::Grant),
        (0..1_001u64).prop_map(Step::Return),
        (0..1_001u64).prop_map(Step::Reserve),
        (0..1_001u64, 0..1_201u64).prop_map(|(part, used)| Step::Settle(part, used)),
        (0..6usize).prop_map(Step::Report),
        Just(Step::Die),
        Just(Step::Close),
        Just(Step::TakeOver),
        Just(Step::Write),
    ]
}

/// A process as it is, and what it has noted.
#[derive(Default)]
struct Process {
    dead: bool,
    seen: u64,
    returned: u64,
    held: u64,
    spent: u64,
    overrun: u64,
    mark: u64,
}

impl Process {
    fn idle(&self) -> u64 {
        self.seen
            .saturating_sub(self.returned + self.held + self.spent)
    }
}

fn part(of: u64, thousandths: u64) -> u64 {
    of * thousandths / 1_000
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is lost, late, repeated or closed: the row is charged for all that the process has used or may
    /// still use, except for overruns that nobody could say before the process died.
    #[test]
    fn a_row_is_never_charged_less_than_was_used(steps in prop::collection::vec(step(), 1..80)) {
        let (mut durable, mut known) = (row(), row());
        let mut process = Process::default();
        let mut reports = vec![(0, 0)];
        for step in steps {
            match step {
                Step::Grant(units) if !known.closed => {
                    known.granted += units;
                    durable = known.clone();
                    if !process.dead {
                        process.seen = known.granted;
                    }
                }
                Step::Return(part_of) if !process.dead => process.returned += part(process.idle(), part_of),
                Step::Reserve(part_of) if !process.dead => {
                    process.held += part(process.idle(), part_of);
                    process.mark = process.mark.max(process.held + process.spent);
                }
                Step::Settle(part_of, used) if !process.dead => {
                    let units = part(process.held, part_of);
                    let actual = part(units, used);
                    process.held -= units;
                    process.spent += actual;
                    process.overrun += actual.saturating_sub(units);
                }
                Step::Report(ago) => {
                    let at = reports.len().saturating_sub(1 + ago);
                    let (returned, spent) = reports[at];
                    known.merge(returned, spent);
                }
                Step::Die => process.dead = true,
                Step::Close if process.dead => {
                    let spent = process.spent.min(process.mark);
                    known.close(&close(process.mark, spent), false);
                    prop_assert!(known.charge() >= process.mark);
                }
                Step::TakeOver => known = durable.clone(),
                Step::Write => durable = known.clone(),
                Step::Grant(_) | Step::Return(_) | Step::Reserve(_) | Step::Settle(..) | Step::Close => {}
            }
            if !process.dead {
                reports.push((process.returned, process.spent));
            }
            let used = process.held + process.spent;
            for row in [&known, &durable] {
                prop_assert!(row.charge() + process.overrun >= used, "{row:?}: {used} used");
                prop_assert!(row.returned + row.freed <= row.granted, "{row:?}");
            }
            if !process.dead {
                // Nothing is freed that a living process could still use.
                prop_assert!(durable.charge().max(known.charge()) + process.overrun >= used + process.idle());
            }
        }
    }
}
