//! What a caller is told where no deployment answered.

use std::time::Duration;

use tollgate_balance::Attempts;
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Class;

use super::Walk;
use crate::error::Error;
use crate::meter::{Attempt, Meter, outcome_name};
use crate::upstream::Ended;

/// How long callers are told to wait where every provider limits and none says for how long.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

impl Walk<'_> {
    /// Nothing is left to try. Where no deployment can take the request, the caller is told what of it stands in the way.
    /// Where every deployment that can is over its provider's limits, the caller is told to wait, and for how long at
    /// least.
    pub(super) fn exhausted(&self, route: &Attempts<'_>, meter: &Meter) -> Error {
        // Any other request that is wrong by itself ends the walk at once.
        let is_unfit = |one: &&Attempt| one.outcome == AttemptOutcome::Rejected;
        let (unfit, attempts): (Vec<_>, Vec<_>) = meter.attempts().iter().partition(is_unfit);
        let able: Vec<_> = route
            .targets()
            .filter(|target| !self.is_of(*target, &unfit))
            .collect();
        if let (true, Some(first)) = (able.is_empty(), &self.unfit) {
            return first.clone();
        }
        if let (true, Some(first)) = (attempts.is_empty(), self.never(&able)) {
            return first;
        }
        let only_limited = attempts
            .iter()
            .all(|one| one.outcome == AttemptOutcome::RateLimited);
        let waits: Option<Vec<_>> = able.iter().map(|target| self.wait(*target)).collect();
        let wait = waits.and_then(|waits| waits.into_iter().min());
        let unfit = unfit
            .iter()
            .map(|one| format!("{} cannot take the request", one.deployment.name));
        let tried = attempts.iter().map(|one| {
            let outcome = outcome_name(one.outcome).replace('_', " ");
            format!("{} {outcome}", one.deployment.name)
        });
        let full = self.full.iter().map(|one| {
            let name = &one.deployment.name;
            format!("{name} has no room ({})", one.why)
        });
        let cooling = able
            .iter()
            .filter_map(|target| self.cooling(*target, &attempts));
        let attempts: Vec<_> = unfit.chain(tried).chain(full).chain(cooling).collect();
        Error::ProvidersFailed {
            attempts: attempts.join(", "),
            rate_limited: only_limited.then(|| wait.unwrap_or(DEFAULT_RETRY)),
        }
    }

    /// Whether a deployment is that of one of these attempts.
    fn is_of(&self, target: usize, attempts: &[&Attempt]) -> bool {
        let deployment = self.revision().deployment(target);
        deployment.is_some_and(|(it, _)| attempts.iter().any(|one| one.deployment.name == it.name))
    }

    /// What is said of a deployment that was not tried because it wants to be left alone.
    fn cooling(&self, target: usize, attempts: &[&Attempt]) -> Option<String> {
        let (deployment, _) = self.revision().deployment(target)?;
        let name = &deployment.name;
        if self.is_of(target, attempts) || self.full.iter().any(|full| full.target == target) {
            return None;
        }
        // Where nothing was tried at all, all of them were left alone, be it that they no longer need be.
        let nothing = attempts.is_empty() && self.full.is_empty();
        let now = nothing
            || self
                .revision()
                .traffic()
                .cooling(target, self.case.wish.load)
                .is_some();
        now.then(|| format!("{name} cannot be asked now"))
    }

    /// How long until a deployment may have room, where it has none now.
    fn wait(&self, target: usize) -> Option<Duration> {
        let full = self.full.iter().find(|full| full.target == target);
        match full {
            Some(full) => full.why.retry_after(),
            None => self
                .revision()
                .traffic()
                .cooling(target, self.case.wish.load),
        }
    }

    /// The first ceiling that the request does not fit under, where it fits nowhere and never will.
    fn never(&self, able: &[usize]) -> Option<Error> {
        let never = |target: &usize| {
            let full = self.full.iter().find(|full| full.target == *target);
            full.is_some_and(|full| matches!(full.why, Error::LimitTooSmall { .. }))
        };
        let first = self.full.first().filter(|_| able.iter().all(never))?;
        Some(first.why.clone())
    }
}

/// What a caller is told of a request that the provider finds at fault.
pub(super) fn final_error(ended: &Ended) -> Error {
    if let Some(field) = &ended.field {
        return Error::field(field, &*ended.failure.detail);
    }
    match ended.failure.class {
        Class::ContextTooLong => Error::ContextTooLong,
        Class::ContentFilter => Error::ContentFiltered,
        Class::CallerError
        | Class::KeyDead
        | Class::KeyLimited
        | Class::Ramping
        | Class::Overloaded
        | Class::Server
        | Class::Transport
        | Class::Truncated => Error::ProviderRejected {
            message: ended.failure.public_message().into_owned(),
        },
    }
}
