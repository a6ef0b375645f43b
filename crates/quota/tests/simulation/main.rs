//! Deterministic simulation of owners and nodes. The oracle is the promise itself: never more units
//! under a window's label than its limit, whatever the network, the store, the clocks and the
//! processes do, and never a refusal without need once they are well again.
//!
//! # Planted bugs
//! That the oracle would see a broken promise is tested by breaking the rules one at a time (`plan::Mutation`, and
//! that of `../ledgers`): each of these turns a check red in every run of these tests. Kinds: *windows* of more than
//! 10 s, *brief* ones, *sliding*, *bucket*, *ledgers* (budgets and slots).
//!
//! | bug | rule | caught over |
//! |---|---|---|
//! | `Deltas`: grants travel as differences | R3 | windows, brief, sliding, bucket |
//! | `ReturnedAsDelta`: so does what comes back | R3 | ledgers |
//! | `RecreditOnExpiry`: what a silent node holds is credited | R4 | windows, sliding, bucket, ledgers |
//! | `UnguardedWrite`: transactions compare nothing | R1 | windows, ledgers |
//! | `UnknownIsSuccess`: an unknown outcome is taken for done | R1 | all |
//! | `TrustReports`: a new owner begins with what nodes report | R2 | windows |
//! | `LimitFromOwnCache`: an older limit is brought back | R1 | windows |
//! | `WindowsGoBack`: a new owner goes by its own clock | R8 | windows |
//! | `DeadlineFromReceipt`: a node counts from its receipt | R6 | windows, brief, sliding |
//! | `NoDriftMargin`: no drift is allowed for | R6 | windows |
//! | `NoRestamp`: the clock is read before the take | R7 | windows, brief |
//! | `ForgetAtDeadline`: a node forgets early | R3 | windows |
//! | `SettledTwice`: a refund counts twice | R9 | all |
//! | `NoHorizonWait`: a new owner begins at once | horizon | brief, sliding, bucket |
//! | `HorizonReadEarly`: it reads before it holds the epoch | horizon | brief |
//! | `UnguardedHorizon`: an old owner renews | horizon | brief, sliding |
//! | `NoGeneration`: what was written off can return | R4 | bucket |
//! | `HeldAsSpent`: what can come back is reported spent | R9 | sliding, bucket |
//! | `SpentAtGrant`: so is what was not used | R9 | sliding, bucket |
//! | `SettleSkipped`: a request that ends early is not settled | R9 | sliding, bucket |
//! | `UndoneAndSent`: an undo comes after the request was sent | R7 | brief |
//! | `LostWake`: a waiter is not woken | shell | brief, sliding |
//! | `NoMark`: an heir closes at what was spent | journal | ledgers |
//! | `MarkNotFlushed`: a process goes on before the disk has it | journal | ledgers |
//! | `LateReturn`: a closed process gives back | R4 | ledgers |
//! | `ClosedTwice`: a closing frees twice | R4 | ledgers |
//! | `ClosedWithoutLock`: a living process is closed | R4 | ledgers |
//! | `OneSum`: a node's processes share a row | R3 | ledgers |
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

use std::collections::BTreeMap;

use oracle::{Allowed, Violation};
use plan::{FIXED_12_S, Family, Mutation, Plan};
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
    let newest = world.policy.last().unwrap().clone();
    let due: Vec<Option<bool>> = asks.iter().map(|ask| is_due(world, ask, &newest)).collect();
    let admissions = world.oracle.admissions;
    world.denials.clear();
    world.request(node, asks.clone())?;
    world.run(world.now + 60)?;
    let admitted = world.oracle.admissions > admissions;
    let all_due = due.iter().all(|due| *due == Some(true));
    let hopeless = due.contains(&Some(false));
    match admitted {
        false if all_due => Err(Violation(format!(
            "I7: {asks:?} refused at node {node} though {newest:?} has room: {:?}",
            world.denials
        ))),
        true if hopeless => Err(Violation(format!("I1: {asks:?} admitted over {newest:?}"))),
        false => check_denial(world),
        true => Ok(()),
    }
}

fn is_due(world: &World, ask: &Ask, policy: &BTreeMap<&'static str, u64>) -> Option<bool> {
    let limit = world
        .plan
        .limits
        .iter()
        .find(|l| l.name == ask.counter.limit());
    let units = policy[ask.counter.limit()];
    let burst = limit.unwrap().burst(units);
    // Reports are a tenth of a second behind, and what lies idle elsewhere is fetched.
    // Nothing was asked for, and policy stayed as it is, for a minute before.
    let span_ms = 55_000;
    let allowed = Allowed {
        units,
        burst,
        span_ms,
    };
    world.oracle.is_due(world.now, ask, allowed, 250)
}

