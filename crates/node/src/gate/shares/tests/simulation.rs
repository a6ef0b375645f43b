//! Tenants that ask at their own rates, in virtual time: who is answered, and after how long a wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// How long a request takes, at the mean.
const TAKES: Duration = Duration::from_millis(200);
const LASTS: Duration = Duration::from_secs(8);
/// Those who come before are not counted.
const BEGINS: Duration = Duration::from_secs(2);
/// How often it is noted what tenants use.
const BEAT: Duration = Duration::from_millis(100);

/// How a tenant asks.
#[derive(Debug, Clone, Copy)]
struct Demand {
    weight: u32,
    /// Requests per second.
    rate: f64,
    rank: Rank,
    /// Whether they come at random (a Poisson process) and take their time at random, or all alike, which makes waves.
    is_random: bool,
}

/// How a tenant fared.
#[derive(Debug, Default, Clone, Copy)]
struct Fared {
    asked: u32,
    answered: u32,
    longest_wait: Duration,
    /// The longest until it was refused.
    latest_refusal: Duration,
}

impl Fared {
    fn part(&self) -> f64 {
        f64::from(self.answered) / f64::from(self.asked.max(1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asks(usize),
    Ends(usize, Duration),
    GivesUp(u64),
    Passes,
}

struct World {
    shares: Shares,
    demands: Vec<Demand>,
    fared: Vec<Fared>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    waiting: BTreeMap<u64, (usize, Duration)>,
    random: SmallRng,
    now: Duration,
}

impl World {
    fn run(places: usize, demands: &[Demand]) -> Vec<Fared> {
        let mut world = Self {
            shares: Shares::new(places),
            demands: demands.to_vec(),
            fared: vec![Fared::default(); demands.len()],
            events: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            random: SmallRng::seed_from_u64(7),
            now: Duration::ZERO,
        };
        for tenant in 0..demands.len() {
            world.ask_later(tenant);
        }
        world.events.push(Reverse((BEAT, Event::Passes)));
        while let Some(Reverse((now, event))) = world.events.pop() {
            if now > LASTS {
                break;
            }
            world.now = now;
            match event {
                Event::Asks(tenant) => world.ask(tenant),
                Event::Ends(tenant, began) => {
                    world.shares.leave(now, TenantId(tenant as u64), began);
                    world.let_in();
                }
                Event::GivesUp(ticket) => world.give_up(ticket),
                Event::Passes => {
                    world.shares.pass(BEAT);
                    world.let_in();
                    world.events.push(Reverse((now + BEAT, Event::Passes)));
                }
            }
            if event == Event::Passes {
                world.shares.check();
            }
        }
        world.fared
    }

    fn duration(&mut self, tenant: usize, mean: Duration) -> Duration {
        if !self.demands[tenant].is_random {
            return mean;
        }
        mean.mul_f64(-self.random.random_range(f64::EPSILON..1.0).ln())
    }

    fn ask_later(&mut self, tenant: usize) {
        let mean = Duration::from_secs_f64(1.0 / self.demands[tenant].rate);
        let at = self.now + self.duration(tenant, mean);
        self.events.push(Reverse((at, Event::Asks(tenant))));
    }

    fn ask(&mut self, tenant: usize) {
        self.ask_later(tenant);
        if self.now >= BEGINS {
            self.fared[tenant].asked += 1;
        }
        let Demand { weight, rank, .. } = self.demands[tenant];
        let visitor = Visitor {
            tenant: TenantId(tenant as u64),
            weight,
        };
        match self.shares.enter(self.now, visitor, || rank) {
            Verdict::Admitted => self.begin(tenant, self.now),
            Verdict::Waits {
                ticket,
                patience,
                instead_of,
                ..
            } => {
                if let Some(other) = instead_of {
                    self.refused(other.0);
                }
                self.waiting.insert(ticket.0, (tenant, self.now));
                let by = self.now + patience;
                self.events.push(Reverse((by, Event::GivesUp(ticket.0))));
            }
            Verdict::Refused(_) => {}
        }
    }

    fn begin(&mut self, tenant: usize, asked: Duration) {
        let fared = &mut self.fared[tenant];
        fared.answered += u32::from(asked >= BEGINS);
        fared.longest_wait = fared.longest_wait.max(self.now - asked);
        let ends = self.now + self.duration(tenant, TAKES);
        self.events
            .push(Reverse((ends, Event::Ends(tenant, self.now))));
    }

    fn let_in(&mut self) {
        while let Some(ticket) = self.shares.next() {
            let (tenant, asked) = self.waiting.remove(&ticket.0).expect("it waits");
            self.begin(tenant, asked);
        }
    }

    fn give_up(&mut self, ticket: u64) {
        if self.waiting.contains_key(&ticket) {
            assert!(self.shares.cancel(Ticket(ticket)));
            self.refused(ticket);
            self.let_in();
        }
    }

    fn refused(&mut self, ticket: u64) {
        let (tenant, asked) = self.waiting.remove(&ticket).expect("it waited");
        let fared = &mut self.fared[tenant];
        fared.latest_refusal = fared.latest_refusal.max(self.now - asked);
    }
}

fn demand(rate: f64) -> Demand {
    Demand {
        weight: 1,
        rate,
        rank: Rank::Interactive,
        is_random: true,
    }
}

/// What twenty tenants can be answered on so many places, each.
fn share(places: usize) -> f64 {
    places as f64 / TAKES.as_secs_f64() / 20.0
}

#[test]
fn a_flood_of_one_tenant_costs_the_others_nothing() {
    for (places, is_random) in [(200, true), (1000, true), (200, false), (1000, false)] {
        let share = share(places);
        let mut demands = [demand(0.7 * share); 20].map(|it| Demand { is_random, ..it });
        demands[0].rate = 20.0 * share;
        let fared = World::run(places, &demands);
        let (answered, asked) = fared[1..]
            .iter()
            .fold((0, 0), |(a, b), it| (a + it.answered, b + it.asked));
        let lost = 1.0 - f64::from(answered) / f64::from(asked);
        assert!(lost <= 0.01, "{places} places: the others lose {lost}");
        let longest = fared[1..].iter().map(|it| it.longest_wait).max();
        assert!(longest <= Some(OWED_WAIT), "{longest:?}");
        // What the others leave is lent to it.
        let used = f64::from(fared.iter().map(|it| it.answered).sum::<u32>());
        let most = share * 20.0 * (LASTS - BEGINS).as_secs_f64();
        assert!(used >= 0.9 * most, "{places} places: used {}", used / most);
    }
}

#[test]
fn whatever_is_asked_for_nearly_all_places_are_used() {
    let most = share(200) * 20.0;
    for times in [1.0, 2.0, 5.0, 10.0] {
        let fared = World::run(200, &[demand(times * most)]);
        let used = f64::from(fared[0].answered) / (most * (LASTS - BEGINS).as_secs_f64());
        assert!(used >= 0.9, "{times}x: {used}");
        assert!(
            fared[0].latest_refusal <= BORROWER_WAIT,
            "{times}x: {fared:?}"
        );
    }
}

#[test]
fn floods_share_by_weight() {
    let most = share(400) * 20.0;
    let flood = |weight| Demand {
        weight,
        ..demand(5.0 * most)
    };
    let fared = World::run(400, &[flood(1), flood(3)]);
    let times = f64::from(fared[1].answered) / f64::from(fared[0].answered);
    assert!((2.7..3.3).contains(&times), "{times}");
}

#[test]
fn batches_yield_to_those_who_wait_for_answers() {
    let most = share(400) * 20.0;
    let batch = Demand {
        rank: Rank::Batch,
        ..demand(3.0 * most)
    };
    // Within its share: it loses nothing to another tenant's batches.
    let fared = World::run(400, &[batch, demand(0.4 * most)]);
    assert!(fared[1].part() >= 0.99, "{fared:?}");
    assert!(f64::from(fared[0].answered) >= 0.4 * most * (LASTS - BEGINS).as_secs_f64());
}
