//! All targets together: what traffic has told of each, and what is under way.

mod provider;

use std::time::Duration;

use crate::allowance::{self, Allowance, Load, Words};
use crate::health::{Condition, Health, HealthConfig, Return, Standing, Try};
use crate::pace::Pace;
use crate::saving::Saving;
use crate::strategy::{Sight, Strategy};
use provider::Provider;

/// What is fixed about a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Number of the provider that it is at: targets of one provider are out of reach together.
    pub provider: usize,
    /// When it is ejected.
    pub health: HealthConfig,
    /// The targets that its answers are compared with, where slow ones count.
    pub peers: Vec<usize>,
}

/// What traffic has told of all targets. They are numbered from 0, and so are their providers.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    targets: Vec<State>,
    providers: Vec<Provider>,
}

#[derive(Debug, Clone)]
struct State {
    member: Member,
    health: Health,
    allowance: Allowance,
    pace: Pace,
    saving: Saving,
    in_flight: u32,
}

/// Who can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whom {
    /// A target, by its number.
    Target(usize),
    /// A provider with all its targets, by its number: it cannot be reached.
    Provider(usize),
    /// The same, by its number: it does not take the key.
    Key(usize),
}

/// An attempt under way. Each has to be handed back by `Fleet::end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The target.
    pub target: usize,
    began: Duration,
    /// Attempts under way at the target when it began, itself included.
    load: u32,
    allowance: allowance::Mark,
    health: Try,
    provider: provider::Tries,
    /// Whether it was told how it went.
    is_told: bool,
}

/// How an attempt went, as far as it speaks of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It brought an answer, or the first of it.
    Answered,
    /// The target failed.
    Failed,
    /// It has too much to do, and says for how long to leave it alone, if it does.
    Overloaded(Option<Duration>),
    /// Its provider could not even be reached.
    Unreachable,
    /// The target is over a limit and wants to be left alone for a while, if it says how long.
    Limited(Option<Duration>, Return),
    /// The provider does not take the key, and will not for a while: none of its targets can be asked.
    KeyRefused(Duration),
    /// Nothing: the request was at fault, or nobody waits for the answer any more.
    Nothing,
}

/// What a request is to the strategies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// What an attempt takes of what providers count, at most.
    pub load: Load,
    /// Output tokens that are expected.
    pub output: u64,
}

/// What is known of a target, for people who wonder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// How it stands by itself.
    pub own: Condition,
    /// How its provider stands.
    pub provider: Condition,
    /// The time to the first token, and for each after it, by experience. None: there is none.
    pub pace: Option<(Duration, Duration)>,
    /// What share of the price of its input its prompt cache has saved of late. None: that is not known.
    pub saving: Option<f64>,
}

/// What strategies want to know of a target that traffic does not tell.
pub trait Known {
    /// The price of the request there, in any unit; none where it is not known, which is the worst.
    fn price(&self, target: usize) -> Option<u64>;
    /// What is left under the target's ceilings: 1 is all, 0 nothing.
    fn room(&self, target: usize) -> f64;
}

impl Fleet {
    /// Targets of which nothing is known.
    #[must_use]
    pub fn new(members: Vec<Member>) -> Self {
        let providers = members.iter().map(|member| member.provider + 1).max();
        let state = |member| State {
            member,
            health: Health::default(),
            allowance: Allowance::default(),
            pace: Pace::default(),
            saving: Saving::default(),
            in_flight: 0,
        };
        Self {
            targets: members.into_iter().map(state).collect(),
            providers: vec![Provider::default(); providers.unwrap_or_default()],
        }
    }

    /// Takes over what another fleet knows of a target that is the same. Its attempts under way stay the other's.
    pub fn inherit(&mut self, target: usize, before: &Self, old: usize) {
        let (Some(state), Some(known)) = (self.targets.get_mut(target), before.targets.get(old))
        else {
            return;
        };
        state.health = known.health.without_tries();
        state.allowance = known.allowance;
        state.pace = known.pace;
        state.saving = known.saving;
        let provider = self.providers.get_mut(state.member.provider);
        if let (Some(new), Some(old)) = (provider, before.providers.get(known.member.provider)) {
            *new = old.without_tries();
        }
    }

