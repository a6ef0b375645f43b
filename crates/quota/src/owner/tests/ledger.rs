//! Counters kept by rows: what is written when, and what a new owner makes of it.

use std::collections::BTreeMap;

use super::*;
use crate::owner::LedgerRow;
use crate::{Close, Period, Zone};

const BUDGET: Kind = Kind::Endless;

fn budget() -> Counter {
    Counter::new("limit", BUDGET, "k").unwrap()
}

/// A store of one counter, and the owner of the moment.
pub(super) struct Books {
    pub(super) owner: Owner,
    epoch: i64,
    kind: Kind,
    pub(super) now: OwnerTime,
    record: Option<(Record, i64)>,
    rows: BTreeMap<(Window, Incarnation), LedgerRow>,
    writes: usize,
    t_node: u64,
    closed: Vec<Close>,
}

impl Books {
    pub(super) fn new(kind: Kind, units: u64) -> Self {
        Self {
            owner: Owner::new(EPOCH, Config::default(), Self::limits(kind, units, 1)),
            epoch: EPOCH.0,
            kind,
            now: NOW,
            record: None,
            rows: BTreeMap::new(),
            writes: 0,
            t_node: 0,
            closed: Vec::new(),
        }
    }

    fn limits(kind: Kind, units: u64, revision: u64) -> Arc<Limits> {
        let spec = LimitSpec {
            kind,
            units,
            burst: units,
            revision,
        };
        Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap())
    }

    pub(super) fn counter(&self) -> Counter {
        Counter::new("limit", self.kind, "k").unwrap()
    }

    /// Makes this what the store has.
    pub(super) fn store(&mut self, record: Record, rows: Vec<LedgerRow>) {
        let modified = self.record.as_ref().map_or(0, |(_, m)| *m);
        self.record = Some((record, modified + 1));
        let rows = rows.into_iter();
        self.rows
            .extend(rows.map(|row| ((row.window, row.incarnation), row)));
    }

    pub(super) fn take_over(&mut self, units: u64) {
        self.epoch += 1;
        let limits = Self::limits(self.kind, units, 1);
        self.owner = Owner::new(Epoch(self.epoch), Config::default(), limits);
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<(u64, OwnerAccount)> {
        let mut told = Vec::new();
        let mut effects = self.owner.step(self.now, event);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                let answer = match effect {
                    Effect::Load(counter) => Event::Loaded {
                        counter,
                        outcome: Load::Rows {
                            record: self.record.clone(),
                            rows: self.rows.values().cloned().collect(),
                        },
                    },
                    Effect::Persist {
                        counter,
                        record,
                        rows,
                        expected_mod_revision,
                    } => {
                        let modified = self.record.as_ref().map_or(0, |(_, m)| *m);
                        assert_eq!(expected_mod_revision, modified);
                        self.store(record, rows);
                        self.writes += 1;
                        let outcome = Commit::Committed(modified + 1);
                        Event::Persisted { counter, outcome }
                    }
                    Effect::Send(message) => {
                        let to = message.incarnation.0;
                        self.closed.extend(message.closed);
                        told.extend(message.accounts.into_iter().map(|a| (to, a)));
                        continue;
                    }
                    Effect::LoadHorizon | Effect::PersistHorizon { .. } => continue,
                    Effect::StepDown(reason) => panic!("stepped down: {reason:?}"),
                };
                effects.extend(self.owner.step(self.now, answer));
            }
        }
        told
    }

    /// A node says: seen, returned, spent, need.
    pub(super) fn report(
        &mut self,
        node: u64,
        [seen, returned, spent, need]: [u64; 4],
    ) -> Vec<(u64, OwnerAccount)> {
        self.t_node += 1;
        let idle = seen.cast_signed() - (returned + spent).cast_signed();
        let message = NodeMessage {
            node: format!("n{node}").into(),
            incarnation: Incarnation(node),
            t_node: NodeTime(self.t_node),
            accounts: vec![NodeAccount {
                counter: self.counter(),
                window: self.kind.span(self.now).window,
                returned,
                spent,
                avail: idle,
                ..account(seen, need)
            }],
            closes: Vec::new(),
        };
        self.step(Event::Node(message))
    }

    pub(super) fn close(&mut self, heir: u64, close: Close) -> bool {
        self.t_node += 1;
        self.closed.clear();
        let message = NodeMessage {
            node: "heir".into(),
            incarnation: Incarnation(heir),
            t_node: NodeTime(self.t_node),
            accounts: Vec::new(),
            closes: vec![close],
        };
        self.step(Event::Node(message));
        !self.closed.is_empty()
    }

    pub(super) fn word(&self, dead: u64, mark: u64, settled: u64) -> Close {
        Close {
            incarnation: Incarnation(dead),
            counter: self.counter(),
            window: self.kind.span(self.now).window,
            mark,
            settled,
        }
    }

    fn state(&self) -> CounterState {
        self.owner.snapshot(self.now).next().unwrap()
    }

    /// The books, which must balance.
    pub(super) fn books(&self) -> crate::owner::Books {
        let state = self.state();
        let books = state.books.unwrap();
        assert_eq!(
            books.settled + books.outstanding + books.suspense + books.free,
            state.limit + books.debt,
            "{state:?}"
        );
        books
    }

    pub(super) fn row(&self, node: u64) -> LedgerRow {
        let window = self.kind.span(self.now).window;
        self.rows[&(window, Incarnation(node))].clone()
    }
}

