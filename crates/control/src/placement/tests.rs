use super::*;
use crate::ownership::Replica;

fn process(name: &str, number: u64) -> Process {
    let replica = Replica {
        name: name.to_owned(),
        url: String::new(),
    };
    Process { replica, number }
}

/// A store, and the processes that look into it in turn.
#[derive(Default)]
struct World {
    store: Sighting,
    revision: u64,
    members: Vec<Member>,
}

struct Member {
    me: Process,
    census: Census,
    held: BTreeMap<Shard, u64>,
    runs: bool,
    is_leaving: bool,
}

impl World {
    fn add(&mut self, name: &str, number: u64) {
        self.members.push(Member {
            me: process(name, number),
            census: Census::default(),
            held: BTreeMap::new(),
            runs: true,
            is_leaving: false,
        });
    }

    /// Every process that runs looks once, and does at once what follows.
    fn round(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.runs) {
            let (held, is_leaving) = (&member.held, member.is_leaving);
            let plan = member
                .census
                .plan(&member.me, (&self.store, 250), false, |shard| {
                    let epoch = *held.get(&shard)?;
                    Some(Held { epoch, is_leaving })
                });
            self.revision += 1;
            if plan.register.is_some() {
                let name = &member.me.replica.name;
                let replicas = &mut self.store.replicas;
                replicas.retain(|(process, _)| process.replica.name != *name);
                replicas.push((member.me.clone(), self.revision));
            }
            for (shard, over) in plan.claims {
                let at = self.store.owners.get(&shard).map_or(0, |(_, epoch)| *epoch);
                assert_eq!(at, over);
                let owner = (member.me.clone(), self.revision);
                self.store.owners.insert(shard, owner);
                member.held.insert(shard, self.revision);
            }
            for shard in plan.leaves {
                self.store.owners.remove(&shard);
                member.held.remove(&shard);
            }
            for shard in plan.lost {
                let epoch = self.store.owners.get(&shard).map(|(_, epoch)| *epoch);
                if member.held.get(&shard).copied() != epoch {
                    member.held.remove(&shard);
                }
            }
        }
    }

    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.round();
        }
    }

    /// How many shards each process owns, by the store.
    fn shares(&self) -> BTreeMap<(String, u64), usize> {
        let mut shares = BTreeMap::new();
        for (owner, _) in self.store.owners.values() {
            let of = (owner.replica.name.clone(), owner.number);
            *shares.entry(of).or_default() += 1;
        }
        shares
    }

    fn share(&self, name: &str, number: u64) -> usize {
        let shares = self.shares();
        shares.get(&(name.to_owned(), number)).copied().unwrap_or(0)
    }
}

#[test]
fn a_lone_replica_takes_all_and_hands_over_to_those_that_come() {
    let mut world = World::default();
    world.add("a", 1);
    world.rounds(2);
    assert_eq!(world.share("a", 1), Shard::COUNT);
    world.add("b", 2);
    world.add("c", 3);
    world.rounds(8);
    assert_eq!(world.share("a", 1), Shard::COUNT, "too young");
    world.rounds(20);
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        let share = world.share(name, number);
        assert!((60..=115).contains(&share), "{:?}", world.shares());
    }
    let before = world.store.owners.clone();
    world.rounds(50);
    assert_eq!(world.store.owners, before, "all is where it belongs");
}

#[test]
fn what_a_dead_one_had_goes_to_the_others_after_three_seconds() {
    let mut world = World::default();
    for (number, name) in (1..).zip(["a", "b", "c"]) {
        world.add(name, number);
    }
    world.rounds(60);
    let had = world.share("b", 2);
    let kept = world.share("a", 1);
    world.members[1].runs = false;
    world.rounds(7);
    assert_eq!(world.share("b", 2), had);
    world.rounds(8);
    assert_eq!(world.share("b", 2), 0, "{:?}", world.shares());
    let (a, c) = (world.share("a", 1), world.share("c", 3));
    assert_eq!(a + c, Shard::COUNT);
    assert!(a > kept, "both take a part of it");

    // It only stood still: it learns what it lost, and is handed its share again.
    world.members[1].runs = true;
    world.rounds(60);
    assert_eq!(world.share("b", 2), had, "{:?}", world.shares());
    assert_eq!(world.members[1].held.len(), had);
}

#[test]
fn a_restarted_replica_has_its_shards_back_at_once() {
    let mut world = World::default();
    world.add("a", 1);
    world.add("b", 2);
    world.rounds(60);
    let had = world.share("b", 2);
    world.members[1].runs = false;
    world.add("b", 3);
    world.rounds(2);
    assert_eq!(world.share("b", 3), had, "{:?}", world.shares());

    // Should the first one be alive after all, it stands back, until the second is gone.
    world.members[1].runs = true;
    world.rounds(40);
    assert_eq!(world.share("b", 3), had, "{:?}", world.shares());
    let superseded = world.members.iter();
    let superseded = superseded.map(|member| member.census.is_superseded(&member.me));
    assert_eq!(superseded.collect::<Vec<_>>(), [false, true, false]);
    world.members[2].runs = false;
    world.rounds(60);
    assert_eq!(world.share("b", 2), had, "{:?}", world.shares());
}

#[test]
fn what_is_being_handed_over_is_not_handed_over_again() {
    let mut world = World::default();
    world.add("a", 1);
    world.rounds(2);
    world.add("b", 2);
    world.members[0].is_leaving = true;
    world.rounds(60);
    assert_eq!(world.share("a", 1), Shard::COUNT);
    world.members[0].is_leaving = false;
    world.rounds(60);
    assert!(world.share("b", 2) > 80, "{:?}", world.shares());
}

#[test]
fn whoever_is_alone_with_its_store_takes_all_at_the_first_look() {
    let mut census = Census::default();
    let mut sighting = Sighting::default();
    sighting.owners.insert(Shard(7), (process("other", 9), 5));
    let plan = census.plan(&process("a", 1), (&sighting, 0), true, |_| None);
    assert_eq!((plan.claims.len(), plan.register), (Shard::COUNT, None));
    assert!(plan.claims.contains(&(Shard(7), 5)));
}

#[test]
fn a_shard_that_is_owned_and_not_held_is_claimed_anew() {
    let mut census = Census::default();
    let me = process("a", 1);
    let mut sighting = Sighting::default();
    sighting.replicas.push((me.clone(), 3));
    for shard in Shard::all() {
        sighting.owners.insert(shard, (me.clone(), 4));
    }
    let held = |shard| {
        let epoch = match shard {
            Shard(0) => return None,
            // As before a claim whose outcome is not known.
            Shard(1) => 2,
            _ => 4,
        };
        let is_leaving = false;
        Some(Held { epoch, is_leaving })
    };
    let plan = census.plan(&me, (&sighting, 0), false, held);
    assert_eq!(plan.claims, [(Shard(0), 4), (Shard(1), 4)]);
    assert_eq!(plan.lost, [Shard(1)]);
}
