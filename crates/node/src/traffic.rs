//! What traffic tells of deployments: their health, their speed, and what is under way at each.
//!
//! The shell around `balance`: one short mutex, the clock, and the translation of how attempts end.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tollgate_balance::{
    Attempt, Attempts, Candidate, Fleet, HealthConfig, Known, Load, Member, Outcome, Report,
    Return, Whom, Wish, Words,
};
use tollgate_policy::Table;
use tollgate_policy::price::Part;
use tollgate_policy::table::{Deployment, Health};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Class;
use tollgate_provider::chat::Usage;

use crate::upstream::{Ended, Reached, Upstream};
use crate::{clock, metrics};
use keys::Keys;
pub(crate) use keys::RefusedKey;

/// How long a provider, or a deployment, is left alone that does not accept the key. Another key starts afresh.
const DEAD_KEY_COOL_DOWN: Duration = Duration::from_secs(30);

/// What traffic has told of deployments, by their places in the table.
#[derive(Debug)]
pub(crate) struct Traffic {
    fleet: Mutex<Fleet>,
    keys: Mutex<Keys>,
    deployments: Vec<Arc<Deployment>>,
    /// What share of the price of their input is off where it comes from a cache.
    discounts: Vec<f64>,
}

/// What decides about the next deployment of a request, beside traffic.
pub(crate) struct Chooser<'a, K> {
    /// What an attempt takes, and how long its answer may be.
    pub(crate) wish: Wish,
    /// Prices and room.
    pub(crate) known: &'a K,
    /// The affinity of the request at each step of its route.
    pub(crate) affinities: &'a dyn Fn(usize) -> Option<u64>,
}

/// What another table's traffic has told.
pub(crate) struct Before<'a> {
    pub(crate) traffic: &'a Traffic,
    /// The place there of a deployment that is the same.
    pub(crate) place: &'a dyn Fn(usize) -> Option<usize>,
}

// === impl Traffic ===

impl Traffic {
    /// Nothing is known yet of the table's deployments, but for those that `before` knows as the same. They are reached by
    /// these, in the order of the table's providers.
    pub(crate) fn new(
        table: &Table,
        upstreams: &[Arc<Upstream>],
        before: Option<&Before<'_>>,
    ) -> Self {
        let mut members: Vec<_> = table
            .deployments()
            .iter()
            .map(|deployment| Member {
                provider: deployment.provider.index,
                health: HealthConfig::default(),
                peers: Vec::new(),
            })
            .collect();
        let routes = table.every_model().flat_map(|model| &model.routes);
        for pool in routes.flat_map(|route| route.every_pool()) {
            let peers: Vec<_> = pool.targets.iter().map(|it| it.deployment).collect();
            for target in &pool.targets {
                if let Some(member) = members.get_mut(target.deployment) {
                    member.health = config(&pool.health);
                    member.peers.clone_from(&peers);
                }
            }
        }
        let mut fleet = Fleet::new(members);
        let mut keys = Keys::new(upstreams.iter().map(|it| Arc::clone(it.key())));
        if let Some(Before { traffic, place }) = before {
            let (known, known_keys) = (traffic.fleet.lock(), traffic.keys.lock());
            for new in table.deployments() {
                let old = place(new.index).and_then(|old| traffic.deployments.get(old));
                if let Some(old) = old {
                    fleet.inherit(new.index, &known, old.index);
                    keys.inherit(new.provider.index, &known_keys, old.provider.index);
                }
            }
        }
        Self {
            fleet: Mutex::new(fleet),
            keys: Mutex::new(keys),
            deployments: table.deployments().to_vec(),
            discounts: table.deployments().iter().map(|it| discount(it)).collect(),
        }
    }

    /// The next deployment for a request to try, if there is any left that makes sense, drawn by `random`.
    pub(crate) fn next(
        &self,
        attempts: &mut Attempts<'_>,
        chooser: &Chooser<'_, impl Known>,
        random: u64,
    ) -> Option<usize> {
        let now = clock::boot_time();
        let seen = (&chooser.wish, chooser.known);
        let fleet = self.fleet.lock();
        attempts.next(random, chooser.affinities, |target, strategy| {
            fleet.sight(target, strategy, seen, now)
        })
    }

