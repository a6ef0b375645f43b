use super::*;
use crate::{Generation, Kind, LimitSpec, NodeAccount, NodeTime, OwnerAccount, Promises, Window};

mod horizon;
mod idle;
mod ledger;
mod operator;
mod promised;
mod queue;
mod recorded;
mod restore;
mod retire;
mod returned;
const T: u64 = 60_000;
const KIND: Kind = Kind::Fixed { window_ms: T };
/// A time ten seconds into a window.
const NOW: OwnerTime = OwnerTime(1_700_000_050_000);
const EPOCH: Epoch = Epoch(7);

fn counter() -> Counter {
    Counter::new("limit", KIND, "k").unwrap()
}

fn limits(units: u64, revision: u64) -> Arc<Limits> {
    let spec = LimitSpec {
        kind: KIND,
        units,
        burst: 0,
        revision,
    };
    Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap())
}

fn window() -> Window {
    Window::at(NOW, T)
}

fn record(hwm: u64, limit: u64, revision: u64, epoch: i64) -> Record {
    Record {
        window: window(),
        hwm,
        limit,
        revision,
        epoch: Epoch(epoch),
        promises: Promises::default(),
        charged: Vec::new(),
    }
}

/// A node's word, as a function of what it has seen.
fn account(seen: u64, need: u64) -> NodeAccount {
    NodeAccount {
        counter: counter(),
        window: window(),
        epoch: EPOCH,
        generation: Generation::FIRST,
        seen,
        returned: 0,
        spent: 0,
        need,
        demand: 0,
        avail: 0,
        waiters: u32::from(need > 0),
        answered: 0,
        promised_back: 0,
    }
}

/// An owner with a store that does what it is told.
struct Desk {
    owner: Owner,
    now: OwnerTime,
    stored: Option<(Record, i64)>,
    horizon: Option<(HorizonRecord, i64)>,
    writes: Vec<Record>,
    t_node: u64,
}

impl Desk {
    fn new(limit: u64) -> Self {
        let owner = Owner::new(EPOCH, Config::default(), limits(limit, 1));
        Self {
            owner,
            now: NOW,
            stored: None,
            horizon: None,
            writes: Vec::new(),
            t_node: 0,
        }
    }

    /// Takes a step and answers what it asks of the store; collects what nodes are told.
    fn step(&mut self, event: Event) -> Vec<(u64, OwnerAccount)> {
        let mut told = Vec::new();
        let mut effects = self.owner.step(self.now, event);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Load(counter) => {
                        let stored = self.stored.clone();
                        let outcome = stored.map_or(Load::Absent, |(r, m)| Load::Found(r, m));
                        effects.extend(
                            self.owner
                                .step(self.now, Event::Loaded { counter, outcome }),
                        );
                    }
                    Effect::Persist {
                        counter,
                        record,
                        expected_mod_revision,
                        ..
                    } => {
                        let modified = self.stored.as_ref().map_or(0, |(_, m)| *m);
                        assert_eq!(expected_mod_revision, modified);
                        self.stored = Some((record.clone(), expected_mod_revision + 1));
                        self.writes.push(record);
                        let outcome = Commit::Committed(expected_mod_revision + 1);
                        effects.extend(
                            self.owner
                                .step(self.now, Event::Persisted { counter, outcome }),
                        );
                    }
                    Effect::Send(message) => {
                        let to = message.incarnation.0;
                        told.extend(message.accounts.into_iter().map(|a| (to, a)));
                    }
                    Effect::StepDown(reason) => panic!("stepped down: {reason:?}"),
                    Effect::LoadHorizon => {
                        let outcome = self
                            .horizon
                            .clone()
                            .map_or(Load::Absent, |(r, m)| Load::Found(r, m));
                        effects.extend(self.owner.step(self.now, Event::HorizonLoaded(outcome)));
                    }
                    Effect::PersistHorizon {
                        record,
                        expected_mod_revision,
                    } => {
                        let stored = self.horizon.as_ref();
                        assert_eq!(expected_mod_revision, stored.map_or(0, |(_, m)| *m));
                        self.horizon = Some((record, expected_mod_revision + 1));
                        let outcome = Commit::Committed(expected_mod_revision + 1);
                        effects.extend(self.owner.step(self.now, Event::HorizonPersisted(outcome)));
                    }
                }
            }
        }
        told
    }

    fn message(&mut self, node: u64, account: NodeAccount) -> NodeMessage {
        self.t_node += 1;
        NodeMessage {
            node: format!("n{node}").into(),
            incarnation: Incarnation(node),
            t_node: NodeTime(self.t_node),
            accounts: vec![account],
            closes: Vec::new(),
        }
    }

    fn report(&mut self, node: u64, account: NodeAccount) -> Vec<(u64, OwnerAccount)> {
        let message = self.message(node, account);
        self.step(Event::Node(message))
    }

    /// The last word to a node about the counter.
    fn last(told: &[(u64, OwnerAccount)], node: u64) -> &OwnerAccount {
        &told.iter().rev().find(|(to, _)| *to == node).unwrap().1
    }

    fn state(&self) -> CounterState {
        self.owner.snapshot(self.now).next().unwrap()
    }
}