    /// What is seen of a target by a strategy.
    pub fn sight(
        &self,
        target: usize,
        strategy: Strategy,
        (wish, known): (&Wish, &impl Known),
        now: Duration,
    ) -> Sight {
        let Some(state) = self.targets.get(target) else {
            return Sight::of(Standing::Cooling);
        };
        let [own, provider] = self.conditions(state, wish.load, now);
        let rank = match strategy {
            Strategy::Weighted | Strategy::LeastBusy | Strategy::Sticky => 0.0,
            Strategy::LeastLatency => state.pace.rank(wish.output, state.in_flight, now),
            Strategy::Cheapest => known.price(target).map_or(f64::MAX, to_f64),
            Strategy::MostRoom => {
                let left = known.room(target).min(state.allowance.left(now));
                1.0 / left.clamp(1e-9, 1.0)
            }
        };
        Sight {
            standing: own.standing().max(provider.standing()),
            share: own.share().min(provider.share()),
            rank,
            in_flight: state.in_flight,
            saving: state.saving.share(),
        }
    }

    /// How a target stands by itself, and with its provider.
    fn conditions(&self, state: &State, load: Load, now: Duration) -> [Condition; 2] {
        let config = &state.member.health;
        let own = match state.allowance.wait(load, now) {
            Some(wait) => Condition::Full(wait),
            None => state.health.condition(config, now),
        };
        let provider = self.providers.get(state.member.provider);
        let provider = provider.map(|provider| provider.condition(config, now));
        [own, provider.unwrap_or(Condition::Well)]
    }

    /// What is known of a target, for people who wonder.
    #[must_use]
    pub fn report(&self, target: usize, load: Load, now: Duration) -> Option<Report> {
        let state = self.targets.get(target)?;
        let [own, provider] = self.conditions(state, load, now);
        Some(Report {
            own,
            provider,
            pace: state.pace.known(),
            saving: state.saving.share(),
        })
    }

    /// How long a target is not to be asked, if so: it wants to be left alone, or has no room for so much.
    #[must_use]
    pub fn cooling(&self, target: usize, load: Load, now: Duration) -> Option<Duration> {
        let state = self.targets.get(target)?;
        let provider = self.providers.get(state.member.provider);
        state
            .allowance
            .wait(load, now)
            .max(state.health.cooling_for(now))
            .max(provider.and_then(|provider| provider.cooling_for(now)))
    }

    /// Attempts under way at a target.
    #[must_use]
    pub fn in_flight(&self, target: usize) -> u32 {
        self.targets.get(target).map_or(0, |state| state.in_flight)
    }

    /// An attempt at a target begins. None where there is no such target.
    pub fn begin(&mut self, target: usize, load: Load, now: Duration) -> Option<Attempt> {
        let state = self.targets.get_mut(target)?;
        let provider = self.providers.get_mut(state.member.provider)?;
        state.in_flight += 1;
        Some(Attempt {
            target,
            began: now,
            load: state.in_flight,
            allowance: state.allowance.begin(load, now),
            health: state.health.begin(now),
            provider: provider.begin(now),
            is_told: false,
        })
    }

    /// The answer to an attempt says how the provider's limits stand.
    pub fn told(&mut self, attempt: &Attempt, words: &Words, now: Duration) {
        if let Some(state) = self.targets.get_mut(attempt.target) {
            state.allowance.told(&attempt.allowance, words, now);
        }
    }

    /// Whether a target is left out, itself or with its provider, but for attempts that find out whether it is back.
    #[must_use]
    pub fn is_left_out(&self, target: usize) -> bool {
        let state = self.targets.get(target);
        let provider = state.and_then(|state| self.providers.get(state.member.provider));
        let healths = [
            state.map(|state| &state.health),
            provider.map(|provider| &provider.reach),
            provider.map(|provider| &provider.key),
        ];
        let mut healths = healths.into_iter().flatten();
        healths.any(|health| health.away_since().is_some())
    }

    /// Who is left out by what was seen here, and since when.
    pub fn left_out(&self) -> impl Iterator<Item = (Whom, Duration)> {
        let targets = self.targets.iter().map(|state| &state.health).enumerate();
        let targets = targets.map(|(target, health)| (Whom::Target(target), health));
        let providers = self.providers.iter().enumerate();
        let providers = providers.flat_map(|(number, provider)| {
            [
                (Whom::Provider(number), &provider.reach),
                (Whom::Key(number), &provider.key),
            ]
        });
        let all = targets.chain(providers);
        all.filter_map(|(whom, health)| Some((whom, health.away_since()?)))
    }

    /// Another fleet leaves somebody out, which is believed for so long; then the next attempt finds out whether that is
    /// right. False where more is known here already.
    pub fn suspect(&mut self, whom: Whom, believed: Duration, now: Duration) -> bool {
        let health = match whom {
            Whom::Target(target) => self.targets.get_mut(target).map(|it| &mut it.health),
            Whom::Provider(provider) => self.providers.get_mut(provider).map(|it| &mut it.reach),
            Whom::Key(provider) => self.providers.get_mut(provider).map(|it| &mut it.key),
        };
        health.is_some_and(|health| health.suspect(believed, now))
    }