    /// Every deployment of a request's route as it would be seen when the next is chosen, and what is known of it.
    pub(crate) fn survey(
        &self,
        attempts: &Attempts<'_>,
        chooser: &Chooser<'_, impl Known>,
    ) -> Vec<(Candidate, Report)> {
        let now = clock::boot_time();
        let seen = (&chooser.wish, chooser.known);
        let fleet = self.fleet.lock();
        let candidates = attempts.survey(chooser.affinities, |target, strategy| {
            fleet.sight(target, strategy, seen, now)
        });
        let known = |it: Candidate| Some((it, fleet.report(it.target, chooser.wish.load, now)?));
        candidates.into_iter().filter_map(known).collect()
    }

    /// How long a deployment is not to be asked, if so: it asked to be left alone, or has no room for so much.
    pub(crate) fn cooling(&self, target: usize, load: Load) -> Option<Duration> {
        self.fleet.lock().cooling(target, load, clock::boot_time())
    }

    /// Who is left out by what was seen here, and for how long.
    pub(crate) fn left_out(&self) -> Vec<(Whom, Duration)> {
        let now = clock::boot_time();
        let fleet = self.fleet.lock();
        let all = fleet.left_out();
        all.map(|(whom, since)| (whom, now.saturating_sub(since)))
            .collect()
    }

    /// The key that a provider refused.
    pub(crate) fn refused_key(&self, provider: usize) -> Option<RefusedKey> {
        self.keys.lock().known(provider).cloned()
    }

    /// Another node leaves somebody out. False where more is known here already.
    pub(crate) fn suspect(&self, whom: Whom) -> bool {
        let now = clock::boot_time();
        self.fleet.lock().suspect(whom, Duration::ZERO, now)
    }

    /// Another node was refused a provider's key so long ago. That is believed as long as the provider would be left alone
    /// had it been this node. False where this node has another key, or knows more already.
    pub(crate) fn suspect_key(&self, provider: usize, it: RefusedKey, ago: Duration) -> bool {
        let believed = DEAD_KEY_COOL_DOWN.saturating_sub(ago);
        let is_same = self.keys.lock().refused_elsewhere(provider, it);
        let now = clock::boot_time();
        is_same
            && self
                .fleet
                .lock()
                .suspect(Whom::Key(provider), believed, now)
    }

    /// Looks whether providers have other keys than those they refused, and asks them again.
    pub(crate) fn look_at_keys(&self) {
        let renewed = self.keys.lock().renewed(clock::boot_time());
        for provider in renewed {
            self.fleet.lock().renew_key(provider);
            let mut all = self.deployments.iter().map(|it| &it.provider);
            let name = all.find(|it| it.index == provider).map(|it| &*it.name);
            tracing::info!(
                provider = name,
                "there is another key: the provider is asked again"
            );
        }
    }

    /// An attempt at a deployment begins.
    pub(crate) fn begin(self: &Arc<Self>, target: usize, load: Load) -> Option<UnderWay> {
        let attempt = self.fleet.lock().begin(target, load, clock::boot_time())?;
        Some(UnderWay {
            traffic: Arc::clone(self),
            attempt,
            first_content: None,
        })
    }
}

/// A price that is not known, or nothing, says nothing of what a cache saves: half of the work, say.
fn discount(it: &Deployment) -> f64 {
    const USUAL: f64 = 0.5;
    let rates = it.price.as_ref().and_then(|price| price.rows().first());
    let of = |part| rates.map_or(0, |row| row.rates.of(part));
    let (input, cached) = (of(Part::Input), of(Part::CachedInput));
    match input {
        0 => USUAL,
        _ => 1.0 - (cached as f64 / input as f64).min(1.0),
    }
}

fn config(it: &Health) -> HealthConfig {
    HealthConfig {
        failures: it.failures,
        error_percent: it.error_percent,
        least_attempts: it.least_requests,
        slow_percent: it.slow_factor.map(|it| it.saturating_mul(100)),
        first_ejection: it.first_ejection,
        longest_ejection: it.longest_ejection,
        slow_start: it.slow_start,
        ..HealthConfig::default()
    }
}

/// An attempt under way. It is over when this is dropped, which for a stream is when the stream is.
#[derive(Debug)]
pub(crate) struct UnderWay {
    traffic: Arc<Traffic>,
    attempt: Attempt,
    first_content: Option<Instant>,
}

impl UnderWay {
    /// The deployment that is asked.
    pub(crate) fn target(&self) -> usize {
        self.attempt.target
    }

    /// The answer says how the provider's limits stand.
    pub(crate) fn told(&self, words: &Words) {
        if *words != Words::default() {
            let now = clock::boot_time();
            self.traffic.fleet.lock().told(&self.attempt, words, now);
        }
    }

