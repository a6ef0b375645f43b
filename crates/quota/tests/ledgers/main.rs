//! Deterministic simulation of owners and nodes. The oracle is the promise itself: never more units
//! under a window's label than its limit, whatever the network, the store, the clocks and the
//! processes do, and never a refusal without need once they are well again.
//!
//! A run is its seed. `TOLLGATE_SIM_SEEDS` sets how many seeds the storm runs; a failing one prints
//! its seed and what led to it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test: what cannot be is a failure of the test"
)]

#[path = "../simulation/faults.rs"]
mod faults;
mod mutants;
mod oracle;
mod plan;
#[path = "../simulation/random.rs"]
mod random;
mod store;
mod world;

use oracle::Violation;
use plan::{Mutation, Plan};
use tollgate_quota::node::{Ask, Why};
use tollgate_quota::{Counter, OwnerTime, Window};
use world::{Event, World};

/// Seeds of the storm, unless the environment says otherwise.
const SEEDS: u64 = 400;

fn seeds() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one setting of this test binary"
    )]
    let wanted = std::env::var("TOLLGATE_SIM_SEEDS");
    wanted.ok().map_or(SEEDS, |text| {
        text.parse().expect("TOLLGATE_SIM_SEEDS is a number")
    })
}

/// Runs a plan to its end.
fn run(plan: Plan) -> (World, Result<(), Violation>) {
    let mut world = World::new(plan);
    let outcome = storm(&mut world).and_then(|()| calm(&mut world));
    (world, outcome)
}

fn storm(world: &mut World) -> Result<(), Violation> {
    let end = world.now + world.plan.faulty_ms;
    let mut random = world.random.clone();
    let drawn = faults::draw(
        &mut random,
        world.now,
        world.plan.faulty_ms,
        world.nodes.len(),
    );
    world.random = random;
    for (at, fault) in drawn {
        world.schedule(at, Event::Fault(fault));
    }
    for node in 0..world.nodes.len() {
        world.schedule(5, Event::Request(node));
    }
    world.run(end)
}

/// After the storm: one owner, every node connected, nothing lost. In a fresh window every request
/// that fits is admitted (I7), one at a time from any node.
fn calm(world: &mut World) -> Result<(), Violation> {
    world.calm = true;
    world.plan.pace_ms = u64::MAX / 4;
    world
        .owners
        .iter_mut()
        .for_each(|owner| owner.alive = false);
    world.new_owner(0);
    let owner = world.owners.len() - 1;
    for node in 0..world.nodes.len() {
        // Later than whatever the storm still has planned.
        world.schedule(15_000, Event::Connect { node, owner });
    }
    // Both window lengths begin anew at a whole minute.
    let minute = (world.now / 60_000 + 2) * 60_000;
    world.run(minute + 1_000)?;
    let end = world.now + 10_000;
    while world.now < end {
        calm_request(world)?;
    }
    // What was spent is written some seconds later.
    world.run(world.now + 5_000)?;
    world.check_books()
}

fn calm_request(world: &mut World) -> Result<(), Violation> {
    let node = world.random.within(0, world.nodes.len() as u64 - 1) as usize;
    let (ledger, asks): (Vec<Ask>, Vec<Ask>) = world
        .draw_asks()
        .into_iter()
        .partition(|ask| ask.counter.kind().is_ledger());
    if let Some(ask) = ledger.into_iter().next() {
        return calm_ledger_request(world, node, &ask);
    }
    let before: Vec<u64> = asks
        .iter()
        .map(|ask| admitted_now(world, &ask.counter))
        .collect();
    let admissions = world.oracle.admissions;
    world.denials.clear();
    world.request(node, asks.clone())?;
    world.run(world.now + 60)?;
    let newest = world.policy.last().unwrap().clone();
    let fits = |(ask, before): (&Ask, &u64)| before + ask.units <= newest[ask.counter.limit()];
    let all_fit = asks.iter().zip(&before).all(fits);
    let admitted = world.oracle.admissions > admissions;
    match (all_fit, admitted) {
        (true, false) => Err(Violation(format!(
            "I7: {asks:?} refused at node {node} though {before:?} of {newest:?} are used: {:?}",
            world.denials
        ))),
        (false, true) => Err(Violation(format!(
            "I1: {asks:?} admitted over {before:?} of {newest:?}"
        ))),
        (false, false) => check_denial(world),
        (true, true) => Ok(()),
    }
}