/// A refusal names its reason: used up, or larger than the limit.
fn check_denial(world: &World) -> Result<(), Violation> {
    let due = |why: &Why| matches!(why, Why::Exhausted { .. } | Why::TooLarge { .. });
    match world.denials.as_slice() {
        [(_, denial)] if due(&denial.why) => Ok(()),
        other => Err(Violation(format!("refused without saying why: {other:?}"))),
    }
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
fn storm_never_exceeds_a_limit_by_horizon() {
    for family in Family::ALL {
        let mut admissions = 0;
        for seed in 0..seeds() / 4 {
            let plan = Plan::stormy_by_horizon(seed, family);
            let (world, outcome) = run(plan.clone());
            if let Err(violation) = outcome {
                panic!("{family:?}: {}", report(&plan, &violation));
            }
            admissions += world.oracle.admissions;
        }
        assert!(
            admissions > 100 * (seeds() / 4),
            "only {admissions} admissions of {family:?}"
        );
    }
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

/// Where no window ends, units are lost between a stamp and the report of it, and on their way to whoever
/// wants them next: a few milliseconds of a window each.
#[test]
fn racing_nodes_use_nearly_all_of_a_limit_without_windows() {
    let length_ms = 10_000;
    for family in [Family::Sliding, Family::Bucket] {
        for (seed, units) in [1, 10, 100, 1_000].into_iter().enumerate() {
            for nodes in [1, 4] {
                let mut plan = Plan::race(seed as u64 * 10 + nodes, nodes, units);
                plan.limits[0].kind = family.kind(length_ms);
                plan.limits[0].burst = 10;
                let mut world = World::new(plan);
                for node in 0..world.nodes.len() {
                    world.schedule(5, Event::Request(node));
                }
                world.run(world.now + 2 * length_ms).unwrap();
                let before = world.oracle.admissions;
                world.run(world.now + 4 * length_ms).unwrap();
                let used = world.oracle.admissions - before;
                let least = if units < 1_000 { 95 } else { 99 };
                assert!(
                    used * 100 >= 4 * units * least,
                    "{family:?} of {units} over {nodes} nodes: {used} used in four windows"
                );
            }
        }
    }
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
        let caught = caught(mutation, Plan::stormy);
        assert!(caught.is_some(), "{mutation:?} went unnoticed");
        println!("{mutation:?}: {caught:?}");
    }
}

/// What only shows once all is quiet: units that nobody has any more, and requests that nobody answers.
#[test]
fn the_calm_after_it_shows_what_shells_do_wrong() {
    for (mutation, family) in [
        (Mutation::SettleSkipped, Family::Sliding),
        (Mutation::SettleSkipped, Family::Bucket),
        (Mutation::UndoneAndSent, Family::Brief),
        (Mutation::LostWake, Family::Brief),
        (Mutation::LostWake, Family::Sliding),
    ] {
        let caught = (0..400).find_map(|seed| {
            let mutation = Some(mutation);
            let (_, outcome) = run(Plan {
                mutation,
                ..Plan::stormy_by_horizon(seed, family)
            });
            Some((seed, outcome.err()?))
        });
        assert!(
            caught.is_some(),
            "{mutation:?} of {family:?} went unnoticed"
        );
        println!("{mutation:?} of {family:?}: {caught:?}");
    }
}

/// Looks for a run in which the broken rule breaks the promise. Answers its seed.
fn caught(mutation: Mutation, plan: impl Fn(u64) -> Plan) -> Option<(u64, Violation)> {
    (0..400).find_map(|seed| {
        let mutation = Some(mutation);
        let mut world = World::new(Plan {
            mutation,
            ..plan(seed)
        });
        Some((seed, storm(&mut world).err()?))
    })
}

/// What one kind makes rare is looked for in the others; `owner/tests` has the margins by themselves.
#[test]
fn the_oracle_catches_every_mutation_by_horizon() {
    use Mutation::*;
    let brief = [
        Deltas,
        NoHorizonWait,
        HorizonReadEarly,
        UnguardedHorizon,
        UnknownIsSuccess,
        NoRestamp,
        DeadlineFromReceipt,
        SettledTwice,
    ];
    let sliding = [
        Deltas,
        NoHorizonWait,
        UnguardedHorizon,
        UnknownIsSuccess,
        RecreditOnExpiry,
        HeldAsSpent,
        SpentAtGrant,
        DeadlineFromReceipt,
        SettledTwice,
    ];
    let bucket = [
        Deltas,
        NoHorizonWait,
        UnknownIsSuccess,
        RecreditOnExpiry,
        NoGeneration,
        HeldAsSpent,
        SpentAtGrant,
        SettledTwice,
    ];
    for family in Family::ALL {
        let mutations: &[Mutation] = match family {
            Family::Brief => &brief,
            Family::Sliding => &sliding,
            Family::Bucket => &bucket,
        };
        for mutation in mutations {
            let caught = caught(*mutation, |seed| Plan::stormy_by_horizon(seed, family));
            assert!(
                caught.is_some(),
                "{mutation:?} of {family:?} went unnoticed"
            );
            println!("{mutation:?} of {family:?}: {caught:?}");
        }
    }
}