    /// A whole answer of so many tokens came.
    pub(crate) fn answered(&mut self, tokens: u64) {
        self.went(Outcome::Answered, |fleet, attempt, now| {
            fleet.whole(attempt, tokens, now);
        });
    }

    /// The first content of a stream came, so long after the attempt began.
    pub(crate) fn streams(&mut self) {
        self.first_content = Some(Instant::now());
        self.went(Outcome::Answered, Fleet::first_content);
    }

    /// A stream came to its end after so many tokens, and the provider was waited for so long. Where the caller was
    /// waited for longer, that says nothing of the provider's speed.
    pub(crate) fn streamed(&self, tokens: u64, waited: Duration) {
        let all = self.first_content.map(|first| first.elapsed());
        if all.is_some_and(|all| waited * 2 >= all) {
            let now = clock::boot_time();
            let sample = (waited, tokens.saturating_sub(1));
            self.traffic.fleet.lock().tokens(&self.attempt, sample, now);
        }
    }

    /// What it used, as far as the provider told: how much of its input came from a cache.
    pub(crate) fn used(&self, usage: Option<Usage>) {
        let discount = self.traffic.discounts.get(self.attempt.target);
        let (Some(usage), Some(discount)) = (usage.filter(|it| it.input_total > 0), discount)
        else {
            return;
        };
        let sample = (usage.input_total as f64, usage.cache_read as f64 * discount);
        self.traffic.fleet.lock().cached(&self.attempt, sample);
    }

    /// It brought nothing before another did that was begun beside it.
    pub(crate) fn given_up(&self) {
        let now = clock::boot_time();
        self.traffic.fleet.lock().given_up(&self.attempt, now);
    }

    /// It brought no answer, or not to its end.
    pub(crate) fn failed(&mut self, ended: &Ended) {
        let mut outcome = outcome(ended);
        if let Outcome::KeyRefused(_) = outcome
            && let Some(deployment) = self.traffic.deployments.get(self.attempt.target)
        {
            let mut keys = self.traffic.keys.lock();
            if !keys.refused(deployment.provider.index, ended) {
                outcome = Outcome::Nothing;
            }
        }
        self.went(outcome, |_, _, _| {});
    }

    /// Notes how it went, and what `more` there is to it, and tells the operator where that takes the deployment out of
    /// use or back.
    fn went(&mut self, outcome: Outcome, more: impl FnOnce(&mut Fleet, &Attempt, Duration)) {
        let (target, now) = (self.attempt.target, clock::boot_time());
        let (before, after) = {
            let mut fleet = self.traffic.fleet.lock();
            let before = fleet.is_left_out(target);
            fleet.went(&mut self.attempt, outcome, now);
            more(&mut fleet, &self.attempt, now);
            (before, fleet.is_left_out(target))
        };
        let Some(deployment) = self.traffic.deployments.get(target) else {
            return;
        };
        let name = &deployment.name;
        match (before, after) {
            (false, true) => {
                metrics::left_out(name);
                tracing::warn!(
                    deployment = &**name,
                    after = ?outcome,
                    "a deployment is left out of use"
                );
            }
            (true, false) => tracing::info!(deployment = &**name, "a deployment is back in use"),
            (true, true) | (false, false) => {}
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.traffic
            .fleet
            .lock()
            .end(self.attempt, clock::boot_time());
    }
}

/// What the end of an attempt says of the deployment and its provider.
fn outcome(ended: &Ended) -> Outcome {
    let wait = ended.failure.retry_after;
    match ended.failure.class {
        Class::KeyLimited => Outcome::Limited(wait, Return::Whole),
        Class::Ramping => Outcome::Limited(wait, Return::Gradual),
        // It may be this model alone that the key has no access to. One that gives no reason is no word on the key at all.
        Class::KeyDead if ended.failure.status == Some(403) => {
            Outcome::Limited(Some(DEAD_KEY_COOL_DOWN), Return::Whole)
        }
        Class::KeyDead => Outcome::KeyRefused(DEAD_KEY_COOL_DOWN),
        Class::Overloaded => Outcome::Overloaded(wait),
        Class::Transport
            if ended.reached == Reached::Nobody
                && ended.outcome != AttemptOutcome::AddressRefused =>
        {
            Outcome::Unreachable
        }
        Class::Server | Class::Transport | Class::Truncated => Outcome::Failed,
        // The request was at fault.
        Class::CallerError | Class::ContextTooLong | Class::ContentFilter => Outcome::Nothing,
    }
}

#[cfg(test)]
mod tests;