#[test]
fn nothing_is_handed_out_before_it_is_durable() {
    let mut owner = Owner::new(EPOCH, Config::default(), limits(100, 1));
    let message = Desk::new(100).message(1, account(0, 1));
    let loading = owner.step(NOW, Event::Node(message));
    assert_eq!(loading[0], Effect::Load(counter()));
    assert!(matches!(&loading[1], Effect::Send(m) if m.accounts.is_empty()));
    let writing = owner.step(
        NOW,
        Event::Loaded {
            counter: counter(),
            outcome: Load::Absent,
        },
    );
    let Effect::Persist {
        record: written,
        expected_mod_revision: 0,
        ..
    } = &writing[0]
    else {
        panic!("{writing:?}")
    };
    assert_eq!(*written, record(16, 100, 1, 7));
    assert!(
        writing
            .iter()
            .all(|e| !matches!(e, Effect::Send(m) if m.accounts[0].granted > 0))
    );
    let done = owner.step(
        NOW,
        Event::Persisted {
            counter: counter(),
            outcome: Commit::Committed(5),
        },
    );
    assert!(matches!(&done[0], Effect::Send(m) if m.accounts[0].granted == 1));
}

#[test]
fn a_window_takes_at_most_sixteen_debits() {
    for (limit, most) in [
        (1, 1),
        (10, 1),
        (16, 1),
        (100, 7),
        (1_000, 16),
        (1_000_000, 16),
    ] {
        let mut desk = Desk::new(limit);
        let mut seen = 0;
        let need = limit.div_ceil(200);
        while seen < limit {
            let told = desk.report(
                1,
                NodeAccount {
                    spent: seen,
                    ..account(seen, need)
                },
            );
            let granted = Desk::last(&told, 1).granted;
            assert!(granted > seen, "limit {limit}: stuck at {seen}");
            seen = granted;
        }
        assert_eq!(desk.writes.last().unwrap().hwm, limit);
        assert!(
            desk.writes.len() <= most,
            "limit {limit}: {} writes",
            desk.writes.len()
        );
    }
}

#[test]
fn a_write_of_unknown_outcome_is_used_only_once_it_is_read_back() {
    // What the read finds, and how much may be handed out then without another write.
    let check = |found: Load, handed_out: bool| {
        let mut owner = Owner::new(EPOCH, Config::default(), limits(16, 1));
        owner.step(NOW, Event::Node(Desk::new(16).message(1, account(0, 5))));
        owner.step(
            NOW,
            Event::Loaded {
                counter: counter(),
                outcome: Load::Absent,
            },
        );
        let unknown = Event::Persisted {
            counter: counter(),
            outcome: Commit::Unknown,
        };
        assert_eq!(owner.step(NOW, unknown), [Effect::Load(counter())]);
        let effects = owner.step(
            NOW,
            Event::Loaded {
                counter: counter(),
                outcome: found.clone(),
            },
        );
        let granted = effects
            .iter()
            .any(|e| matches!(e, Effect::Send(m) if m.accounts[0].granted >= 5));
        let writes = effects.iter().any(|e| matches!(e, Effect::Persist { .. }));
        assert_eq!(
            (granted, writes),
            (handed_out, !handed_out),
            "{found:?}: {effects:?}"
        );
    };
    check(Load::Found(record(16, 16, 1, 7), 3), true);
    check(Load::Absent, false);
    // Somebody else's: an earlier owner debited eight of the sixteen, eight are left to debit.
    check(Load::Found(record(8, 16, 1, 6), 3), false);
}

