//! Faults on real processes while callers race, judged by what reaches the provider.
//!
//! Three etcd, three control replicas, three nodes and the fake provider run in network namespaces of their
//! own. Faults are drawn from a seed: `kill -9`, `SIGSTOP`, cuts both ways and one way, loss, narrow links, the
//! etcd leader and the owner of the limits among the victims, rolling restarts, limits lowered and raised.
//! Callers want more than there is, all the time, at all nodes, of every kind of limit in turn. `oracle` then compares what the provider saw,
//! and what the nodes logged, with what is promised.
//!
//! It needs root and Linux: `cargo xtask chaos` starts it inside namespaces made for it, so that it neither sees
//! nor changes the machine's network, and nothing of it is left behind when it ends, even by `kill -9`.
//!
//! The same seed draws the same faults; what processes do in between is theirs.

#![expect(
    clippy::print_stderr,
    reason = "a person waits for half an hour and sees what is going on"
)]

mod balance;
mod callers;
mod evidence;
mod fleet;
mod limits;
mod member;
mod network;
mod operator;
mod oracle;
mod plan;
mod politics;
mod report;
mod stage;
mod storm;
mod usage;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, ensure};
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use balance::Balance;
use callers::{Callers, Demand};
use evidence::Collector;
use fleet::{Fleet, Programs};
use limits::{Cell, Kind};
use member::Member;
use network::Network;
use operator::Operator;
use oracle::{Assumptions, Evidence};
use politics::Politics;
use report::Outages;
pub use report::Report;
use stage::{Amounts, STAGES, Stage};
use storm::{Record, Stand};
use usage::{Phase, Weather};
use watch::Watch;

/// How late a request may be at the provider beyond the time for which its node stood still: it waits for a
/// processor in the node, on a busy machine for a while.
const DELAY_MS: u64 = 1_500;
/// All clocks are the machine's one clock; owners give up at a difference of 10 ms.
const SKEW_MS: u64 = 20;
/// A provider sees within this time that a node which was killed is gone.
const NOTICE_MS: u64 = 1_000;
/// All must be well again this long after the last fault.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);

/// How long callers spend before the last look at the books.
const SPEND_FOR: Duration = Duration::from_secs(5);

/// Breaks everything and sees whether the promises hold.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
pub struct Options {
    /// The etcd server.
    #[arg(long)]
    etcd: PathBuf,
    /// The tollgate program.
    #[arg(long)]
    tollgate: PathBuf,
    /// How long to go on.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// What the faults are drawn from; a new one unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Short windows and short storms, and each stage once: the first one, unless others are named.
    #[arg(long)]
    quick: bool,
    /// Only these stages, by their numbers from 0, separated by commas.
    #[arg(long, value_delimiter = ',')]
    stages: Vec<usize>,
    /// Where processes keep their data and logs; emptied first.
    #[arg(long, default_value = "target/chaos")]
    dir: PathBuf,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/chaos.json")]
    out: PathBuf,
}

/// Lengths, by whether the run is a quick one.
#[derive(Debug, Clone, Copy)]
struct Shape {
    window_s: u64,
    calm_windows: u64,
    stormy_windows: u64,
}

const WHOLE: Shape = Shape {
    window_s: 20,
    calm_windows: 2,
    stormy_windows: 4,
};
const QUICK: Shape = Shape {
    window_s: 12,
    calm_windows: 1,
    stormy_windows: 2,
};

/// Runs it all, and writes the figures.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32().map_err(|error| anyhow!("draw a seed: {error}"))?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start a runtime")?;
    let report = runtime.block_on(Run::whole(options, seed))?;
    let json = serde_json::to_vec_pretty(&report)?;
    std::fs::write(&options.out, json)
        .with_context(|| format!("write {}", options.out.display()))?;
    Ok(report)
}

/// A run under way.
struct Run {
    shape: Shape,
    stand: Stand,
    operator: Operator,
    callers: Callers,
    collector: Collector,
    random: StdRng,
    /// What is in force, but for what faults do to it.
    amounts: Amounts,
    phases: Vec<Phase>,
    /// Times from a storm's end until all was well, milliseconds.
    recoveries: Vec<u64>,
    /// Counters by their names.
    cells: HashMap<String, Cell>,
    _watching: JoinSet<()>,
}

impl Options {
    /// The stages to go through, again and again.
    fn stages(&self) -> anyhow::Result<Vec<&'static Stage>> {
        let all: Vec<usize> = (0..STAGES.len()).collect();
        let wanted = match (self.stages.is_empty(), self.quick) {
            (false, _) => &self.stages,
            (true, true) => &all[..1],
            (true, false) => &all,
        };
        let stage = |number: &usize| {
            let last = STAGES.len() - 1;
            let stage = STAGES.get(*number);
            stage.with_context(|| {
                format!("--stages: there is no stage {number}; the last is {last}")
            })
        };
        wanted.iter().map(stage).collect()
    }
}