    /// A provider has another key: of that one nothing is known.
    pub fn renew_key(&mut self, provider: usize) {
        if let Some(provider) = self.providers.get_mut(provider) {
            provider.key = Health::default();
        }
    }

    /// How an attempt went. A stream may bring its first content and fail after it: then both are told.
    pub fn went(&mut self, attempt: &mut Attempt, outcome: Outcome, now: Duration) {
        let again = std::mem::replace(&mut attempt.is_told, true);
        let Some(state) = self.targets.get_mut(attempt.target) else {
            return;
        };
        let Some(provider) = self.providers.get_mut(state.member.provider) else {
            return;
        };
        if again {
            // The probe was handed back with the first word.
            attempt.health = attempt.health.no_probe();
            attempt.provider = attempt.provider.no_probe();
        }
        let config = &state.member.health;
        provider.went(config, attempt.provider, outcome, now);
        match outcome {
            Outcome::Answered => state.health.success(config, attempt.health, now),
            Outcome::Failed => {
                state.health.failure(config, attempt.health, now);
                state.pace.silent(now.saturating_sub(attempt.began), now);
            }
            Outcome::Overloaded(wait) => {
                state.health.failure(config, attempt.health, now);
                if let Some(wait) = wait {
                    state.health.stay_away(config, wait, now);
                }
            }
            Outcome::Unreachable => state.health.failure(config, attempt.health, now),
            Outcome::Limited(wait, how) => state.health.cool_down(config, (wait, how), now),
            Outcome::KeyRefused(_) | Outcome::Nothing => state.health.release(attempt.health),
        }
    }

    /// The first content of an answer came.
    pub fn first_content(&mut self, attempt: &Attempt, now: Duration) {
        let took = now.saturating_sub(attempt.began);
        if let Some(state) = self.targets.get_mut(attempt.target) {
            state.pace.first(took, attempt.load, now);
        }
        self.compare(attempt.target, took, 0, now);
    }

    /// After the first content came so many tokens, and they took so long.
    pub fn tokens(&mut self, attempt: &Attempt, (took, tokens): (Duration, u64), now: Duration) {
        if let Some(state) = self.targets.get_mut(attempt.target) {
            state.pace.tokens(took, tokens, now);
        }
    }

    /// A request had so many tokens of input, of which it had not to pay for so many, since they were in a cache.
    pub fn cached(&mut self, attempt: &Attempt, (input, saved): (f64, f64)) {
        if let Some(state) = self.targets.get_mut(attempt.target) {
            state.saving.observe(input, saved);
        }
    }

    /// A whole answer of so many tokens came at once.
    pub fn whole(&mut self, attempt: &Attempt, tokens: u64, now: Duration) {
        let took = now.saturating_sub(attempt.began);
        if let Some(state) = self.targets.get_mut(attempt.target) {
            state.pace.whole(took, tokens, attempt.load, now);
        }
        self.compare(attempt.target, took, tokens, now);
    }

    /// Whether at least half of the peers would have been much faster.
    fn compare(&mut self, target: usize, took: Duration, tokens: u64, now: Duration) {
        let Some(state) = self.targets.get(target) else {
            return;
        };
        let Some(percent) = state.member.health.slow_percent else {
            return;
        };
        let bound = took.as_secs_f64() / f64::from(percent.max(1)) * 100.0;
        let peers = state.member.peers.iter().filter(|peer| **peer != target);
        let known = peers.filter_map(|peer| self.targets.get(*peer)?.pace.predict(tokens));
        let (known, faster) = known.fold((0, 0), |(known, faster), it| {
            (known + 1, faster + u32::from(it < bound))
        });
        let is_slow = known > 0 && faster * 2 >= known;
        if let Some(state) = self.targets.get_mut(target) {
            state.health.compared(&state.member.health, is_slow, now);
        }
    }

    /// Nobody waits for an attempt any more that brought nothing so far: it is at least as slow.
    pub fn given_up(&mut self, attempt: &Attempt, now: Duration) {
        if let Some(state) = self.targets.get_mut(attempt.target) {
            let waited = now.saturating_sub(attempt.began);
            state.pace.silent(waited, now);
        }
    }

    /// An attempt is over, with everything that belongs to it.
    pub fn end(&mut self, mut attempt: Attempt, now: Duration) {
        if !attempt.is_told {
            self.went(&mut attempt, Outcome::Nothing, now);
        }
        if let Some(state) = self.targets.get_mut(attempt.target) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
    }
}

/// Prices beyond 2^53 are about as high as each other.
fn to_f64(price: u64) -> f64 {
    std::time::Duration::from_nanos(price).as_secs_f64()
}

#[cfg(test)]
mod tests;
