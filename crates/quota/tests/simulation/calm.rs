//! What must be so once nothing goes wrong any more: what is there can be had, and the books are right.

use std::collections::BTreeMap;

use tollgate_quota::node::{Ask, Scope, Why};

use crate::oracle::{Allowed, Violation};
use crate::plan::Sharing;
use crate::world::{Event, World};

/// After the storm: one owner, every node connected, nothing lost. In a fresh window every request
/// that fits is admitted (I7), one at a time from any node.
pub(crate) fn calm(world: &mut World) -> Result<(), Violation> {
    world.calm = true;
    world.heal();
    world.plan.pace_ms = u64::MAX / 4;
    world
        .owners
        .iter_mut()
        .for_each(|owner| owner.alive = false);
    world.new_owner(0);
    // Later than whatever the storm still has planned.
    world.run(world.now + 15_000)?;
    let owner = world.owners.len() - 1;
    for node in 0..world.nodes.len() {
        world.schedule(1, Event::Connect { node, owner });
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
    let asks = world.draw_asks();
    let ledger = asks.iter().find(|ask| ask.counter.kind().is_ledger());
    if let Some(ask) = ledger {
        return calm_ledger_request(world, node, ask);
    }
    let newest = world.policy.last().unwrap().clone();
    let due: Vec<Option<bool>> = asks.iter().map(|ask| is_due(world, ask, &newest)).collect();
    let admissions = world.oracle.admissions;
    world.denials.clear();
    world.request(node, asks.clone())?;
    world.run(world.now + 60)?;
    let admitted = world.oracle.admissions > admissions;
    // What is left may be for others who share it.
    let all_due = due.iter().all(|due| *due == Some(true)) && !is_over_share(world);
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

/// What a ledger says is free, or idle with a living node, can be had.
fn calm_ledger_request(world: &mut World, node: usize, ask: &Ask) -> Result<(), Violation> {
    // What was spent since the last heartbeat is in no books yet.
    for node in 0..world.nodes.len() {
        world.speak(node, Scope::All)?;
    }
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

fn is_over_share(world: &World) -> bool {
    let denials = &world.denials;
    world.plan.sharing != Sharing::Together
        && denials
            .iter()
            .any(|(_, denial)| matches!(denial.why, Why::OverShare { .. }))
}

/// A refusal names its reason: used up, or larger than the limit, or for others who share it.
fn check_denial(world: &World) -> Result<(), Violation> {
    let due = |why: &Why| matches!(why, Why::Exhausted { .. } | Why::TooLarge { .. });
    match world.denials.as_slice() {
        [_] if is_over_share(world) => Ok(()),
        [(_, denial)] if due(&denial.why) => Ok(()),
        other => Err(Violation(format!("refused without saying why: {other:?}"))),
    }
}
