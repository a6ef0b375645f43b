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

mod faults;
mod mutants;
mod oracle;
mod plan;
mod random;
mod store;
mod world;

use oracle::Violation;
use plan::{FIXED_12_S, Mutation, Plan};
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
    Ok(())
}

fn calm_request(world: &mut World) -> Result<(), Violation> {
    let node = world.random.within(0, world.nodes.len() as u64 - 1) as usize;
    let asks = world.draw_asks();
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
fn storm_never_exceeds_a_limit() {
    let mut admissions = 0;
    for seed in 0..seeds() {
        let plan = Plan::stormy(seed);
        let (world, outcome) = run(plan.clone());
        if let Err(violation) = outcome {
            panic!("{}", report(&plan, &violation));
        }
        admissions += world.oracle.admissions;
    }
    assert!(
        admissions > 100 * seeds(),
        "only {admissions} admissions in {} seeds",
        seeds()
    );
}

#[test]
fn racing_nodes_use_every_unit() {
    for (seed, units) in [1, 3, 10, 100, 1_000, 10_000].into_iter().enumerate() {
        for nodes in [1, 3, 5] {
            race(Plan::race(seed as u64 * 10 + nodes, nodes, units));
        }
    }
}

/// Runs three whole windows without faults; every unit must be used. Answers the world, for figures.
fn race(plan: Plan) -> World {
    let units = plan.limits[0].units;
    let counter = Counter::new("raced", FIXED_12_S, "k1").unwrap();
    let mut world = World::new(plan);
    for node in 0..world.nodes.len() {
        world.schedule(5, Event::Request(node));
    }
    let first = Window::at(OwnerTime(world.now), 12_000);
    let whole: Vec<Window> = (1..=3).map(|n| Window(first.0 + n)).collect();
    world.run(first.end(12_000).0).unwrap();
    (world.requests, world.messages, world.writes) = (0, 0, 0);
    world.run(whole[2].end(12_000).0).unwrap();
    for window in whole {
        assert_eq!(
            world.oracle.total(&counter, window),
            units,
            "{:?}",
            world.plan
        );
    }
    world
}

/// Demand at ten nodes that differ by a factor of sixteen: the limit is used whole, and the owner
/// hears little of it. The bounds are about twice what is measured.
#[test]
fn skewed_demand_uses_every_unit_with_few_messages() {
    for (times, most_messages) in [(1.3, 75), (5.0, 15)] {
        let world = race(skewed(times));
        let per_thousand = world.messages * 1_000 / world.requests;
        println!("{times} times the limit: {per_thousand} messages per 1,000 requests");
        assert!(
            per_thousand <= most_messages,
            "{per_thousand} messages per 1,000 requests"
        );
        assert!(
            world.writes <= 3 * 16,
            "{} debits in three windows",
            world.writes
        );
    }
}

/// While a limit is not nearly used up, requests do not wait for a remote call: not even as a window
/// begins, because the next window's units are handed out by the demand of the last.
#[test]
fn below_the_limit_hardly_a_request_waits() {
    let mut world = World::new(skewed(0.5));
    for node in 0..world.nodes.len() {
        world.schedule(5, Event::Request(node));
    }
    let first = Window::at(OwnerTime(world.now), 12_000);
    world.run(first.end(12_000).0 - 100).unwrap();
    (world.requests, world.waits) = (0, 0);
    world.run(Window(first.0 + 3).end(12_000).0 - 100).unwrap();
    println!(
        "{} of {} requests waited in three windows",
        world.waits, world.requests
    );
    assert!(world.requests > 10_000);
    assert!(
        world.waits * 100 <= world.requests,
        "{} of {} waited",
        world.waits,
        world.requests
    );
}

/// Demand of so many times the limit, by Zipf's law over ten nodes.
fn skewed(times: f64) -> Plan {
    // The nodes' paces add up to 2.1 times the first one's.
    let rate = 10_000.0 * times / 12_000.0 / 2.1;
    Plan {
        zipf: 1.2,
        pace_ms: 5,
        burst: (rate * 5.0) as u64 + 1,
        ..Plan::race(1, 10, 10_000)
    }
}

/// What a node gives back as it shuts down is used by the others, in the same window.
#[test]
fn a_node_that_drains_leaves_its_units_to_the_others() {
    let mut world = World::new(Plan {
        limits: Plan::race(2, 2, 10).limits,
        ..Plan::race(2, 2, 10)
    });
    let counter = Counter::new("raced", FIXED_12_S, "k1").unwrap();
    let window = Window(world.now / 12_000 + 1);
    world.run(window.start(12_000).0 + 500).unwrap();
    let ask = vec![Ask {
        counter: counter.clone(),
        units: 1,
    }];
    world.request(0, ask.clone()).unwrap();
    world.run(world.now + 100).unwrap();
    assert!(
        world.view(0, &counter).unwrap().avail > 0,
        "it has some to give back"
    );
    world.drain(0).unwrap();
    world.run(world.now + 100).unwrap();
    for _ in 0..12 {
        world.request(1, ask.clone()).unwrap();
        world.run(world.now + 60).unwrap();
    }
    assert_eq!(world.oracle.total(&counter, window), 10);
}

#[test]
fn the_oracle_catches_every_mutation() {
    use Mutation::*;
    let all = [
        Deltas,
        RecreditOnExpiry,
        UnguardedWrite,
        UnknownIsSuccess,
        TrustReports,
        DeadlineFromReceipt,
        NoDriftMargin,
        NoRestamp,
        WindowsGoBack,
        ForgetAtDeadline,
        SettledTwice,
        LimitFromOwnCache,
    ];
    for mutation in all {
        let caught = (0..400).find_map(|seed| {
            let plan = Plan {
                mutation: Some(mutation),
                ..Plan::stormy(seed)
            };
            let mut world = World::new(plan);
            let violation = storm(&mut world).err()?;
            Some((seed, violation))
        });
        let (seed, Violation(what)) =
            caught.unwrap_or_else(|| panic!("{mutation:?} went unnoticed"));
        println!("{mutation:?}: seed {seed}: {what}");
    }
}
