//! All schedules of small worlds up to a length: whatever is under way may arrive next, twice, or never, nobody may
//! know what became of a write, and what may go wrong may do so at any moment. The machines are the real ones, and the
//! oracle that of the simulation; a counterexample that is short, and that seeds may miss, is not there.
//!
//! Depth first, over copies of the world. A state that was met with as many steps left is not gone through again: states
//! are told apart by a hash of all that they consist of. `TOLLGATE_SEARCH_MORE=2` makes schedules longer by two steps.

mod instances;
mod small;

use std::collections::HashMap;

use instances::{INSTANCES, Instance};
use small::{Move, Small};

use crate::mutants::Mutation;
use crate::oracle::Violation;

/// What was found.
#[derive(Debug)]
struct Found {
    states: usize,
    broken: Option<(Vec<Move>, Violation)>,
}

/// Goes through all schedules, or until one breaks something.
fn explore(instance: &Instance, mutation: Option<Mutation>, steps: u8) -> Found {
    let mut root = Small::new(instance, mutation);
    let mut found = Found {
        states: 0,
        broken: None,
    };
    for step in instance.begin.iter().copied().flatten() {
        if let Err(violation) = root.begin(*step) {
            found.broken = Some((Vec::new(), violation));
            return found;
        }
    }
    let mut met: HashMap<u64, u8> = HashMap::new();
    let mut path = Vec::new();
    let broken = descend(&root, steps, &mut met, &mut path).err();
    found.broken = broken.map(|violation| (path, violation));
    found.states = met.len();
    found
}

fn descend(
    state: &Small<'_>,
    left: u8,
    met: &mut HashMap<u64, u8>,
    path: &mut Vec<Move>,
) -> Result<(), Violation> {
    let known = met.entry(state.fingerprint()).or_default();
    // One more than what was left, so that 0 is new.
    if *known > left {
        return Ok(());
    }
    *known = left + 1;
    if left == 0 {
        return Ok(());
    }
    for step in state.moves() {
        let mut next = state.clone();
        path.push(step);
        next.make(step)?;
        next.check()?;
        descend(&next, left - 1, met, path)?;
        path.pop();
    }
    Ok(())
}

/// The steps of the longest schedules, or more of them by `TOLLGATE_SEARCH_MORE`.
fn more() -> u8 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one setting of this test binary besides the seeds"
    )]
    let more = std::env::var("TOLLGATE_SEARCH_MORE");
    more.ok().map_or(0, |text| {
        text.parse().expect("TOLLGATE_SEARCH_MORE is a number")
    })
}

#[test]
fn no_schedule_of_a_small_world_breaks_a_promise() {
    for instance in INSTANCES {
        let found = explore(instance, None, instance.steps + more());
        assert!(found.broken.is_none(), "{}: {found:?}", instance.name);
        // A beginning after which nothing is under way would be gone through as easily.
        assert!(
            found.states > 40,
            "{}: {} states",
            instance.name,
            found.states
        );
    }
}

#[test]
fn short_schedules_show_what_broken_rules_do() {
    for instance in INSTANCES {
        for mutation in instance.caught {
            let mut lengths = 1..=instance.steps + 1;
            let caught =
                lengths.any(|steps| explore(instance, Some(*mutation), steps).broken.is_some());
            assert!(caught, "{mutation:?} went unnoticed: {}", instance.name);
        }
    }
}
