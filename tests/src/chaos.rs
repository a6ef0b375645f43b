//! Faults on real processes while callers race, judged by what reaches the provider.
//!
//! Three etcd, three control replicas, three nodes and the fake provider run in network namespaces of their
//! own. Faults are drawn from a seed: `kill -9`, `SIGSTOP`, cuts both ways and one way, loss, narrow links, the
//! etcd leader and the owner of the limits among the victims, rolling restarts, limits lowered and raised.
//! Callers want more than there is, all the time, at all nodes. `oracle` then compares what the provider saw,
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

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, ensure};
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use callers::Callers;
use evidence::Collector;
use fleet::{Fleet, Programs};
use member::Member;
use network::Network;
use operator::Operator;
use oracle::{Assumptions, Evidence};
use politics::Politics;
use report::Outages;
pub use report::Report;
use stage::{Cell, STAGES, Stage};
use storm::{Record, Stand};
use usage::Weather;
use watch::Watch;

/// How late a request may be at the provider beyond the time for which its node stood still: it waits for a
/// processor in the node, on a busy machine for a while.
const DELAY_MS: u64 = 1_500;
/// All clocks are the machine's one clock; owners give up at a difference of 10 ms.
const SKEW_MS: u64 = 20;
/// All must be well again this long after the last fault.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);

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
    /// One stage and one short storm, about a minute in all.
    #[arg(long)]
    quick: bool,
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
    calm_windows: 3,
    stormy_windows: 5,
};
const QUICK: Shape = Shape {
    window_s: 11,
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
    /// What is known of each window's faults.
    weather: BTreeMap<u64, Weather>,
    /// Times from a storm's end until all was well, milliseconds.
    recoveries: Vec<u64>,
    keys: Vec<String>,
    _watching: JoinSet<()>,
}

impl Run {
    async fn whole(options: &Options, seed: u64) -> anyhow::Result<Report> {
        let begin = Instant::now();
        let mut run = Self::begin(options, seed).await?;
        let length = Duration::from_secs_f64(options.minutes * 60.0);
        eprintln!("chaos: seed {seed}, everything runs");
        for stage in STAGES.iter().cycle() {
            run.stage(stage).await?;
            if options.quick || begin.elapsed() >= length {
                break;
            }
        }
        let balance = run.balance(&STAGES[0]).await?;
        run.finish(seed, begin.elapsed(), balance)
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
        for key in 0..stage::KEYS {
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
            weather: BTreeMap::new(),
            recoveries: Vec::new(),
            keys: ids,
            _watching: watching,
        })
    }

    /// A stage: its policy, some windows without faults, some with.
    async fn stage(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.stand.politics.push(stage.amounts)?;
        self.stand.politics.quiet().await?;
        self.recover().await?;
        self.callers.use_keys(stage.keys);
        let calm = self.next_windows(self.shape.calm_windows, Weather::Calm);
        eprintln!(
            "chaos: {}: {} windows without faults",
            stage.name, self.shape.calm_windows
        );
        self.stand.weather(&[], calm, &stage.amounts).await?;
        let length = self.next_windows(self.shape.stormy_windows, Weather::Stormy);
        let storm = plan::storm(&mut self.random, length);
        eprintln!("chaos: {}: a storm of {} faults", stage.name, storm.len());
        self.stand.weather(&storm, length, &stage.amounts).await?;
        self.stand.politics.quiet().await?;
        self.recover().await?;
        self.collector.collect(&self.stand.fleet).await?;
        let met = self.callers.met();
        eprintln!(
            "chaos: {} answered, {} refused, {} undecided so far",
            met.answered, met.refused, met.unavailable
        );
        Ok(())
    }

    /// Waits until all is well, and notes how long that took.
    async fn recover(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.stand.watch.is_well() {
            ensure!(
                begin.elapsed() < RECOVER_WITHIN,
                "not all is well {RECOVER_WITHIN:?} after the last fault; see the logs in the run's directory"
            );
            self.stand
                .weather(&[], Duration::from_millis(50), &STAGES[0].amounts)
                .await?;
        }
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.recoveries.push(took);
        Ok(())
    }

    /// The time until so many whole windows are over, whose weather is noted.
    fn next_windows(&mut self, count: u64, weather: Weather) -> Duration {
        let window_ms = self.shape.window_s * 1000;
        let now = now_ms();
        // A window that began a moment ago is as good as whole.
        let first = (now + window_ms - 1_000) / window_ms;
        let windows = first..first + count;
        self.weather
            .extend(windows.clone().map(|window| (window, weather)));
        Duration::from_millis((windows.end * window_ms).saturating_sub(now))
    }

    /// Lets callers use the better part of a window, stops them, and looks at the books.
    async fn balance(&mut self, stage: &Stage) -> anyhow::Result<balance::Balance> {
        self.callers.use_keys(0);
        self.stand.politics.push(stage.amounts)?;
        self.stand.politics.quiet().await?;
        // The window in which the limits were changed has been used by others.
        let window_ms = self.shape.window_s * 1000;
        let left = Duration::from_millis(window_ms - now_ms() % window_ms);
        self.stand.weather(&[], left, &stage.amounts).await?;
        self.callers.use_keys(stage.keys);
        let part = Duration::from_secs(self.shape.window_s).mul_f64(0.35);
        self.stand.weather(&[], part, &stage.amounts).await?;
        self.callers.use_keys(0);
        let window = now_ms() / window_ms;
        let counters = balance::at_rest(&self.operator).await?;
        ensure!(
            window == now_ms() / window_ms,
            "the window was over before its figures came to rest"
        );
        self.collector.collect(&self.stand.fleet).await?;
        let cells = Cell::all()
            .map(|cell| (cell.label(&self.keys), cell))
            .collect();
        let admitted = &self.collector.admitted;
        Ok(balance::compare(&counters, &cells, admitted, window))
    }

    fn finish(
        self,
        seed: u64,
        took: Duration,
        balance: balance::Balance,
    ) -> anyhow::Result<Report> {
        let Collector {
            mut arrivals,
            admitted,
            logged,
            ..
        } = self.collector;
        arrivals.sort_by_key(|arrival| arrival.at_ms);
        let evidence = Evidence {
            arrivals,
            admitted,
            settings: self.stand.politics.settings(&self.stand.watch),
        };
        ensure!(
            !evidence.arrivals.is_empty(),
            "nothing reached the provider"
        );
        let assumed = Assumptions {
            window_ms: self.shape.window_s * 1000,
            lateness_ms: self.stand.record.longest_freeze_ms + DELAY_MS,
            skew_ms: SKEW_MS,
        };
        let met = self.callers.met();
        let looks = self.stand.watch.looks();
        let mut calls = report::Calls::from(met.clone());
        (calls.arrived, calls.logged) = (evidence.arrivals.len() as u64, logged);
        Ok(Report {
            seed,
            seconds: took.as_secs(),
            assumed,
            verdict: oracle::judge(assumed, &evidence),
            usage: usage::usage(assumed.window_ms, &evidence, &met.refused_in, &self.weather),
            balance,
            calls,
            outages: Outages::of(&looks, &met, self.recoveries),
            record: self.stand.record,
        })
    }
}

/// Wall clock, milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
