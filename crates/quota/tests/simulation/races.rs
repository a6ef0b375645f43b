//! Without faults every unit is used, and hardly a request waits.

use tollgate_quota::node::Ask;
use tollgate_quota::{Counter, Kind, OwnerTime, Window};

use crate::plan::{FIXED_12_S, Plan};
use crate::world::{Event, World};

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
    let (sliding, bucket) = (
        Kind::Sliding {
            window_ms: length_ms,
        },
        Kind::Bucket {
            window_ms: length_ms,
        },
    );
    for kind in [sliding, bucket] {
        for (seed, units) in [1, 10, 100, 1_000].into_iter().enumerate() {
            for nodes in [1, 4] {
                let mut plan = Plan::race(seed as u64 * 10 + nodes, nodes, units);
                plan.limits[0].kind = kind;
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
                    "{kind} of {units} over {nodes} nodes: {used} used in four windows"
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
    world.drain(0, true).unwrap();
    world.run(world.now + 100).unwrap();
    for _ in 0..12 {
        world.request(1, ask.clone()).unwrap();
        world.run(world.now + 60).unwrap();
    }
    assert_eq!(world.oracle.total(&counter, window), 10);
}
