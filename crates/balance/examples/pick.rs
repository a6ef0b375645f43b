//! What it costs to choose a target: `cargo run --release -p tollgate-balance --example pick`.
//!
//! For every strategy, over pools of several sizes: one choice of a request's first target, from a fleet that has seen
//! traffic.

#![expect(clippy::print_stdout, reason = "the table is the program's result")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tollgate_balance::{
    Error, Fleet, HealthConfig, Known, Load, Member, Outcome, Pool, Route, Step, Strategy, Target,
    Wish,
};

const ROUNDS: u64 = 1_000_000;
const SIZES: [usize; 4] = [1, 3, 10, 30];
const STRATEGIES: [Strategy; 6] = [
    Strategy::Weighted,
    Strategy::LeastBusy,
    Strategy::LeastLatency,
    Strategy::Cheapest,
    Strategy::MostRoom,
    Strategy::Sticky,
];

struct Facts;

impl Known for Facts {
    fn price(&self, target: usize) -> Option<u64> {
        u64::try_from(target).ok()
    }

    fn room(&self, target: usize) -> f64 {
        if target == 0 { 0.5 } else { 0.25 }
    }
}

/// Targets that answer at different speeds, with some attempts under way at each.
fn fleet(size: usize) -> Fleet {
    let member = |target| Member {
        provider: target,
        health: HealthConfig::default(),
        peers: Vec::new(),
    };
    let mut fleet = Fleet::new((0..size).map(member).collect());
    for round in 0..100_u64 {
        for target in 0..size {
            let began = Duration::from_millis(1_000 * round);
            let Some(mut attempt) = fleet.begin(target, Load::default(), began) else {
                continue;
            };
            let took = Duration::from_millis(100 + 10 * u64::try_from(target).unwrap_or(0));
            fleet.went(&mut attempt, Outcome::Answered, began + took);
            fleet.first_content(&attempt, began + took);
            if round < 90 {
                fleet.end(attempt, began + took);
            }
        }
    }
    fleet
}

fn measure(strategy: Strategy, size: usize) -> Result<f64, Error> {
    let target = |id: usize| Target {
        id,
        weight: 1,
        hash: u64::try_from(id).unwrap_or(0),
    };
    let pool = Pool::new(strategy, (0..size).map(target).collect())?;
    let route = Route::new(vec![Step { pool, after: None }])?;
    let fleet = fleet(size);
    let wish = Wish {
        output: 100,
        ..Wish::default()
    };
    let now = Duration::from_secs(101);
    let started = Instant::now();
    for round in 0..ROUNDS {
        let random = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut attempts = route.attempts(3);
        let chosen = attempts.next(
            random,
            |_| Some(random),
            |target, strategy| fleet.sight(target, strategy, (&wish, &Facts), now),
        );
        black_box(chosen);
    }
    Ok(started.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(ROUNDS).unwrap_or(1)))
}

fn main() -> Result<(), Error> {
    println!("nanoseconds per choice, by targets in the pool");
    println!("{:14} {:>7} {:>7} {:>7} {:>7}", "", 1, 3, 10, 30);
    for strategy in STRATEGIES {
        print!("{:14}", format!("{strategy:?}"));
        for size in SIZES {
            print!(" {:>7.0}", measure(strategy, size)?);
        }
        println!();
    }
    Ok(())
}