#[test]
fn a_term_ends_when_another_is_seen() {
    let later = Epoch(8);
    let start = || {
        let mut owner = Owner::new(EPOCH, Config::default(), limits(16, 1));
        owner.step(NOW, Event::Node(Desk::new(16).message(1, account(0, 5))));
        owner
    };
    let mut owner = start();
    let found = Load::Found(record(8, 16, 1, 8), 3);
    let effects = owner.step(
        NOW,
        Event::Loaded {
            counter: counter(),
            outcome: found,
        },
    );
    assert_eq!(effects, [Effect::StepDown(Reason::LaterEpoch(later))]);

    let mut owner = start();
    let report = NodeAccount {
        epoch: later,
        ..account(0, 1)
    };
    let effects = owner.step(NOW, Event::Node(Desk::new(16).message(2, report)));
    assert_eq!(effects, [Effect::StepDown(Reason::LaterEpoch(later))]);

    let mut owner = start();
    owner.step(
        NOW,
        Event::Loaded {
            counter: counter(),
            outcome: Load::Absent,
        },
    );
    let lost = Event::Persisted {
        counter: counter(),
        outcome: Commit::Lost,
    };
    assert_eq!(
        owner.step(NOW, lost.clone()),
        [Effect::StepDown(Reason::GuardFailed)]
    );
    assert!(
        owner.step(NOW, lost).is_empty(),
        "a term that is over says nothing more"
    );
}

#[test]
fn a_new_owner_hands_out_only_what_was_never_debited() {
    let mut desk = Desk::new(100);
    desk.stored = Some((record(98, 100, 1, 6), 9));
    let told = desk.report(
        1,
        NodeAccount {
            epoch: Epoch(6),
            ..account(40, 1)
        },
    );
    assert_eq!(Desk::last(&told, 1).granted, 1);
    let told = desk.report(
        1,
        NodeAccount {
            spent: 1,
            ..account(1, 1)
        },
    );
    assert_eq!(Desk::last(&told, 1).granted, 2);
    let told = desk.report(
        1,
        NodeAccount {
            spent: 2,
            ..account(2, 1)
        },
    );
    assert_eq!(Desk::last(&told, 1).granted, 2);
    assert_eq!(Desk::last(&told, 1).exhausted_above, Some(0));
}

#[test]
fn a_lagging_owner_obeys_the_stored_limit() {
    let mut desk = Desk::new(100);
    // Policy says 100 at revision 1; revision 2 has lowered it to 10, and 9 are gone.
    desk.stored = Some((record(9, 10, 2, 6), 9));
    let told = desk.report(1, account(0, 1));
    assert_eq!(
        (Desk::last(&told, 1).granted, Desk::last(&told, 1).limit),
        (1, 10)
    );
    let told = desk.report(
        1,
        NodeAccount {
            spent: 1,
            ..account(1, 1)
        },
    );
    assert_eq!(Desk::last(&told, 1).exhausted_above, Some(0));
    desk.step(Event::Limits(limits(20, 3)));
    assert_eq!(desk.writes.last().unwrap().limit, 20);
    let told = desk.report(
        1,
        NodeAccount {
            spent: 1,
            ..account(1, 1)
        },
    );
    assert_eq!(
        (Desk::last(&told, 1).granted, Desk::last(&told, 1).limit),
        (2, 20)
    );
}

#[test]
fn a_raised_limit_counts_once_it_is_durable_a_lowered_one_at_once() {
    let mut desk = Desk::new(10);
    desk.report(
        1,
        NodeAccount {
            demand: 10,
            ..account(0, 10)
        },
    );
    let effects = desk.owner.step(NOW, Event::Limits(limits(30, 2)));
    assert!(matches!(effects.as_slice(), [Effect::Persist { record, .. }] if record.limit == 30));
    let message = desk.message(2, account(0, 1));
    let effects = desk.owner.step(NOW, Event::Node(message));
    assert!(matches!(&effects[0], Effect::Send(m) if m.accounts[0].granted == 0));

    let mut desk = Desk::new(100);
    desk.report(
        1,
        NodeAccount {
            demand: 40,
            ..account(0, 1)
        },
    );
    let out = desk.state().nodes[0].granted;
    assert!(out > 10);
    let told = desk.step(Event::Limits(limits(10, 2)));
    assert_eq!(
        Desk::last(&told, 1).keep,
        Some(0),
        "idle units are called back"
    );
    let told = desk.report(2, account(0, 1));
    assert_eq!(Desk::last(&told, 2).granted, 0);
    assert_eq!(desk.writes.last().unwrap().limit, 10);
}

#[test]
fn windows_never_go_back() {
    let mut desk = Desk::new(10);
    let next = Window(window().0 + 1);
    desk.stored = Some((
        Record {
            window: next,
            ..record(9, 10, 1, 6)
        },
        4,
    ));
    let told = desk.report(1, account(0, 1));
    assert_eq!(
        (Desk::last(&told, 1).window, Desk::last(&told, 1).granted),
        (next, 1)
    );
    desk.now = OwnerTime(NOW.0 + T);
    let told = desk.report(
        1,
        NodeAccount {
            window: next,
            spent: 1,
            ..account(1, 1)
        },
    );
    assert_eq!(
        Desk::last(&told, 1).exhausted_above,
        Some(0),
        "the label's units are used up"
    );
}
