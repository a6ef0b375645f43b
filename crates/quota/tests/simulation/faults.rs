//! What goes wrong in a run, drawn from its seed.

use tollgate_quota::Incarnation;

use crate::random::Random;

/// What goes wrong; nodes are named by their place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A node process dies and another takes its place.
    Crash(usize),
    /// A node process is shut down in good order, and another takes its place.
    Restart(usize),
    /// A node process stands still.
    Pause { node: usize, ms: u64 },
    /// The newest owner stands still.
    PauseOwner { ms: u64 },
    /// Another owner takes over; the old one dies, or goes on.
    Failover { kill: bool },
    /// The newest owner leaves in good order, and another one follows.
    Leave,
    /// Policy changes, and reaches owners one after the other.
    ChangeLimits,
    /// Messages of one direction are lost.
    Cut {
        to_owner: bool,
        node: usize,
        ms: u64,
    },
    /// A process was not heard of for a while.
    Silence(Incarnation),
    /// A copy of the store is taken.
    BackUp,
    /// The store is restored from that copy.
    Restore,
}

type Make = fn(&mut Random, usize) -> Fault;

/// The faults drawn, each at most so many times.
const KINDS: [(u64, Make); 8] = [
    (3, |random, _| Fault::Failover {
        kill: random.chance(40),
    }),
    (3, |_, node| Fault::Crash(node)),
    (2, |_, node| Fault::Restart(node)),
    (4, |random, node| Fault::Pause {
        node,
        ms: random.within(1, 3_000),
    }),
    (2, |random, _| Fault::PauseOwner {
        ms: random.within(1, 4_000),
    }),
    (6, |random, node| Fault::Cut {
        to_owner: random.chance(50),
        node,
        ms: random.within(50, 8_000),
    }),
    (3, |_, _| Fault::ChangeLimits),
    (2, |_, _| Fault::Leave),
];

/// A store that is restored from a copy of a while ago, and when.
pub(crate) fn restore(random: &mut Random, span: u64) -> [(u64, Fault); 2] {
    let copied = random.within(1, span / 2);
    let restored = copied + random.within(1, span / 3);
    [(copied, Fault::BackUp), (restored, Fault::Restore)]
}

/// The longest that nobody reaches a node, or that there is no owner: several windows.
const LONG: (u64, u64) = (10_000, 40_000);

/// Nodes that nobody reaches for several windows, or that reach nobody, and times without an owner.
pub(crate) fn isolate(random: &mut Random, span: u64, nodes: usize) -> Vec<(u64, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..random.within(0, 3) {
        let (at, ms) = (random.within(1, span), random.within(LONG.0, LONG.1));
        let node = random.within(0, nodes as u64 - 1) as usize;
        let which = random.within(0, 2);
        let cut = |to_owner| (at, Fault::Cut { to_owner, node, ms });
        faults.extend((which != 1).then(|| cut(true)));
        faults.extend((which != 0).then(|| cut(false)));
    }
    if random.chance(50) {
        let ms = random.within(LONG.0, LONG.1);
        faults.push((random.within(1, span), Fault::PauseOwner { ms }));
    }
    faults
}

/// Draws what goes wrong within `span` milliseconds from `begin`, and when.
pub(crate) fn draw(random: &mut Random, begin: u64, span: u64, nodes: usize) -> Vec<(u64, Fault)> {
    let mut faults = Vec::new();
    for (most, make) in KINDS {
        for _ in 0..random.within(0, most) {
            let at = moment(random, begin, span);
            let node = random.within(0, nodes as u64 - 1) as usize;
            faults.push((at, make(random, node)));
        }
    }
    faults
}

/// Half of what goes wrong does so at the edge of a window.
fn moment(random: &mut Random, begin: u64, span: u64) -> u64 {
    if random.chance(50) {
        return random.within(1, span);
    }
    let edge = 12_000 - begin % 12_000 + 12_000 * random.within(0, span / 12_000 - 1);
    (edge + random.within(0, 40)).saturating_sub(20)
}
