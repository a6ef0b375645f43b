//! Which fault strikes when: drawn from a seed, before anything happens.

use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::member::{Member, OF_A_KIND};

/// Whom a fault strikes. Two are only known when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Member(Member),
    /// The etcd member that leads.
    Leader,
    /// The control replica that hands out quota.
    Owner,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// `kill -9`; started again at the end.
    Kill,
    /// `SIGTERM`; started again at the end, or once it has ended.
    Stop,
    /// `SIGSTOP`, and `SIGCONT` at the end.
    Freeze,
    /// Nothing passes between it and one of its peers, chosen by number.
    Cut { peer: usize },
    /// Nothing of what it sends reaches that peer; the other way is open.
    Mute { peer: usize },
    /// Nothing passes between it and any of its peers.
    Isolate,
    /// A fifth of the packets between it and its peers is lost.
    Lose,
    /// What is sent to it passes through a narrow place.
    Narrow,
}

/// A fault, or a change of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Blow(Target, Blow),
    /// The stage's amounts are halved, and set again at the end.
    Halve,
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheduled {
    /// From the storm's begin.
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) fault: Fault,
}

/// Longest time for which a node stands still. How late a request may be depends on it.
pub(super) const LONGEST_FREEZE_OF_A_NODE: Duration = Duration::from_secs(3);

/// Draws the faults of a storm of this length, in the order of their times. All of them end within it.
pub(super) fn storm(random: &mut StdRng, length: Duration) -> Vec<Scheduled> {
    let mut storm = Vec::new();
    let mut at = Duration::from_millis(random.random_range(0..2_000));
    while at < length {
        let fault = draw(random);
        let longest = match fault {
            Fault::Blow(Target::Member(Member::Node(_)), Blow::Freeze) => {
                LONGEST_FREEZE_OF_A_NODE.as_millis()
            }
            Fault::Blow(_, Blow::Kill | Blow::Stop) => 3_000,
            Fault::Blow(..) | Fault::Halve => 9_000,
        };
        let longest = u64::try_from(longest).unwrap_or(u64::MAX);
        let lasts = Duration::from_millis(random.random_range(500..=longest));
        let lasts = lasts.min(length - at);
        storm.push(Scheduled { at, lasts, fault });
        if matches!(
            fault,
            Fault::Blow(Target::Member(Member::Control(0)), Blow::Stop)
        ) {
            storm.extend(rolling(at));
            at += Duration::from_secs(8);
        }
        at += Duration::from_millis(random.random_range(1_500..6_000));
    }
    storm.retain(|fault| fault.at + fault.lasts <= length);
    storm.sort_by_key(|fault| fault.at);
    storm
}

/// The other replicas' part in a rolling restart that the first began.
fn rolling(begin: Duration) -> impl Iterator<Item = Scheduled> {
    (1..OF_A_KIND).map(move |index| Scheduled {
        at: begin + Duration::from_secs(4) * u32::from(index),
        lasts: Duration::from_millis(500),
        fault: Fault::Blow(Target::Member(Member::Control(index)), Blow::Stop),
    })
}

fn draw(random: &mut StdRng) -> Fault {
    let peer = random.random_range(0..8);
    let target = match random.random_range(0..10) {
        0 | 1 => Target::Owner,
        2 => Target::Leader,
        3 | 4 => Target::Member(Member::Etcd(random.random_range(0..OF_A_KIND))),
        5 | 6 => Target::Member(Member::Control(random.random_range(0..OF_A_KIND))),
        _ => Target::Member(Member::Node(random.random_range(0..OF_A_KIND))),
    };
    let blows = [
        Blow::Kill,
        Blow::Kill,
        Blow::Freeze,
        Blow::Freeze,
        Blow::Cut { peer },
        Blow::Mute { peer },
        Blow::Isolate,
        Blow::Lose,
        Blow::Narrow,
    ];
    match random.random_range(0..20) {
        0 => Fault::Halve,
        // Replicas and nodes are replaced by a deployment, one after the other.
        1 => Fault::Blow(Target::Member(Member::Control(0)), Blow::Stop),
        2 => Fault::Blow(
            Target::Member(Member::Node(random.random_range(0..OF_A_KIND))),
            Blow::Stop,
        ),
        _ => match (target, *blows.choose(random).unwrap_or(&Blow::Kill)) {
            // The narrow place would lie between the node and the provider too, and make requests late.
            (Target::Member(Member::Node(_)), Blow::Narrow) => Fault::Blow(target, Blow::Lose),
            (_, blow) => Fault::Blow(target, blow),
        },
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => member.fmt(f),
            Self::Leader => f.write_str("etcd's leader"),
            Self::Owner => f.write_str("the owner"),
        }
    }
}

impl Blow {
    /// The fault's name in the report's counts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "restart",
            Self::Freeze => "freeze",
            Self::Cut { .. } => "cut, both ways",
            Self::Mute { .. } => "cut, one way",
            Self::Isolate => "isolate",
            Self::Lose => "lose a fifth",
            Self::Narrow => "narrow",
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_always_draws_the_same_storm() {
        let draw = |seed| storm(&mut StdRng::seed_from_u64(seed), LENGTH);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_storm_is_over_in_time_and_delays_no_node_by_more_than_is_assumed() {
        for seed in 0..200 {
            let storm = storm(&mut StdRng::seed_from_u64(seed), LENGTH);
            assert!(storm.len() > 60, "{}", storm.len());
            assert!(storm.is_sorted_by_key(|fault| fault.at));
            for fault in storm {
                assert!(fault.at + fault.lasts <= LENGTH, "{fault:?}");
                if let Fault::Blow(Target::Member(Member::Node(_)), blow) = fault.fault {
                    let short = fault.lasts <= LONGEST_FREEZE_OF_A_NODE;
                    assert!(blow != Blow::Freeze || short, "{fault:?}");
                    assert!(blow != Blow::Narrow, "{fault:?}");
                }
            }
        }
    }

    #[test]
    fn every_kind_of_fault_comes_up() {
        let storm = storm(&mut StdRng::seed_from_u64(1), 10 * LENGTH);
        let blows = storm.iter().filter_map(|scheduled| match scheduled.fault {
            Fault::Blow(_, blow) => Some(blow.name()),
            Fault::Halve => None,
        });
        let names: std::collections::BTreeSet<_> = blows.collect();
        assert_eq!(names.len(), 8, "{names:?}");
        let halved = storm.iter().filter(|s| s.fault == Fault::Halve).count();
        assert!(halved > 0);
    }
}
