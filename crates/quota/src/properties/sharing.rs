//! Who gets how much of a limit that is shared, in virtual time: an owner whose store answers at once, nodes, and callers
//! who ask steadily. What is admitted is held against the limit exactly, and against shares within some per cent.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::{self, Ask, Node, Outcome, RequestId, Scope};
use crate::owner::{self, Commit, Effect, Event, Load, Owner};
use crate::{Counter, Epoch, Incarnation, Kind, LimitSpec, Limits, NodeTime, OwnerTime};

const LIMIT: u64 = 1_000;
const NODES: usize = 3;
/// The beginning of a window of any length that is used here, and a step.
const BEGIN: u64 = 1_700_000_040_000;
const STEP_MS: u64 = 5;
const MINUTE: Kind = Kind::Fixed { window_ms: 60_000 };

/// Somebody who asks for one unit so many times a second, at all nodes in turn, from and until these seconds.
#[derive(Clone, Copy)]
struct Caller {
    who: &'static str,
    per_second: f64,
    from: u64,
    until: u64,
}

fn caller(who: &'static str, per_second: f64) -> Caller {
    Caller {
        who,
        per_second,
        from: 0,
        until: u64::MAX,
    }
}

struct Town {
    pool: Counter,
    now: u64,
    owner: Owner,
    nodes: Vec<Node>,
    revision: i64,
    /// Who asked, by node and request.
    open: BTreeMap<(usize, RequestId), &'static str>,
    /// What was admitted: when and to whom.
    admitted: Vec<(u64, &'static str)>,
}

impl Town {
    fn new(kind: Kind, shares: &[(&str, u32)]) -> Self {
        let spec = LimitSpec {
            kind,
            units: LIMIT,
            burst: LIMIT / 10,
            revision: 1,
        };
        let shares: Vec<_> = shares
            .iter()
            .map(|(who, it)| (Box::from(*who), *it))
            .collect();
        let limits = Limits::new([(Arc::from("limit"), spec)]).unwrap();
        let limits = match shares.is_empty() {
            true => limits,
            false => limits.with_shares([(Arc::from("limit"), shares.into())]),
        };
        let node = |n| Node::new("n", Incarnation(n as u64), node::Config::default());
        Self {
            pool: Counter::new("limit", kind, "team").unwrap(),
            now: BEGIN,
            owner: Owner::new(Epoch(1), owner::Config::default(), Arc::new(limits)),
            nodes: (0..NODES).map(node).collect(),
            revision: 0,
            open: BTreeMap::new(),
            admitted: Vec::new(),
        }
    }

    /// Lets the callers ask for so many seconds.
    fn run(&mut self, seconds: u64, callers: &[Caller]) {
        let mut asked = vec![0.0; callers.len()];
        let parts: Vec<_> = callers.iter().map(|it| self.pool.part(it.who)).collect();
        for step in 0..seconds * 1_000 / STEP_MS {
            self.now = BEGIN + step * STEP_MS;
            let second = step * STEP_MS / 1_000;
            for (place, caller) in callers.iter().enumerate() {
                if (caller.from..caller.until).contains(&second) {
                    asked[place] += caller.per_second * STEP_MS as f64 / 1_000.0;
                }
                while asked[place] >= 1.0 {
                    asked[place] -= 1.0;
                    self.ask(step as usize % NODES, caller.who, &parts[place]);
                }
            }
            self.exchange();
        }
    }

    fn node_time(&self) -> NodeTime {
        NodeTime(self.now - BEGIN)
    }

    fn ask(&mut self, node: usize, who: &'static str, part: &Counter) {
        let now = self.node_time();
        let asks = [Ask {
            counter: part,
            units: 1,
        }];
        let (id, outcome) = self.nodes[node].reserve(now, &asks, now.after(100));
        self.open.insert((node, id), who);
        self.resolve(node, id, outcome);
    }

    fn resolve(&mut self, node: usize, id: RequestId, outcome: Outcome) {
        let now = self.node_time();
        let outcome = match outcome {
            Outcome::Taken => self.nodes[node].stamp(now, id),
            other => other,
        };
        match outcome {
            Outcome::Admitted(_) => {
                let who = self.open.remove(&(node, id)).unwrap();
                self.admitted.push((self.now, who));
                self.nodes[node].settle(now, id, &[1]).unwrap();
            }
            Outcome::Denied(_) => drop(self.open.remove(&(node, id))),
            Outcome::Taken | Outcome::Waiting => {}
        }
    }

    /// Whatever is due is said and heard.
    fn exchange(&mut self) {
        let now = self.node_time();
        self.step(Event::Tick);
        for node in 0..NODES {
            self.nodes[node].tick(now);
            let machine = &mut self.nodes[node];
            let heartbeat = now >= machine.next_heartbeat();
            let scope = if heartbeat {
                Scope::All
            } else {
                Scope::Changed
            };
            let due = heartbeat || machine.next_message().is_some_and(|at| at <= now);
            let message = due.then(|| machine.poll_message(now, scope)).flatten();
            if let Some(message) = message {
                self.step(Event::Node(message));
            }
        }
        for node in 0..NODES {
            while let Some(wake) = self.nodes[node].poll_wake() {
                self.resolve(node, wake.id, wake.outcome);
            }
        }
    }

