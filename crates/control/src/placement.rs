//! Which replica is to own which shard, as each replica works it out for itself.
//!
//! A shard belongs at the replica that a hash of both names ranks highest among those that live: replicas that agree
//! on who lives agree on everything, and one that comes or goes moves its own share only. Where they do not agree
//! for a moment, the guarded claim decides. Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for
//! Rendezvous" (1996).

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_quota::Shard;

use crate::ownership::{Process, Sighting};

/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// A replica gives a sign of life when its last one is so many milliseconds ago.
const DUE_MS: u64 = 900;
/// It is taken for dead when others have looked so many milliseconds long and found none.
const SILENT_MS: u64 = 3_000;
/// It is handed shards while its last sign of life is no longer ago than this,
const FRESH_MS: u64 = 1_500;
/// and once it has been there for so long: one that crashes over and over takes nothing along.
const SETTLED_MS: u64 = 2_000;
/// Shards that are handed over between two looks.
const MOVES: usize = 16;

/// What a replica has seen of the others, look by look.
#[derive(Debug, Default)]
pub(crate) struct Census {
    replicas: BTreeMap<String, Seen>,
    /// This process has given a sign of life.
    registered: bool,
}

#[derive(Debug)]
struct Seen {
    process: Process,
    sign: u64,
    /// Since that sign of life, of the time that was looked.
    silent_ms: u64,
    /// Since the process was first seen, likewise.
    known_ms: u64,
}

/// A shard that this process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) epoch: u64,
    /// It is being handed over already.
    pub(crate) is_leaving: bool,
}

/// What this process is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The revision in place of which it registers.
    pub(crate) register: Option<u64>,
    /// Shards to claim, each in place of that revision.
    pub(crate) claims: Vec<(Shard, u64)>,
    /// Shards to hand over to others.
    pub(crate) leaves: Vec<Shard>,
    /// Shards that it holds and another one owns by now.
    pub(crate) lost: Vec<Shard>,
}

impl Census {
    /// Takes in a look and says what follows from it. `passed_ms` is how long the last one is ago, where that was looked:
    /// while the store is away nobody can give a sign of life, and nothing is held against anybody. `held` is how this process holds a shard; `alone`
    /// that no other one can use the store.
    pub(crate) fn plan(
        &mut self,
        me: &Process,
        (sighting, passed_ms): (&Sighting, u64),
        alone: bool,
        held: impl Fn(Shard) -> Option<Held>,
    ) -> Plan {
        self.note(&sighting.replicas, passed_ms);
        let mut plan = Plan::default();
        let mine = self.replicas.get(&me.replica.name);
        let takes_part = alone || mine.is_some_and(|seen| seen.process == *me);
        if !alone {
            plan.register = match mine {
                Some(seen) if takes_part => Some(seen.sign).filter(|_| seen.silent_ms >= DUE_MS),
                // A former process of this name is gone when this one starts; afterwards it may be this one that is.
                Some(seen) if !self.registered || seen.silent_ms >= SILENT_MS => Some(seen.sign),
                Some(_) => None,
                None => Some(0),
            };
        }
        self.registered |= takes_part;
        for shard in Shard::all() {
            let owner = sighting.owners.get(&shard);
            let (epoch, owned) = owner.map_or((0, false), |(by, epoch)| (*epoch, by == me));
            let holds = held(shard);
            match holds {
                Some(held) if owned && held.epoch == epoch => {
                    let moves = !held.is_leaving && plan.leaves.len() < MOVES;
                    if moves && self.belongs_elsewhere(me, shard) {
                        plan.leaves.push(shard);
                    }
                    continue;
                }
                Some(_) => plan.lost.push(shard),
                None => {}
            }
            let free = owner.is_none_or(|(by, _)| owned || !self.is_alive(by));
            if takes_part && free && (owned || self.is_first(me, shard)) {
                plan.claims.push((shard, epoch));
            }
        }
        plan
    }

    fn note(&mut self, replicas: &[(Process, u64)], passed_ms: u64) {
        let mut before = std::mem::take(&mut self.replicas);
        for (process, sign) in replicas {
            let seen = before.remove(&process.replica.name);
            let seen = seen.filter(|seen| seen.process == *process);
            let seen = match seen {
                Some(seen) => Seen {
                    silent_ms: match seen.sign == *sign {
                        true => seen.silent_ms.saturating_add(passed_ms),
                        false => 0,
                    },
                    sign: *sign,
                    known_ms: seen.known_ms.saturating_add(passed_ms),
                    ..seen
                },
                None => Seen {
                    process: process.clone(),
                    sign: *sign,
                    silent_ms: 0,
                    known_ms: 0,
                },
            };
            self.replicas.insert(process.replica.name.clone(), seen);
        }
    }

    /// Whether another process of this one's name is registered since: its successor, or one that is misnamed.
    pub(crate) fn is_superseded(&self, me: &Process) -> bool {
        let mine = self.replicas.get(&me.replica.name);
        self.registered && mine.is_some_and(|seen| seen.process != *me)
    }

    /// Whether this very process gives signs of life.
    pub(crate) fn is_alive(&self, process: &Process) -> bool {
        let seen = self.replicas.get(&process.replica.name);
        seen.is_some_and(|seen| seen.process == *process && seen.silent_ms < SILENT_MS)
    }

    /// Whether the shard belongs at this process, of all that live.
    fn is_first(&self, me: &Process, shard: Shard) -> bool {
        let living = self
            .replicas
            .values()
            .filter(|seen| seen.silent_ms < SILENT_MS);
        let mine = rank(me, shard);
        living
            .filter(|seen| seen.process != *me)
            .all(|seen| rank(&seen.process, shard) < mine)
    }

    /// Whether the shard belongs at another process, which has been there for a while and can take it now.
    fn belongs_elsewhere(&self, me: &Process, shard: Shard) -> bool {
        let settled = self
            .replicas
            .values()
            .filter(|seen| seen.silent_ms < SILENT_MS && seen.known_ms >= SETTLED_MS);
        let others = settled.filter(|seen| seen.process != *me);
        let best = others.max_by_key(|seen| rank(&seen.process, shard));
        best.is_some_and(|seen| {
            seen.silent_ms <= FRESH_MS && rank(&seen.process, shard) > rank(me, shard)
        })
    }
}

/// How high a process ranks for a shard. The name tells two of the same hash apart.
fn rank(process: &Process, shard: Shard) -> (u64, &str) {
    let name = &process.replica.name;
    let hash = name
        .bytes()
        .chain([shard.0])
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    (mixed(hash), name)
}

/// Spreads every bit over all others. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators"
/// (2014), the finaliser of SplitMix64.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
