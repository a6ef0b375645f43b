//! One owner, three nodes, and a store, one step after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::{self, Ask, Node, Outcome, RequestId, Scope};
use crate::owner::{self, Commit, Effect, HorizonRecord, LedgerRow, Load, Owner, Record};
use crate::{
    Counter, Epoch, Generation, Incarnation, Kind, LONGEST_LEASE_MS, LimitSpec, Limits,
    NodeMessage, NodeTime, OwnerMessage, OwnerTime, Window,
};

use crate::properties::{BEGIN, KINDS, NODES, Step, T};

/// A reservation.
struct Reservation {
    counter: Counter,
    units: u64,
    /// Once it is admitted: its window and its place among the stamps.
    admitted: Option<(Window, usize)>,
}

/// What totals are of.
type Account = (Incarnation, Counter, Window, Generation);

/// The machines of a schedule, what is under way between them, and what they have done.
pub(super) struct Bench {
    counter: Counter,
    now: u64,
    owner: Owner,
    nodes: Vec<Node>,
    open: Vec<BTreeMap<RequestId, Reservation>>,
    to_owner: Vec<NodeMessage>,
    to_node: Vec<OwnerMessage>,
    operations: Vec<Effect>,
    stored: Option<(Record, i64)>,
    rows: BTreeMap<(Window, Incarnation), LedgerRow>,
    horizon: Option<(HorizonRecord, i64)>,
    /// The units of the newest policy, and the most that any had.
    units: u64,
    most: u64,
    revision: u64,
    largest_limit: BTreeMap<Window, u64>,
    pub(super) admitted: BTreeMap<Window, u64>,
    /// What was truly spent, and what of it the owner has forgiven.
    spent: BTreeMap<Window, u64>,
    forgiven: BTreeMap<Window, u64>,
    /// When units were stamped that were not refunded.
    stamps: Vec<(u64, u64)>,
    /// The last totals of each account, and when they were reported.
    totals: BTreeMap<Account, ([u64; 3], u64)>,
}

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        let node = |n| Node::new("n", Incarnation(n as u64), node::Config::default());
        Self {
            counter: Counter::new("limit", kind, "").unwrap(),
            now: BEGIN,
            owner: Owner::new(Epoch(1), owner::Config::default(), limits(kind, 10, 1)),
            nodes: (0..NODES).map(node).collect(),
            open: (0..NODES).map(|_| BTreeMap::new()).collect(),
            to_owner: Vec::new(),
            to_node: Vec::new(),
            operations: Vec::new(),
            stored: None,
            rows: BTreeMap::new(),
            horizon: None,
            units: 10,
            most: 10,
            revision: 1,
            largest_limit: BTreeMap::new(),
            admitted: BTreeMap::new(),
            spent: BTreeMap::new(),
            forgiven: BTreeMap::new(),
            stamps: Vec::new(),
            totals: BTreeMap::new(),
        }
    }

    fn kind(&self) -> Kind {
        self.counter.kind()
    }

    fn is_counted(&self) -> bool {
        self.kind() == KINDS[0]
    }

    fn node_time(&self) -> NodeTime {
        NodeTime(self.now - BEGIN)
    }

    pub(super) fn take(&mut self, step: &Step) {
        match *step {
            Step::Reserve { node, units, who } => {
                let counter = match who {
                    // What is kept by rows has no parts.
                    who if who == 0 || self.kind().is_ledger() => self.counter.clone(),
                    who => self.counter.part(&format!("user={who}")),
                };
                let asks = [Ask {
                    counter: &counter,
                    units,
                }];
                let now = self.node_time();
                let (id, outcome) = self.nodes[node].reserve(now, &asks, now.after(1_000));
                let reservation = Reservation {
                    counter,
                    units,
                    admitted: None,
                };
                self.open[node].insert(id, reservation);
                self.resolve(node, id, &outcome);
            }
            Step::Settle { node, percent } => self.settle(node, percent),
            Step::Report { node, all } => {
                let scope = if all { Scope::All } else { Scope::Changed };
                self.report(node, scope);
            }
            Step::ToOwner { message } if !self.to_owner.is_empty() => {
                self.deliver_to_owner(message.index(self.to_owner.len()));
            }
            Step::ToNode { message } if !self.to_node.is_empty() => {
                self.deliver_to_node(message.index(self.to_node.len()));
            }
            Step::Store { known, done } if !self.operations.is_empty() => self.store(known, done),
            Step::Limit { units } => {
                self.revision += 1;
                self.units = units;
                self.most = units.max(self.most);
                let limits = limits(self.kind(), units, self.revision);
                self.owner_step(owner::Event::Limits(limits));
            }
            // What they mean for each keeping is tested beside it; here they meet the one with marks.
            Step::Raise { units, ms } if self.is_counted() => self.raise(units, ms),
            Step::Reset if self.is_counted() => {
                self.owner_step(owner::Event::Reset(self.counter.clone()));
            }
            Step::Exchange => self.exchange(),
            Step::Wait { ms } => {
                self.now += ms;
                self.owner_step(owner::Event::Tick);
                let now = self.node_time();
                self.nodes.iter_mut().for_each(|node| node.tick(now));
            }
            _ => {}
        }
        self.note_limit();
        for node in 0..NODES {
            while let Some(wake) = self.nodes[node].poll_wake() {
                self.resolve(node, wake.id, &wake.outcome);
            }
        }
    }

    fn deliver_to_owner(&mut self, message: usize) {
        let message = self.to_owner[message].clone();
        self.owner_step(owner::Event::Node(message));
    }

    fn deliver_to_node(&mut self, message: usize) {
        let message = self.to_node[message].clone();
        let node = usize::try_from(message.incarnation.0).unwrap();
        let now = self.node_time();
        self.nodes[node].receive(now, &message);
    }

    fn exchange(&mut self) {
        let heard = self.to_node.len();
        for node in 0..NODES {
            self.report(node, Scope::All);
            self.deliver_to_owner(self.to_owner.len() - 1);
        }
        while !self.operations.is_empty() {
            self.store(true, true);
        }
        for message in heard..self.to_node.len() {
            self.deliver_to_node(message);
        }
    }

    /// Where no record says which limit was in force in a window, it is any that the owner knew meanwhile.
    fn note_limit(&mut self) {
        if self.kind().is_by_horizon() {
            let window = self.kind().span(OwnerTime(self.now)).window;
            let largest = self.largest_limit.entry(window).or_default();
            *largest = self.units.max(*largest);
        }
    }

    fn resolve(&mut self, node: usize, id: RequestId, outcome: &Outcome) {
        match outcome {
            Outcome::Waiting => {}
            Outcome::Taken => {
                let now = self.node_time();
                let outcome = self.nodes[node].stamp(now, id);
                self.resolve(node, id, &outcome);
            }
            Outcome::Denied(_) => drop(self.open[node].remove(&id).unwrap()),
            Outcome::Admitted(admission) => {
                let window = admission.limits[0].window;
                let open = self.open[node].get_mut(&id).unwrap();
                open.admitted = Some((window, self.stamps.len()));
                self.stamps.push((self.now, open.units));
                *self.admitted.entry(window).or_default() += open.units;
            }
        }
    }

    fn settle(&mut self, node: usize, percent: u64) {
        let admitted = |(id, it): (&RequestId, &Reservation)| Some((*id, it.units, it.admitted?));
        let Some((id, units, (window, stamp))) = self.open[node].iter().find_map(admitted) else {
            return;
        };
        self.open[node].remove(&id);
        // A slot is never used up.
        let slot = self.kind() == Kind::Concurrent;
        let actual = if slot { 0 } else { units * percent / 100 };
        let now = self.node_time();
        let settled = self.nodes[node].settle(now, id, &[actual]).unwrap()[0];
        assert_eq!(
            settled.spent + settled.refunded + settled.overrun + settled.lapsed,
            units.max(actual)
        );
        *self.admitted.get_mut(&window).unwrap() -= settled.refunded;
        self.stamps[stamp].1 -= settled.refunded;
        *self.spent.entry(window).or_default() += settled.spent + settled.overrun;
    }

    fn raise(&mut self, units: u64, ms: u64) {
        let until = OwnerTime(self.now + ms);
        let at = |time| self.kind().span(time).window.0;
        for window in at(OwnerTime(self.now))..=at(until) {
            let largest = self.largest_limit.entry(Window(window)).or_default();
            *largest = units.max(*largest);
        }
        let (counter, raise) = (self.counter.clone(), Some(owner::Raise { units, until }));
        self.owner_step(owner::Event::Raised { counter, raise });
    }

    fn owner_step(&mut self, event: owner::Event) {
        for effect in self.owner.step(OwnerTime(self.now), event) {
            match effect {
                Effect::Send(message) => self.to_node.push(message),
                Effect::StepDown(reason) => panic!("{reason:?}"),
                operation => self.operations.push(operation),
            }
        }
    }

    fn store(&mut self, known: bool, done: bool) {
        let event = match self.operations.remove(0) {
            Effect::Load(counter) => {
                let outcome = match (known, self.stored.clone()) {
                    (false, _) => Load::Failed,
                    (true, record) if counter.kind().is_ledger() => Load::Rows {
                        record,
                        rows: self.rows.values().cloned().collect(),
                    },
                    (true, None) => Load::Absent,
                    (true, Some((record, modified))) => Load::Found(record, modified),
                };
                owner::Event::Loaded { counter, outcome }
            }
            Effect::LoadHorizon => {
                owner::Event::HorizonLoaded(match (known, self.horizon.clone()) {
                    (false, _) => Load::Failed,
                    (true, None) => Load::Absent,
                    (true, Some((record, modified))) => Load::Found(record, modified),
                })
            }
            Effect::PersistHorizon {
                record,
                expected_mod_revision,
            } => {
                let stored = self.horizon.as_ref();
                assert_eq!(expected_mod_revision, stored.map_or(0, |(_, m)| *m));
                let modified = expected_mod_revision + 1;
                if known || done {
                    self.horizon = Some((record, modified));
                }
                owner::Event::HorizonPersisted(outcome(known, modified))
            }
            Effect::Persist {
                counter,
                record,
                rows,
                expected_mod_revision,
            } => {
                assert_eq!(
                    expected_mod_revision,
                    self.stored.as_ref().map_or(0, |(_, m)| *m)
                );
                let modified = expected_mod_revision + 1;
                if known || done {
                    let (window, limit) = (record.window, record.limit);
                    self.stored = Some((record, modified));
                    let rows = rows.into_iter();
                    self.rows
                        .extend(rows.map(|row| ((row.window, row.incarnation), row)));
                    let largest = self.largest_limit.entry(window).or_default();
                    *largest = limit.max(*largest);
                }
                let outcome = outcome(known, modified);
                owner::Event::Persisted { counter, outcome }
            }
            other => panic!("{other:?} is no store operation"),
        };
        self.owner_step(event);
    }

    pub(super) fn check(&mut self) {
        for state in self.owner.snapshot(OwnerTime(self.now)) {
            if let Some(books) = state.books {
                assert_eq!(books.imbalance(state.limit), 0, "{state:?}");
                continue;
            }
            let Some((window, _, _)) = state.window else {
                continue;
            };
            let sum = |part: fn(&owner::Holding) -> u64| state.nodes.iter().map(part).sum::<u64>();
            let (out, spent) = (sum(|n| n.granted - n.returned), sum(|n| n.spent));
            let largest = self.largest_limit.get(&window).copied().unwrap_or(0);
            let forgiven = spent - state.spent;
            self.forgiven.insert(window, forgiven);
            let truly = self.spent.get(&window).copied().unwrap_or(0);
            assert!(forgiven <= truly, "{forgiven} of {truly}: {state:?}");
            // The owner of a brief window hands out of its limit, which was perhaps lowered since.
            let within = self.kind().is_by_horizon() || out + state.free <= state.hwm + forgiven;
            assert!(
                within && out <= largest + forgiven && state.hwm <= largest,
                "{state:?} of {largest}"
            );
        }
        match self.kind() {
            Kind::Sliding { .. } | Kind::Bucket { .. } => self.check_intervals(),
            _ => self.check_windows(),
        }
    }

    fn check_windows(&self) {
        for (window, admitted) in &self.admitted {
            // A ledger's record says what was in force in its window; slots and budgets have one.
            let largest = self.largest_limit.get(window).copied().unwrap_or(0);
            let forgiven = self.forgiven.get(window).copied().unwrap_or(0);
            assert!(
                *admitted <= largest + forgiven,
                "{admitted} of {largest} and {forgiven} forgiven in {window:?}"
            );
        }
    }

    /// In every interval that ends now no more was stamped than was ever allowed for one of its length.
    fn check_intervals(&self) {
        let mut sum = 0;
        for (at, units) in self.stamps.iter().rev() {
            sum += units;
            let age = self.now - at;
            let allowed = match self.kind() {
                Kind::Sliding { .. } if age >= T => return,
                Kind::Bucket { .. } => self.most + self.most * age / T,
                _ => self.most,
            };
            assert!(sum <= allowed, "{sum} of {allowed} in {age} ms");
        }
    }

    /// Makes a message and checks its figures: totals never fall, and what is idle is what was seen
    /// less what was returned, spent, and is held.
    fn report(&mut self, node: usize, scope: Scope) {
        let now = self.node_time();
        let Some(message) = self.nodes[node].poll_message(now, scope) else {
            return;
        };
        for a in &message.accounts {
            let totals = [a.seen, a.returned, a.spent];
            let key = (
                message.incarnation,
                a.counter.clone(),
                a.window,
                a.generation,
            );
            let before = self.totals.insert(key, (totals, self.now));
            // Without windows an account is forgotten once nothing of it can be used any more.
            let kept = |(_, at): &([u64; 3], u64)| {
                self.kind().is_windowed() || self.now < at + LONGEST_LEASE_MS
            };
            let before = before.filter(kept).map(|(totals, _)| totals);
            let pairs = before.unwrap_or_default().into_iter().zip(totals);
            assert!(
                pairs.into_iter().all(|(before, after)| before <= after),
                "{before:?} {a:?}"
            );
            if !self.kind().is_windowed() {
                // What is held of units that were written off is held of nothing.
                continue;
            }
            let of_window = |reservation: &&Reservation| {
                let of_window = |(window, _)| window == a.window;
                reservation.counter == a.counter && reservation.admitted.is_some_and(of_window)
            };
            let held = self.open[node].values().filter(of_window);
            let held: u64 = held.map(|it| it.units).sum();
            let [seen, gone @ ..] = totals.map(u64::cast_signed);
            assert_eq!(
                a.avail,
                seen - gone.iter().sum::<i64>() - held.cast_signed(),
                "{a:?}"
            );
        }
        self.to_owner.push(message);
    }
}

fn outcome(known: bool, modified: i64) -> Commit {
    if known {
        Commit::Committed(modified)
    } else {
        Commit::Unknown
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
