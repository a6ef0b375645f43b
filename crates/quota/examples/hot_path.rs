//! Measures what one admission costs a node: reserve, stamp and settle over three limits, with 1,000
//! subjects on one of them, all units at hand.
//!
//! `cargo run --release -p tollgate-quota --example hot_path`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, not a service"
)]

use std::time::Instant;

use tollgate_quota::node::{Ask, Config, Node, Outcome, Scope};
use tollgate_quota::{
    Counter, Epoch, Generation, Incarnation, Kind, NodeTime, OwnerAccount, OwnerMessage, OwnerTime,
    Window,
};

const SUBJECTS: usize = 1_000;
const ROUNDS: usize = 1_000_000;

fn grant(counter: &Counter) -> OwnerAccount {
    OwnerAccount {
        counter: counter.clone(),
        window: Window(1),
        generation: Generation::FIRST,
        granted: 1_000_000_000,
        rem_ms: 3_600_000,
        version: 1,
        exhausted_above: None,
        keep: None,
        limit: 1_000_000_000,
        remaining: 1_000_000_000,
        coming: Vec::new(),
    }
}

fn main() {
    let minute = Kind::Fixed { window_ms: 60_000 };
    let fleet = Counter::new("fleet-requests", minute, "").unwrap();
    let tokens = Counter::new("team-tokens", minute, "acme/search").unwrap();
    let keys: Vec<Counter> = (0..SUBJECTS)
        .map(|n| Counter::new("requests-per-key", minute, &format!("key-{n}")).unwrap())
        .collect();
    let mut node = Node::new("bench", Incarnation(1), Config::default());
    let message = OwnerMessage {
        epoch: Epoch(1),
        incarnation: Incarnation(1),
        echo_t_node: NodeTime(0),
        owner_now: OwnerTime(0),
        accounts: keys.iter().chain([&fleet, &tokens]).map(grant).collect(),
    };
    node.receive(NodeTime(0), &message);
    let asks: Vec<[Ask; 3]> = keys
        .iter()
        .map(|key| {
            [(key, 1), (&fleet, 1), (&tokens, 500)].map(|(counter, units)| Ask {
                counter: counter.clone(),
                units,
            })
        })
        .collect();
    #[expect(
        clippy::disallowed_methods,
        reason = "measuring real time is the purpose"
    )]
    let begin = Instant::now();
    for round in 0..ROUNDS {
        let now = NodeTime(round as u64 / 500);
        let (id, outcome) = node.reserve(now, &asks[round % SUBJECTS], now.after(50));
        assert_eq!(outcome, Outcome::Taken);
        assert!(matches!(node.stamp(now, id), Outcome::Admitted(_)));
        node.settle(now, id, &[1, 1, 400]).unwrap();
        assert!(node.poll_wake().is_none());
        if round % 50_000 == 0 {
            node.poll_message(now, Scope::Changed);
        }
    }
    let each = begin.elapsed().as_nanos() / ROUNDS as u128;
    println!("reserve + stamp + settle over 3 limits: {each} ns");
}