impl Run {
    async fn whole(options: &Options, seed: u64) -> anyhow::Result<Report> {
        let stages = options.stages()?;
        let begin = Instant::now();
        let mut run = Self::begin(options, seed).await?;
        let length = Duration::from_secs_f64(options.minutes * 60.0);
        eprintln!("chaos: seed {seed}, everything runs");
        for (number, stage) in stages.iter().cycle().enumerate() {
            if options.quick && number == stages.len() || begin.elapsed() >= length {
                break;
            }
            run.stage(stage).await?;
        }
        let took = begin.elapsed();
        let mut balance = Balance::default();
        if let Err(error) = run.balance(&mut balance).await {
            // What was seen before must not be lost.
            balance.faults.push(format!("{error:#}"));
        }
        run.finish(seed, took, balance)
    }

    async fn begin(options: &Options, seed: u64) -> anyhow::Result<Self> {
        let shape = if options.quick { QUICK } else { WHOLE };
        let network = Network::create(Member::all())?;
        let beside = std::env::current_exe().context("find this program")?;
        let programs = Programs {
            etcd: options.etcd.clone(),
            tollgate: options.tollgate.clone(),
            provider: beside.with_file_name("mock-provider"),
        };
        let fleet = Fleet::start(programs, &options.dir).await?;
        let operator = Operator::new(&options.tollgate, &options.dir, shape.window_s);
        let mut keys = Vec::new();
        for key in 0..limits::KEYS {
            keys.push(operator.create_key(&stage::subject(key)).await?);
        }
        let ids: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
        let watch = Watch::default();
        let mut watching = JoinSet::new();
        watching.spawn(watch.clone().run());
        let stand = Stand {
            fleet,
            network,
            politics: Politics::start(operator.clone()),
            watch,
            record: Record::default(),
        };
        Ok(Self {
            shape,
            stand,
            operator,
            callers: Callers::start(&keys, shape.window_s * 1000, seed)?,
            collector: Collector::new(&ids),
            random: StdRng::seed_from_u64(seed),
            amounts: Amounts::default(),
            phases: Vec::new(),
            recoveries: Vec::new(),
            cells: Cell::all().map(|cell| (cell.label(&ids), cell)).collect(),
            _watching: watching,
        })
    }

    /// A stage: its policy, some windows without faults, some with.
    async fn stage(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.callers.rest();
        for weather in [Weather::Calm, Weather::Stormy] {
            self.phase(stage, weather).await?;
        }
        self.callers.rest();
        self.collector.collect(&self.stand.fleet).await?;
        let met = self.callers.met();
        eprintln!(
            "chaos: {} answered, {} refused, {} undecided so far",
            met.answered, met.refused, met.unavailable
        );
        Ok(())
    }

    /// A part of a stage: budgets are raised, and callers are let loose in some windows.
    async fn phase(&mut self, stage: &Stage, weather: Weather) -> anyhow::Result<()> {
        let (before, from_ms) = (self.amounts, now_ms());
        if weather == Weather::Calm || stage.spends() {
            self.set(stage).await?;
        }
        if weather == Weather::Calm {
            self.recover().await?;
        }
        self.callers.ask_for(demand(stage));
        let count = match weather {
            Weather::Calm => self.shape.calm_windows,
            Weather::Stormy => self.shape.stormy_windows,
        };
        let (windows, length) = self.next_windows(count);
        let storm = match weather {
            Weather::Calm => Vec::new(),
            Weather::Stormy => plan::storm(&mut self.random, length),
        };
        eprintln!(
            "chaos: {}: {count} windows, {} faults",
            stage.name,
            storm.len()
        );
        self.stand.weather(&storm, length, &self.amounts).await?;
        self.stand.politics.quiet().await?;
        if weather == Weather::Stormy {
            self.recover().await?;
        }
        self.phases.push(Phase {
            weather,
            windows,
            from_ms,
            until_ms: now_ms(),
            amounts: self.amounts,
            before,
        });
        Ok(())
    }

    /// Makes a stage's amounts the policy.
    async fn set(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.amounts = stage.amounts(&self.amounts);
        self.stand.politics.push(self.amounts)?;
        self.stand.politics.quiet().await
    }

    /// Waits until all is well and the newest policy runs everywhere, and notes how long that took. A limit that is new binds
    /// nobody at a node that does not know it yet.
    async fn recover(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.stand.watch.is_well() || !self.stand.politics.is_everywhere(&self.stand.watch) {
            ensure!(
                begin.elapsed() < RECOVER_WITHIN,
                "not all is well {RECOVER_WITHIN:?} after the last fault; see the logs in the run's directory"
            );
            self.pass(Duration::from_millis(50)).await?;
        }
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.recoveries.push(took);
        Ok(())
    }

