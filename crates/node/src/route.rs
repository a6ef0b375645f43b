//! A model's pools as the balancer walks them, and what keeps requests together at them.

use tollgate_balance::{Cause, Causes, Pool, Route, Step, Strategy, Target};
use tollgate_policy::Table;
use tollgate_policy::table::{self, Sticky};
use tollgate_provider::chat::{Part, Request, Role};
use tollgate_provider::embeddings::{self, Input};

use crate::asked::Asked;

mod budgets;

pub(crate) use budgets::budgets;

/// Most bytes of a prompt that decide where it goes: what providers cache begins earlier than that to be worth it.
const LONGEST_BEGINNING: usize = 8 * 1024;

/// The way over a route's pools. Its steps are those of [`table::Route::every_pool`].
///
/// # Errors
/// The route has no pool, or one has no target.
pub(crate) fn route(table: &Table, it: &table::Route) -> Result<Route, tollgate_balance::Error> {
    let step = |pool: &table::Pool, after| {
        let target = |target: &table::Target| Target {
            id: target.deployment,
            weight: target.weight,
            hash: table
                .deployments()
                .get(target.deployment)
                .map_or(0, |deployment| hash(&[deployment.name.as_bytes()])),
        };
        let targets = pool.targets.iter().map(target).collect();
        let pool = Pool::new(strategy(&pool.strategy), targets)?;
        Ok(Step { pool, after })
    };
    let pools = it.pools.iter().map(|pool| step(pool, None));
    let fallbacks = it.fallbacks.iter().flat_map(|fallback| {
        let after = causes(fallback.on);
        fallback.pools.iter().map(move |pool| (pool, after))
    });
    let fallbacks = fallbacks.map(|(pool, after)| step(pool, Some(after)));
    let steps: Result<_, _> = pools.chain(fallbacks).collect();
    Route::new(steps?)
}

fn strategy(it: &table::Strategy) -> Strategy {
    match it {
        table::Strategy::Weighted => Strategy::Weighted,
        table::Strategy::LeastBusy => Strategy::LeastBusy,
        table::Strategy::LeastLatency => Strategy::LeastLatency,
        table::Strategy::Cheapest => Strategy::Cheapest,
        table::Strategy::MostRoom => Strategy::MostRoom,
        table::Strategy::Sticky(_) => Strategy::Sticky,
    }
}

fn causes(on: table::Causes) -> Causes {
    let causes = [
        (on.context_length, Cause::ContextLength),
        (on.content_filter, Cause::ContentFilter),
        (on.rate_limit, Cause::RateLimit),
        (on.other, Cause::Other),
    ];
    let named = causes.into_iter().filter(|(is_named, _)| *is_named);
    named.map(|(_, cause)| cause).collect()
}

/// What a request of this key has in common with those that go to the same deployment of a pool. None where it has
/// nothing, or the pool does not keep requests together.
pub(crate) fn affinity(pool: &table::Pool, key: &str, asked: &Asked) -> Option<u64> {
    let table::Strategy::Sticky(by) = &pool.strategy else {
        return None;
    };
    match by {
        Sticky::Key => Some(hash(&[key.as_bytes()])),
        Sticky::User => Some(hash(&[asked.user()?.as_bytes()])),
        Sticky::Metadata(name) => Some(hash(&[asked.metadata().get(name)?.as_bytes()])),
        Sticky::Prompt => Some(match asked {
            Asked::Completion { request, .. } => beginning(request),
            Asked::Embeddings(request) => first_input(request),
        }),
    }
}

/// The beginning of a prompt, in the order in which providers put it together: the tools, what the system says, and the
/// first message after that. It stays the same while a conversation grows.
fn beginning(request: &Request) -> u64 {
    let mut pieces: Vec<&[u8]> = request
        .tools
        .iter()
        .map(|it| it.name().as_bytes())
        .collect();
    for message in &request.messages {
        for part in &message.parts {
            if let Part::Text(text) = part {
                pieces.push(text.as_bytes());
            }
        }
        if !matches!(message.role, Role::System | Role::Developer) {
            break;
        }
    }
    hash(&pieces)
}

fn first_input(request: &embeddings::Request) -> u64 {
    match request.inputs.first() {
        Some(Input::Text(text)) => hash(&[text.as_bytes()]),
        Some(Input::Tokens(_) | Input::Image(_)) | None => hash(&[]),
    }
}

/// A number that stands for these bytes, the same at every node and in every version.
fn hash(pieces: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    let mut left = LONGEST_BEGINNING;
    for piece in pieces {
        let piece = piece.get(..left.min(piece.len())).unwrap_or_default();
        left -= piece.len();
        hasher.update(piece);
        // So that `ab`, `c` is not `a`, `bc`.
        hasher.update(&[0xff]);
    }
    let bytes = hasher.finalize();
    let first = bytes.as_bytes().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

#[cfg(test)]
mod tests;
