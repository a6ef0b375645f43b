//! Deterministic simulation of owners and nodes. The oracle is the promise itself: never more units
//! under a window's label than its limit, whatever the network, the store, the clocks and the
//! processes do, no unit of a ledger lost or invented, and never a refusal without need once they are well again.
//!
//! A run is its seed. `TOLLGATE_SIM_SEEDS` sets how many seeds the storm runs; a failing one prints
//! its seed and what led to it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test: what cannot be is a failure of the test"
)]

mod calm;
mod exhaustive;
mod faults;
mod mutants;
mod oracle;
mod plan;
mod planted;
mod promises;
mod races;
mod random;
mod store;
mod world;

use faults::Fault;
use oracle::Violation;
use plan::{Family, Plan};
use world::{Event, World};

/// Seeds of the storm, unless the environment says otherwise: so many of windows with marks, half of it of
/// ledgers, of promises and of shared limits, a quarter of each other family.
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
    let outcome = storm(&mut world).and_then(|()| calm::calm(&mut world));
    (world, outcome)
}

fn storm(world: &mut World) -> Result<(), Violation> {
    let span = world.plan.faulty_ms;
    let end = world.now + span;
    let mut random = world.random.clone();
    let mut drawn = faults::draw(&mut random, world.now, span, world.nodes.len());
    if world.plan.promised > 0 {
        drawn.extend(faults::isolate(&mut random, span, world.nodes.len()));
    }
    if world.plan.restored {
        drawn.extend(faults::restore(&mut random, span));
        // What was promised by a limit that is not in the copy, and is lowered since, is not known to be out.
        let kept =
            |fault: &Fault| world.plan.promised == 0 || !matches!(fault, Fault::ChangeLimits);
        drawn.retain(|(_, fault)| kept(fault));
    }
    world.random = random;
    for (at, fault) in drawn {
        world.schedule(at, Event::Fault(fault));
    }
    for node in 0..world.nodes.len() {
        world.schedule(5, Event::Request(node));
    }
    world.run(end)
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

fn storms(family: Family, seeds: u64, restored: bool) {
    let mut admissions = 0;
    for seed in 0..seeds {
        let plan = Plan {
            restored,
            ..Plan::stormy(seed, family)
        };
        let (world, outcome) = run(plan.clone());
        let broken = outcome.err().map(|violation| report(&plan, &violation));
        assert!(broken.is_none(), "{family:?}: {}", broken.unwrap());
        admissions += world.oracle.admissions;
    }
    // While a restored store is frozen, and for a window after it, nobody is admitted.
    let least = if restored { 50 } else { 100 };
    assert!(
        admissions > least * seeds,
        "only {admissions} admissions of {family:?}"
    );
}

#[test]
fn no_storm_exceeds_a_limit() {
    storms(Family::Counted, seeds(), false);
}

#[test]
fn no_storm_exceeds_what_the_horizon_keeps() {
    for family in [Family::Brief, Family::Sliding, Family::Long, Family::Bucket] {
        storms(family, seeds() / 4, false);
    }
}

#[test]
fn no_storm_loses_or_invents_a_unit_of_a_ledger() {
    storms(Family::Ledger, seeds() / 2, false);
}

#[test]
fn no_storm_exceeds_a_limit_of_which_a_part_is_promised() {
    storms(Family::Promised, seeds() / 2, false);
}

#[test]
fn no_storm_exceeds_a_limit_that_is_shared() {
    storms(Family::Shared, seeds() / 2, false);
}

#[test]
fn no_restored_store_opens_anew_what_was_spent() {
    for family in Family::ALL {
        storms(family, seeds() / 10, true);
    }
}