/// What a ledger says is free, or idle with a living node, can be had.
fn calm_ledger_request(world: &mut World, node: usize, ask: &Ask) -> Result<(), Violation> {
    world.run(world.now + 150)?;
    let books = world.books_of(&ask.counter);
    let admissions = world.oracle.admissions;
    world.denials.clear();
    world.request(node, vec![ask.clone()])?;
    world.run(world.now + 60)?;
    let admitted = world.oracle.admissions > admissions;
    match books {
        Some(books) if !admitted && ask.units <= books.free + books.outstanding => {
            let why = &world.denials;
            Err(Violation(format!(
                "I7: {ask:?} refused at node {node} though {books:?}: {why:?}"
            )))
        }
        _ if admitted => Ok(()),
        Some(_) => check_denial(world),
        // The first request of a counter since the takeover may still wait for its rows.
        None => Ok(()),
    }
}

/// A refusal names its reason: used up, or larger than the limit.
fn check_denial(world: &World) -> Result<(), Violation> {
    let due = |why: &Why| matches!(why, Why::Exhausted { .. } | Why::TooLarge { .. });
    match world.denials.as_slice() {
        [(_, denial)] if due(&denial.why) => Ok(()),
        other => Err(Violation(format!("refused without saying why: {other:?}"))),
    }
}

fn admitted_now(world: &World, counter: &Counter) -> u64 {
    world.oracle.total(
        counter,
        Window::at(OwnerTime(world.now), counter.kind().window_ms()),
    )
}

/// Runs the plan again with a trace, to show what led to the violation.
fn report(plan: &Plan, violation: &Violation) -> String {
    let (world, again) = run(Plan {
        trace: true,
        ..plan.clone()
    });
    assert_eq!(
        again.as_ref(),
        Err(violation),
        "seed {} does not repeat",
        plan.seed
    );
    let tail = world.log.len().saturating_sub(150);
    let log = world.log[tail..].join("\n");
    format!("{log}\nseed {}: {}", plan.seed, violation.0)
}

#[test]
fn storm_loses_and_invents_no_unit_of_a_ledger() {
    for seed in 0..seeds() / 2 {
        let plan = Plan::ledger(seed);
        let (_, outcome) = run(plan.clone());
        if let Err(violation) = outcome {
            panic!("{}", report(&plan, &violation));
        }
    }
}

#[test]
fn the_oracle_catches_every_mutation_of_a_ledger() {
    use Mutation::*;
    let all = [
        RecreditOnExpiry,
        UnguardedWrite,
        UnknownIsSuccess,
        SettledTwice,
        NoMark,
        MarkNotFlushed,
        LateReturn,
        ClosedTwice,
        ClosedWithoutLock,
        OneSum,
        ReturnedAsDelta,
    ];
    for (mutation, caught) in caught(Plan::ledger, &all) {
        let (seed, Violation(what)) =
            caught.unwrap_or_else(|| panic!("{mutation:?} went unnoticed"));
        println!("{mutation:?}: seed {seed}: {what}");
    }
}

/// The first seed at which each mutation does harm, if any does.
fn caught(
    plan: impl Fn(u64) -> Plan,
    mutations: &[Mutation],
) -> Vec<(Mutation, Option<(u64, Violation)>)> {
    let first = |mutation: &Mutation| {
        (0..400).find_map(|seed| {
            let plan = Plan {
                mutation: Some(*mutation),
                ..plan(seed)
            };
            let (_, outcome) = run(plan);
            // A refusal without need is no harm that a mutation is meant to do.
            let harm = outcome
                .err()
                .filter(|Violation(what)| !what.starts_with("I7"));
            Some((seed, harm?))
        })
    };
    mutations
        .iter()
        .map(|mutation| (*mutation, first(mutation)))
        .collect()
}
