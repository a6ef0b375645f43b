//! A fleet of a hundred nodes in one process, against a real control plane on a real etcd.
//!
//! Each node is the lease protocol's real state machine with a real gRPC stream of its own; only the callers and
//! the providers are left out: a request is admitted or refused, and settled at once. Demand differs from node to
//! node by Zipf's law. For limits of several sizes it shows how much of each window was used of what could have
//! been (a request that waits for the next window is used there, though it was made before), and how many messages
//! went to and came from the control plane. It fails where a window admitted more than its limit.
//!
//! `cargo xtask bench nodes` starts it with an etcd server and a release build of `tollgate`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement: its output is its result"
)]

mod node;
mod plane;
#[path = "../../src/wire.rs"]
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::task::LocalSet;
use tollgate_quota::{Counter, Kind, OwnerTime, Window};

use plane::Plane;

/// Length of every window, in milliseconds.
const WINDOW_MS: u64 = 12_000;
/// Nodes.
const NODES: u64 = 100;
/// The exponent of Zipf's law.
const SKEW: f64 = 1.2;
/// Whole windows measured, after one that is not.
const WINDOWS: u64 = 3;

/// A limit, and demand of so many times as much.
#[derive(Debug, Clone, Copy)]
struct Case {
    units: u64,
    times: f64,
}

const CASES: [Case; 4] = [
    Case {
        units: 1_000,
        times: 1.0,
    },
    Case {
        units: 10_000,
        times: 1.0,
    },
    Case {
        units: 10_000,
        times: 5.0,
    },
    Case {
        units: 1_000_000,
        times: 1.0,
    },
];

/// What all nodes of a case have seen.
#[derive(Debug, Default)]
struct Seen {
    /// Requests made and requests admitted, by window; those made by the clock, those admitted by their label.
    windows: BTreeMap<Window, (u64, u64)>,
    /// Requests that nobody decided in time.
    undecided: u64,
    /// Messages to the owner, those among them that are signs of life, one a second, and messages from it, in the
    /// windows that are measured.
    sent: u64,
    beats: u64,
    received: u64,
    /// The windows that are measured.
    measured: (Window, Window),
    /// Why a node stopped.
    failures: Vec<String>,
}

impl Seen {
    fn is_measured(&self, now: OwnerTime) -> bool {
        let window = Window::at(now, WINDOW_MS);
        (self.measured.0..self.measured.1).contains(&window)
    }
}

struct Options {
    etcd: PathBuf,
    tollgate: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut etcd, mut tollgate) = (None, None);
        while let Some(argument) = arguments.next() {
            let into = match argument.as_str() {
                "--etcd" => &mut etcd,
                "--tollgate" => &mut tollgate,
                other => return Err(format!("`{other}` is not understood: {USAGE}")),
            };
            *into = Some(arguments.next().ok_or(USAGE)?.into());
        }
        Ok(Self {
            etcd: etcd.ok_or(USAGE)?,
            tollgate: tollgate.ok_or(USAGE)?,
        })
    }
}

const USAGE: &str = "usage: fleet --etcd PROGRAM --tollgate PROGRAM";

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let text = policy();
    let starting = Plane::start(&options.etcd, &options.tollgate, &text);
    let plane = runtime.block_on(starting)?;
    println!(
        "{NODES} nodes, demand by Zipf's law of {SKEW}, windows of {} s\n{:>10}{:>8}{:>12}{:>12}{:>12}{:>16}{:>15}{:>15}",
        WINDOW_MS / 1_000,
        "limit",
        "demand",
        "used",
        "worst",
        "undecided",
        "to owner/1,000",
        "of them beats",
        "from it/1,000"
    );
    for case in CASES {
        eprintln!("fleet: {case:?}");
        let seen = runtime.block_on(LocalSet::new().run_until(run(case, &plane)))?;
        println!("{}", Row { case, seen: &seen });
        if let Some(failure) = seen.failures.first() {
            return Err(failure.clone().into());
        }
    }
    Ok(())
}