#[test]
fn the_row_is_written_before_the_node_hears_of_its_units() {
    let mut books = Books::new(BUDGET, 1_000);
    let told = books.report(1, [0, 0, 0, 10]);
    assert_eq!((books.row(1).granted, books.writes), (10, 1));
    assert_eq!(told.last().unwrap().1.granted, 10);

    // A write of unknown outcome grants nothing until it is read back.
    let mut owner = Owner::new(EPOCH, Config::default(), Books::limits(BUDGET, 1_000, 1));
    let message = NodeMessage {
        node: "n1".into(),
        incarnation: Incarnation(1),
        t_node: NodeTime(1),
        accounts: vec![NodeAccount {
            counter: budget(),
            window: Window(0),
            ..account(0, 10)
        }],
        closes: Vec::new(),
    };
    owner.step(NOW, Event::Node(message));
    let outcome = Load::Absent;
    let effects = owner.step(
        NOW,
        Event::Loaded {
            counter: budget(),
            outcome,
        },
    );
    let Some(Effect::Persist { record, rows, .. }) = effects
        .into_iter()
        .find(|e| matches!(e, Effect::Persist { .. }))
    else {
        panic!("no write");
    };
    let unknown = Event::Persisted {
        counter: budget(),
        outcome: Commit::Unknown,
    };
    assert_eq!(owner.step(NOW, unknown), [Effect::Load(budget())]);
    let outcome = Load::Rows {
        record: Some((record, 3)),
        rows,
    };
    let effects = owner.step(
        NOW,
        Event::Loaded {
            counter: budget(),
            outcome,
        },
    );
    assert!(
        matches!(&effects[..], [Effect::Send(message)] if message.accounts[0].granted == 10),
        "{effects:?}"
    );
}

#[test]
fn a_new_owner_goes_on_where_the_rows_are_and_loses_nothing() {
    let mut books = Books::new(BUDGET, 100);
    books.report(1, [0, 0, 0, 40]);
    books.report(2, [0, 0, 0, 30]);
    books.report(1, [40, 5, 20, 0]);
    books.take_over(100);
    // Not written yet: what node 1 said of its 40. The new owner takes it for out until it hears it again.
    books.report(2, [30, 0, 0, 0]);
    assert_eq!(books.books().free, 30);
    books.report(1, [40, 5, 20, 0]);
    assert_eq!((books.books().free, books.books().settled), (35, 20));
    let told = books.report(2, [30, 0, 0, 35]);
    assert_eq!(told.last().unwrap().1.granted, 65);
    assert_eq!(books.books().free, 0);
}

#[test]
fn what_was_settled_is_written_after_a_while_or_with_the_next_grant() {
    let mut books = Books::new(BUDGET, 1_000);
    books.report(1, [0, 0, 0, 10]);
    books.report(1, [10, 0, 4, 0]);
    assert_eq!((books.row(1).settled, books.writes), (0, 1));
    books.now = books.now.after(2_000);
    books.step(Event::Tick);
    assert_eq!((books.row(1).settled, books.writes), (4, 2));
    books.report(1, [10, 0, 9, 0]);
    books.report(2, [0, 0, 0, 1]);
    assert_eq!((books.row(1).settled, books.writes), (9, 3));
}

#[test]
fn blocks_are_small_against_what_remains() {
    let mut books = Books::new(BUDGET, 1_000_000);
    let mut report = |demand| {
        books.t_node += 1;
        let message = NodeMessage {
            node: "n1".into(),
            incarnation: Incarnation(1),
            t_node: NodeTime(books.t_node),
            accounts: vec![NodeAccount {
                counter: budget(),
                window: Window(1),
                demand,
                ..account(0, 10)
            }],
            closes: Vec::new(),
        };
        books.step(Event::Node(message));
        books.row(1).granted
    };
    assert_eq!(report(1_000_000), 5_000);
}

#[test]
fn a_debt_is_covered_at_once_and_costs_the_limit_nothing_more() {
    let mut books = Books::new(BUDGET, 100);
    books.report(1, [0, 0, 0, 10]);
    let told = books.report(1, [10, 0, 25, 15]);
    assert_eq!(told.last().unwrap().1.granted, 25);
    assert_eq!((books.books().free, books.books().debt), (75, 0));
    books.report(1, [25, 0, 120, 95]);
    assert_eq!(
        (
            books.books().free,
            books.books().debt,
            books.books().settled
        ),
        (0, 20, 120)
    );
}