    fn step(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.owner.step(OwnerTime(self.now), event) {
                self.revision += 1;
                let committed = Commit::Committed(self.revision);
                events.extend(match effect {
                    Effect::Load(counter) => Some(Event::Loaded {
                        counter,
                        outcome: Load::Absent,
                    }),
                    Effect::Persist { counter, .. } => Some(Event::Persisted {
                        counter,
                        outcome: committed,
                    }),
                    Effect::LoadHorizon => Some(Event::HorizonLoaded(Load::Absent)),
                    Effect::PersistHorizon { .. } => Some(Event::HorizonPersisted(committed)),
                    Effect::Send(message) => {
                        let node = usize::try_from(message.incarnation.0).unwrap();
                        let now = self.node_time();
                        self.nodes[node].receive(now, &message);
                        None
                    }
                    Effect::StepDown(reason) => panic!("{reason:?}"),
                });
            }
        }
    }

    /// How much was admitted in these seconds, by whom.
    fn got(&self, from: u64, until: u64) -> BTreeMap<&'static str, u64> {
        let within = BEGIN + from * 1_000..BEGIN + until * 1_000;
        let mut got = BTreeMap::new();
        for (_, who) in self.admitted.iter().filter(|(at, _)| within.contains(at)) {
            *got.entry(*who).or_default() += 1;
        }
        got
    }

    /// The same of the `n`th minute, of which nearly all must have been used and no more.
    fn minute(&self, n: u64) -> BTreeMap<&'static str, u64> {
        let got = self.got(n * 60, n * 60 + 60);
        let sum: u64 = got.values().sum();
        assert!((LIMIT * 99 / 100..=LIMIT).contains(&sum), "{sum}: {got:?}");
        got
    }
}

/// Whether a figure is what it should be, within so many per cent of the limit.
fn is_near(got: &BTreeMap<&'static str, u64>, who: &str, expected: u64, percent: u64) {
    let figure = got.get(who).copied().unwrap_or(0);
    let off = figure.abs_diff(expected);
    assert!(
        off <= LIMIT * percent / 100,
        "{who} should have {expected}: {got:?}"
    );
}

#[test]
fn a_flood_takes_nothing_from_those_who_ask_for_little() {
    let mut town = Town::new(MINUTE, &[]);
    let callers = [
        caller("flood", 300.0),
        caller("steady", 3.0),
        caller("seldom", 0.2),
    ];
    town.run(240, &callers);
    for minute in 1..4 {
        let got = town.minute(minute);
        is_near(&got, "steady", 180, 1);
        is_near(&got, "seldom", 12, 1);
    }
}

#[test]
fn floods_share_equally_whatever_their_size() {
    let mut town = Town::new(MINUTE, &[]);
    let rates = [("a", 400.0), ("b", 100.0), ("c", 50.0), ("d", 30.0)];
    town.run(180, &rates.map(|(who, rate)| caller(who, rate)));
    for minute in 1..3 {
        let got = town.minute(minute);
        for (who, _) in rates {
            is_near(&got, who, 250, 2);
        }
    }
}

#[test]
fn alone_somebody_has_it_all() {
    let mut town = Town::new(MINUTE, &[]);
    let mut late = caller("late", 100.0);
    late.from = 75;
    town.run(180, &[caller("first", 60.0), late]);
    is_near(&town.minute(0), "first", 1_000, 1);
    // The first has used 900 by then and holds a little. What it has is not taken back; what is left is the other's.
    is_near(&town.minute(1), "late", 100, 4);
    is_near(&town.minute(2), "late", 500, 2);
}

#[test]
fn who_is_sure_of_a_share_finds_it() {
    let shares = [("tier=premium", 60), ("tier=free", 20), ("tier=(none)", 20)];
    let mut town = Town::new(MINUTE, &shares);
    let mut premium = caller("tier=premium", 200.0);
    premium.from = 90;
    let callers = [
        caller("tier=free", 200.0),
        caller("tier=(none)", 200.0),
        premium,
    ];
    town.run(240, &callers);
    // Lent as it goes by, all of it in the end.
    is_near(&town.minute(0), "tier=free", 500, 2);
    // From the middle of the window on it has what half of one is worth.
    is_near(&town.minute(1), "tier=premium", 300, 5);
    for minute in 2..4 {
        let got = town.minute(minute);
        is_near(&got, "tier=premium", 600, 2);
        is_near(&got, "tier=free", 200, 2);
    }
}

#[test]
fn who_has_no_share_has_what_others_leave() {
    let shares = [("tier=premium", 100), ("tier=(none)", 0)];
    let mut town = Town::new(MINUTE, &shares);
    let mut premium = caller("tier=premium", 100.0);
    premium.from = 60;
    premium.until = 120;
    town.run(180, &[caller("tier=(none)", 100.0), premium]);
    is_near(&town.minute(0), "tier=(none)", 1_000, 1);
    is_near(&town.minute(1), "tier=(none)", 0, 2);
    is_near(&town.minute(2), "tier=(none)", 1_000, 1);
}

#[test]
fn windows_that_move_are_shared_too() {
    let window_ms = 10_000;
    for kind in [
        Kind::Sliding { window_ms },
        Kind::Bucket { window_ms },
        Kind::Fixed { window_ms },
    ] {
        let mut town = Town::new(kind, &[]);
        let callers = [
            caller("flood", 500.0),
            caller("other", 400.0),
            caller("little", 10.0),
        ];
        town.run(120, &callers);
        let got = town.got(60, 120);
        let all: u64 = got.values().sum();
        // Six windows, and of a bucket what was saved up.
        assert!(
            (6 * LIMIT * 95 / 100..=6 * LIMIT + LIMIT / 10).contains(&all),
            "{kind:?} {got:?}"
        );
        assert!(got["little"] >= 570, "{kind:?} {got:?}");
        assert!(
            got["flood"].abs_diff(got["other"]) <= 6 * LIMIT * 5 / 100,
            "{kind:?} {got:?}"
        );
    }
}
