//! Strategies over targets that are fast, slow, failing and full, event by event in virtual time, beside plain turns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Facts, fleet};
use crate::fleet::{Attempt, Fleet, Outcome, Wish};
use crate::{
    Load, Pool, RetryBudget, RetryBudgetConfig, Route, Sight, Standing, Step, Strategy, Target,
};

mod scenarios;

/// How a target behaves.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Until the first token, in milliseconds, where nobody waits before.
    first_ms: f64,
    /// For each token.
    token_ms: f64,
    /// Answers at once; others wait.
    slots: usize,
    /// Failed requests of a hundred.
    failing: u64,
    /// In milliseconds: it behaves so for one such time, and well for the next. 0: always.
    period_ms: u64,
}

const WELL: Behaviour = Behaviour {
    first_ms: 100.0,
    token_ms: 1.0,
    slots: usize::MAX,
    failing: 0,
    period_ms: 0,
};

/// Plain turns without any memory, or the fleet with a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Turns,
    Fleet(Strategy),
}

/// How the requests fared that came within the time looked at.
#[derive(Debug, Default)]
struct Figures {
    asked: usize,
    attempts: usize,
    /// Latencies of answers in milliseconds, ascending.
    latencies: Vec<f64>,
    /// Answers by target.
    by_target: Vec<usize>,
}

impl Figures {
    fn percentile(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }

    fn success(&self) -> f64 {
        self.latencies.len() as f64 / self.asked as f64
    }

    fn attempts_per_request(&self) -> f64 {
        self.attempts as f64 / self.asked as f64
    }
}

/// A request under way.
struct Request {
    came: f64,
    tokens: u64,
    tried: Vec<usize>,
}

/// An attempt under way.
struct Sent {
    request: Request,
    attempt: Attempt,
    fails: bool,
}

struct World<'a> {
    way: Way,
    targets: &'a [Behaviour],
    route: Route,
    fleet: Fleet,
    retries: RetryBudget,
    random: u64,
    turn: usize,
    /// When each busy slot is free, by target; microseconds.
    busy: Vec<BinaryHeap<Reverse<u64>>>,
    /// When attempts end, in microseconds, and their numbers.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    sent: Vec<Option<Sent>>,
    /// From when to when requests are looked at, in milliseconds.
    watched: (f64, f64),
    figures: Figures,
}

fn at(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1000.0)
}

impl<'a> World<'a> {
    fn new(way: Way, targets: &'a [Behaviour], watched: (f64, f64)) -> Self {
        let strategy = match way {
            Way::Turns => Strategy::Weighted,
            Way::Fleet(strategy) => strategy,
        };
        let target = |id: usize| Target {
            id,
            weight: 1,
            hash: id as u64,
        };
        let pool = Pool::new(strategy, (0..targets.len()).map(target).collect()).unwrap();
        let providers: Vec<_> = (0..targets.len()).collect();
        Self {
            way,
            targets,
            route: Route::new(vec![Step { pool, after: None }]).unwrap(),
            fleet: fleet(&providers),
            retries: RetryBudget::new(RetryBudgetConfig::default()),
            random: 1,
            turn: 0,
            busy: vec![BinaryHeap::new(); targets.len()],
            ends: BinaryHeap::new(),
            sent: Vec::new(),
            watched,
            figures: Figures {
                by_target: vec![0; targets.len()],
                ..Figures::default()
            },
        }
    }

    /// SplitMix64.
    fn number(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    /// Exponential, of mean 1.
    fn spread(&mut self) -> f64 {
        let fraction = (self.number() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - fraction).ln()
    }

    fn is_watched(&self, request: &Request) -> bool {
        (self.watched.0..self.watched.1).contains(&request.came)
    }

    fn choose(&mut self, request: &Request, now: f64) -> Option<usize> {
        let random = self.number();
        if self.way == Way::Turns {
            self.turn += 1;
            let all = self.targets.len();
            let mut turns = (0..all).map(|step| (self.turn + step) % all);
            return turns.find(|id| !request.tried.contains(id));
        }
        let mut attempts = self.route.attempts(3);
        let wish = Wish {
            output: 100,
            ..Wish::default()
        };
        let known = Facts(vec![(None, 1.0); self.targets.len()]);
        let see = |id: usize, strategy| {
            let sight = self.fleet.sight(id, strategy, (&wish, &known), at(now));
            Sight {
                standing: if request.tried.contains(&id) {
                    Standing::Cooling
                } else {
                    sight.standing
                },
                ..sight
            }
        };
        attempts.next(random, |_| None, see)
    }

    fn send(&mut self, mut request: Request, now: f64) {
        let Some(target) = self.choose(&request, now) else {
            return;
        };
        request.tried.push(target);
        self.figures.attempts += usize::from(self.is_watched(&request));
        let mut it = self.targets[target];
        if it.period_ms > 0 && (now as u64 / it.period_ms) % 2 == 1 {
            it = WELL;
        }
        let fails = self.number() % 100 < it.failing;
        let work = if fails {
            5.0
        } else {
            // A tenth of the time varies.
            let time = it.first_ms + it.token_ms * request.tokens as f64;
            time * (0.9 + 0.1 * self.spread())
        };
        let busy = &mut self.busy[target];
        let free = (busy.len() >= it.slots).then(|| busy.pop()).flatten();
        let starts = free.map_or(now, |free| (free.0 as f64 / 1000.0).max(now));
        let ends = ((starts + work) * 1000.0) as u64;
        if it.slots < usize::MAX {
            busy.push(Reverse(ends));
        }
        let attempt = self.fleet.begin(target, Load::default(), at(now)).unwrap();
        self.ends.push(Reverse((ends, self.sent.len())));
        self.sent.push(Some(Sent {
            request,
            attempt,
            fails,
        }));
    }

    fn end(&mut self, number: usize, now: f64) {
        let Some(mut sent) = self.sent[number].take() else {
            return;
        };
        if sent.fails {
            self.fleet.went(&mut sent.attempt, Outcome::Failed, at(now));
            self.fleet.end(sent.attempt, at(now));
            if sent.request.tried.len() < 3 && self.retries.withdraw(at(now)) {
                self.send(sent.request, now);
            }
            return;
        }
        let tokens = sent.request.tokens;
        self.fleet
            .went(&mut sent.attempt, Outcome::Answered, at(now));
        self.fleet.whole(&sent.attempt, tokens, at(now));
        self.fleet.end(sent.attempt, at(now));
        if self.is_watched(&sent.request) {
            self.figures.by_target[sent.attempt.target] += 1;
            self.figures.latencies.push(now - sent.request.came);
        }
    }

    /// Lets requests come until the end of what is watched, and says how they fared.
    fn run(mut self, per_second: f64) -> Figures {
        let mut next = 0.0;
        while next < self.watched.1 || !self.ends.is_empty() {
            let end = self.ends.peek().map(|it| it.0);
            let ended = end.map(|(ends, number)| (ends as f64 / 1000.0, number));
            match ended {
                Some((ends, number)) if ends <= next || next >= self.watched.1 => {
                    self.ends.pop();
                    self.end(number, ends);
                }
                _ => {
                    let request = Request {
                        came: next,
                        tokens: (100.0 * self.spread()) as u64 + 1,
                        tried: Vec::new(),
                    };
                    self.retries.deposit(at(next));
                    self.figures.asked += usize::from(self.is_watched(&request));
                    self.send(request, next);
                    next += self.spread() * 1000.0 / per_second;
                }
            }
        }
        self.figures.latencies.sort_by(f64::total_cmp);
        self.figures
    }
}