#[test]
fn a_dead_process_holds_its_units_until_its_heir_closes_it() {
    let mut books = Books::new(BUDGET, 100);
    books.report(1, [0, 0, 0, 60]);
    books.report(1, [60, 0, 10, 0]);
    books.report(2, [0, 0, 0, 1]);
    books.step(Event::Disconnected(Incarnation(1)));
    let books_before = books.books();
    assert_eq!((books_before.suspense, books_before.free), (50, 39));
    let word = books.word(1, 25, 12);
    assert!(
        !books.close(3, word.clone()),
        "not durable when first heard"
    );
    assert!(books.close(3, word));
    assert!(books.row(1).closed);
    let after = books.books();
    assert_eq!((after.settled, after.suspense, after.free), (12, 13, 74));
    // A late return of the dead does not count.
    books.report(1, [60, 50, 10, 0]);
    assert_eq!(books.books(), after);
    // An operator says that nothing more was spent.
    let word = books.word(1, 12, 12);
    books.step(Event::Release(word));
    assert_eq!((books.books().suspense, books.books().free), (0, 87));
}

#[test]
fn a_process_that_lives_is_not_closed() {
    let mut books = Books::new(BUDGET, 100);
    books.report(1, [0, 0, 0, 60]);
    let word = books.word(1, 0, 0);
    assert!(!books.close(3, word.clone()));
    assert!(!books.close(3, word));
    assert!(!books.row(1).closed);
    assert_eq!(books.books().outstanding, 60);
}

#[test]
fn a_closing_survives_a_takeover_and_an_unread_counter() {
    let mut books = Books::new(BUDGET, 100);
    books.report(1, [0, 0, 0, 60]);
    books.take_over(100);
    let word = books.word(1, 25, 12);
    assert!(!books.close(3, word.clone()));
    assert!(books.close(3, word));
    assert_eq!(books.row(1).charge(), 25);
    books.take_over(100);
    books.report(2, [0, 0, 0, 75]);
    assert_eq!(books.row(2).granted, 75);
}

#[test]
fn slots_of_a_dead_process_come_back_whole() {
    let mut books = Books::new(Kind::Concurrent, 2);
    books.report(1, [0, 0, 0, 2]);
    assert_eq!(books.row(1).granted, 2);
    let word = books.word(1, 0, 0);
    books.step(Event::Disconnected(Incarnation(1)));
    books.close(2, word);
    books.report(2, [0, 0, 0, 2]);
    assert_eq!(books.row(2).granted, 2);
    assert_eq!(books.books().outstanding + books.books().suspense, 2);
}

#[test]
fn a_month_begins_from_zero_and_its_rows_are_of_that_month() {
    let kind = Kind::Calendar {
        period: Period::Month,
        zone: Zone::named("Europe/Berlin").unwrap(),
    };
    let mut books = Books::new(kind, 100);
    books.report(1, [0, 0, 0, 60]);
    let first = kind.span(books.now);
    books.now = first.end;
    let told = books.report(1, [0, 0, 0, 70]);
    assert_eq!(
        (
            told.last().unwrap().1.granted,
            told.last().unwrap().1.window
        ),
        (70, Window(first.window.0 + 1))
    );
    assert_eq!(books.rows.len(), 2);
    // A clock that lags does not bring the old month back.
    books.take_over(100);
    books.now = OwnerTime(first.end.0 - 5);
    let told = books.report(2, [0, 0, 0, 30]);
    assert_eq!(told.last().unwrap().1.window, Window(first.window.0 + 1));
    assert_eq!(
        books.rows[&(Window(first.window.0 + 1), Incarnation(2))].granted,
        30
    );
}

#[test]
fn many_rows_are_written_a_bounded_number_at_a_time() {
    let mut books = Books::new(BUDGET, 100_000);
    for node in 1..=100 {
        books.report(node, [0, 0, 0, 10]);
        books.report(node, [10, 0, 5, 0]);
    }
    books.now = books.now.after(2_000);
    books.step(Event::Tick);
    books.step(Event::Tick);
    assert!(books.rows.values().all(|row| row.settled == 5));
    assert_eq!(books.books().settled, 500);
}

#[test]
fn who_comes_back_is_asked_for_what_it_does_not_know_it_has() {
    let mut books = Books::new(BUDGET, 10);
    books.report(1, [0, 0, 0, 10]);
    // The grant is lost with its owner, and process 1 is away as the next one finds nothing left.
    books.take_over(10);
    let told = books.report(2, [0, 0, 0, 3]);
    assert_eq!(told.last().unwrap().1.exhausted_above, Some(0));
    books.now = books.now.after(100);
    let silent = NodeMessage {
        node: "n1".into(),
        incarnation: Incarnation(1),
        t_node: NodeTime(100),
        accounts: Vec::new(),
        closes: Vec::new(),
    };
    books.step(Event::Node(silent));
    // Whatever next is heard of the counter will do.
    let told = books.report(2, [0, 0, 0, 0]);
    let asked = told.iter().find(|(to, _)| *to == 1);
    let asked = asked.map(|(_, account)| (account.granted, account.keep));
    assert_eq!(asked, Some((10, Some(0))));
    books.report(1, [10, 10, 0, 0]);
    let told = books.report(2, [0, 0, 0, 3]);
    assert_eq!(told.last().unwrap().1.granted, 3);
}