/// Every case has a limit of its own.
fn policy() -> String {
    let window_s = WINDOW_MS / 1_000;
    let limit = |case: &Case| {
        let (name, units) = (case.name(), case.units);
        format!("  - {{ name: {name}, requests: {units}, window: {window_s}s }}\n")
    };
    let limits: String = CASES.iter().map(limit).collect();
    format!(
        "providers:   {{ none: {{ kind: openai_compatible, base_url: \"http://127.0.0.1:9/v1\", internal: true }} }}
deployments: {{ none: {{ provider: none, model: none, price: {{ input: 0, output: 0 }} }} }}
pools:       {{ main: {{ targets: [ {{ deployment: none }} ] }} }}
models:      {{ chat: {{ routes: [ {{ pools: [main] }} ] }} }}
limits:\n{limits}"
    )
}

impl Case {
    fn name(self) -> String {
        format!("l{}-x{}", self.units, self.times)
    }

    fn counter(self) -> Result<Counter, tollgate_quota::Error> {
        let subject = format!("requests={}s", WINDOW_MS / 1_000);
        let kind = Kind::Fixed {
            window_ms: WINDOW_MS,
        };
        Counter::new(&self.name(), kind, &subject)
    }

    /// Requests per millisecond at a node.
    fn rate(self, node: u64) -> f64 {
        let weight = |node: u64| (node as f64 + 1.0).powf(-SKEW);
        let sum: f64 = (0..NODES).map(weight).sum();
        self.units as f64 * self.times * weight(node) / sum / WINDOW_MS as f64
    }
}

async fn run(case: Case, plane: &Plane) -> Result<Seen, Box<dyn Error>> {
    let first = Window(Window::at(node::wall(), WINDOW_MS).0 + 2);
    let seen = Rc::new(RefCell::new(Seen {
        measured: (first, Window(first.0 + WINDOWS)),
        ..Seen::default()
    }));
    let mut nodes = tokio::task::JoinSet::new();
    for number in 0..NODES {
        let running = node::run(
            plane.url().to_owned(),
            (number, case.rate(number)),
            case.counter()?,
            Rc::clone(&seen),
        );
        let seen = Rc::clone(&seen);
        nodes.spawn_local(async move {
            if let Err(error) = running.await {
                seen.borrow_mut().failures.push(error.to_string());
            }
        });
    }
    while nodes.join_next().await.is_some() {}
    let mut seen = seen.take();
    let over = |(window, (_, admitted)): (&Window, &(u64, u64))| {
        (*admitted > case.units)
            .then(|| format!("{window:?} admitted {admitted} of {}", case.units))
    };
    let over: Vec<_> = seen.windows.iter().filter_map(over).collect();
    seen.failures.extend(over);
    Ok(seen)
}

/// A case's line of the table.
struct Row<'a> {
    case: Case,
    seen: &'a Seen,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { units, times } = self.case;
        let measured = self.seen.measured.0..self.seen.measured.1;
        let (mut requests, mut used, mut worst) = (0, 0.0, f64::INFINITY);
        for (_, &(made, admitted)) in self.seen.windows.range(measured) {
            let part = admitted as f64 / made.min(units).max(1) as f64;
            requests += made;
            used += part / WINDOWS as f64;
            worst = worst.min(part);
        }
        let per_thousand = |messages: u64| messages as f64 * 1_000.0 / requests.max(1) as f64;
        write!(
            f,
            "{units:>10}{times:>7}x{:>10.2} %{:>10.2} %{:>12}{:>16.1}{:>15.1}{:>15.1}",
            used * 100.0,
            worst * 100.0,
            self.seen.undecided,
            per_thousand(self.seen.sent),
            per_thousand(self.seen.beats),
            per_thousand(self.seen.received)
        )
    }
}