    /// Lets time pass without faults.
    async fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        self.stand.weather(&[], time, &self.amounts).await
    }

    /// The next so many whole windows, and the time until they are over.
    fn next_windows(&self, count: u64) -> (std::ops::Range<u64>, Duration) {
        let window_ms = self.shape.window_s * 1000;
        let now = now_ms();
        // A window that began a moment ago is as good as whole.
        let first = (now + window_ms - 1_000) / window_ms;
        let windows = first..first + count;
        let length = Duration::from_millis((windows.end * window_ms).saturating_sub(now));
        (windows, length)
    }

    /// Looks at the books of every kind.
    async fn balance(&mut self, balance: &mut Balance) -> anyhow::Result<()> {
        self.balance_window(balance, &STAGES[0]).await?;
        for stage in STAGES.iter().filter(|stage| stage.spends()) {
            self.balance_rows(balance, stage).await?;
        }
        Ok(())
    }

    /// Lets callers use the better part of a fixed window, stops them, and looks at the books.
    async fn balance_window(&mut self, balance: &mut Balance, stage: &Stage) -> anyhow::Result<()> {
        self.callers.rest();
        self.set(stage).await?;
        // The window in which the limits were changed has been used by others.
        let window_ms = self.shape.window_s * 1000;
        self.pass(Duration::from_millis(window_ms - now_ms() % window_ms))
            .await?;
        self.callers.ask_for(demand(stage));
        self.pass(Duration::from_secs(self.shape.window_s).mul_f64(0.35))
            .await?;
        self.callers.rest();
        let window = now_ms() / window_ms;
        let counters = balance::at_rest(&self.operator, &self.cells, &[Kind::Fixed]).await?;
        ensure!(
            window == now_ms() / window_ms,
            "the window was over before its figures came to rest"
        );
        self.collector.collect(&self.stand.fleet).await?;
        balance.window(&counters, &self.collector.admitted, window);
        Ok(())
    }

    /// Looks at the books of all that is kept by rows, raises the stage's budgets, lets callers spend of them, and
    /// looks again.
    async fn balance_rows(&mut self, balance: &mut Balance, stage: &Stage) -> anyhow::Result<()> {
        let kinds = [Kind::Month, Kind::Endless, Kind::Slots];
        let before = balance::at_rest(&self.operator, &self.cells, &kinds).await?;
        self.collector.collect(&self.stand.fleet).await?;
        let served_before = balance::served(&self.collector);
        balance.rows(&before, &served_before);
        self.set(stage).await?;
        self.callers.ask_for(demand(stage));
        self.pass(SPEND_FOR).await?;
        self.callers.rest();
        let after = balance::at_rest(&self.operator, &self.cells, &kinds).await?;
        self.collector.collect(&self.stand.fleet).await?;
        let served = balance::served(&self.collector);
        balance.rows(&after, &served);
        balance.growth((&before, &after), (&served_before, &served));
        let lost = watch::imbalance().await;
        if lost != Some(0.0) {
            let fault = format!("the owner's metric of units lost or invented shows {lost:?}");
            balance.faults.push(fault);
        }
        Ok(())
    }

    fn finish(self, seed: u64, took: Duration, balance: Balance) -> anyhow::Result<Report> {
        let Collector {
            mut arrivals,
            admitted,
            reserved,
            logged,
            ..
        } = self.collector;
        arrivals.sort_by_key(|arrival| arrival.at_ms);
        let evidence = Evidence {
            arrivals,
            admitted,
            settings: self.stand.politics.settings(&self.stand.watch),
            freezes: self.stand.record.freezes.clone(),
        };
        ensure!(
            !evidence.arrivals.is_empty(),
            "nothing reached the provider"
        );
        let assumed = Assumptions {
            window_ms: self.shape.window_s * 1000,
            delay_ms: DELAY_MS,
            skew_ms: SKEW_MS,
            notice_ms: NOTICE_MS,
        };
        let met = self.callers.met();
        let looks = self.stand.watch.looks();
        let mut calls = report::Calls::from(met.clone());
        (calls.arrived, calls.logged) = (evidence.arrivals.len() as u64, logged);
        let seen = usage::Seen {
            window_ms: assumed.window_ms,
            evidence: &evidence,
            refused: &met.refused_in,
            phases: &self.phases,
            reserved,
        };
        Ok(Report {
            seed,
            seconds: took.as_secs(),
            assumed,
            verdict: oracle::judge(assumed, &evidence),
            usage: usage::usage(&seen),
            balance,
            calls,
            outages: Outages::of(&looks, &met, self.recoveries),
            record: self.stand.record,
        })
    }
}

/// What callers ask for in a stage.
fn demand(stage: &Stage) -> Demand {
    Demand {
        model: stage.model,
        keys: stage.keys,
    }
}

/// Wall clock, milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
