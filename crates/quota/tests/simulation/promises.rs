//! What is promised ahead, without faults but those that are looked at.

use tollgate_quota::{Counter, OwnerTime, Window};

use crate::plan::{FIXED_12_S, Plan};
use crate::world::{Event, World};

const UNITS: u64 = 100;

/// Demand of twice the limit at so many nodes, of which 60 per cent of each window are promised for ten windows ahead.
fn plan(nodes: u64) -> Plan {
    Plan {
        promised: 60,
        promised_ms: 120_000,
        ..Plan::race(3, nodes, UNITS)
    }
}

/// A world in which every node is promised its part.
fn settled(nodes: u64) -> World {
    let mut world = World::new(plan(nodes));
    for node in 0..world.nodes.len() {
        world.schedule(5, Event::Request(node));
    }
    let first = Window::at(OwnerTime(world.now), 12_000);
    world.run(Window(first.0 + 12).end(12_000).0).unwrap();
    world
}

fn used(world: &World, window: Window) -> u64 {
    let counter = Counter::new("raced", FIXED_12_S, "k1").unwrap();
    world.oracle.total(&counter, window)
}

#[test]
fn while_all_are_there_every_unit_is_used() {
    for nodes in [1, 3, 5] {
        let mut world = settled(nodes);
        let first = Window::at(OwnerTime(world.now), 12_000);
        world.run(Window(first.0 + 2).end(12_000).0).unwrap();
        for window in first.0..first.0 + 3 {
            assert_eq!(used(&world, Window(window)), UNITS, "{nodes} nodes");
        }
    }
}

#[test]
fn without_an_owner_nodes_go_on_with_what_they_were_promised_to_its_end() {
    let mut world = settled(3);
    let first = Window::at(OwnerTime(world.now), 12_000);
    world.owners[0].alive = false;
    world.run(Window(first.0 + 14).end(12_000).0).unwrap();
    let windows: Vec<u64> = (first.0 + 1..first.0 + 15)
        .map(|it| used(&world, Window(it)))
        .collect();
    let whole = windows.iter().take_while(|used| **used == 60).count();
    assert!((5..=10).contains(&whole), "{windows:?}");
    assert!(windows.iter().all(|used| *used <= 60), "{windows:?}");
    assert_eq!(windows.last(), Some(&0), "{windows:?}");
    // The next owner hands out the rest, and promises anew.
    world.new_owner(0);
    for node in 0..world.nodes.len() {
        world.schedule(1, Event::Connect { node, owner: 1 });
    }
    let next = Window::at(OwnerTime(world.now), 12_000);
    world.run(Window(next.0 + 2).end(12_000).0).unwrap();
    assert_eq!(used(&world, Window(next.0 + 2)), UNITS);
}

#[test]
fn a_node_that_is_cut_off_goes_on_and_the_others_have_the_rest() {
    for to_owner in [true, false] {
        let mut world = settled(3);
        let first = Window::at(OwnerTime(world.now), 12_000);
        world.cut((to_owner, 2), 1_000_000);
        let before = world.nodes[2].admissions;
        world.run(Window(first.0 + 4).end(12_000).0).unwrap();
        // Its part is used where it is. What it is granted, and does not hear of, is lost.
        let least = if to_owner { UNITS } else { UNITS * 9 / 10 };
        for window in first.0 + 1..first.0 + 5 {
            let used = used(&world, Window(window));
            assert!(used >= least, "cut to the owner: {to_owner}: {used}");
        }
        let alone = world.nodes[2].admissions - before;
        assert!(alone >= 4 * 20, "{alone}");
    }
}
