//! Warnings.

use super::{Case, chat, limit, lines, provider, seconds, sound};
use crate::pb;
use crate::pb::limit::Amount;
use crate::{validate, warnings};

fn shadow(it: &mut pb::Policy) {
    chat(it).routes[0].shadow = Some(pb::Shadow {
        pool: "last".to_owned(),
        percent: 5,
        ..Default::default()
    });
}

/// A limit on copies.
fn copies() -> pb::Limit {
    pb::Limit {
        copies: true,
        ..limit("copies", Amount::Requests(10))
    }
}

const UNMEANT: &[Case] = &[
    (
        |it| chat(it).on_cut = pb::CutMode::Replay as i32,
        &["models.chat.on_cut: an answer that is asked for again is mostly another one"],
    ),
    (
        |it| chat(it).on_cut = pb::CutMode::Prefill as i32,
        &["models.chat.on_cut: no deployment of the model says that it can go on"],
    ),
    (
        |it| {
            chat(it).on_cut = pb::CutMode::Prefill as i32;
            it.deployments.get_mut("gpt").unwrap().prefill = pb::Prefill::LastMessage as i32;
        },
        &[],
    ),
    (
        |it| {
            chat(it).on_cut = pb::CutMode::Replay as i32;
            chat(it).retry = Some(pb::Retry {
                attempts: 1,
                ..Default::default()
            });
        },
        &["models.chat.on_cut: needs a second attempt"],
    ),
    (shadow, &["models.chat.routes[0].shadow: has no limit"]),
    (
        |it| {
            shadow(it);
            it.limits.push(copies());
        },
        &[],
    ),
    (
        |it| it.limits.push(copies()),
        &["limits[1].copies: counts nothing: no route has a `shadow`"],
    ),
    (
        |it| {
            let limits = pb::Ceilings {
                tokens_per_minute: Some(4096),
                ..Default::default()
            };
            it.deployments.get_mut("canned").unwrap().limits = Some(limits);
        },
        &["deployments.canned.limits.tokens_per_minute: is less than what a request reserves"],
    ),
    (
        |it| provider(it, "openai").credential = None,
        &["providers.openai: has no credential"],
    ),
    (
        |it| chat(it).routes[0].pools.truncate(1),
        &["pools.last: is not used by any model"],
    ),
    (
        |it| {
            drop((
                it.pools.remove("last"),
                chat(it).routes[0].pools.truncate(1),
            ))
        },
        &["deployments.canned: is not used by any pool"],
    ),
    (
        |it| {
            drop(
                it.providers
                    .insert("x".to_owned(), it.providers["local"].clone()),
            )
        },
        &["providers.x: is not used by any"],
    ),
    (
        |it| {
            chat(it).retry = Some(pb::Retry {
                attempts: 4,
                per_attempt_timeout: None,
                ..Default::default()
            })
        },
        &["models.chat.retry.attempts: is more than the 3 deployments"],
    ),
    (
        |it| {
            chat(it).retry = Some(pb::Retry {
                attempts: 0,
                per_attempt_timeout: seconds(120),
                ..Default::default()
            })
        },
        &["models.chat.retry.per_attempt_timeout: leaves no time"],
    ),
    (
        |it| {
            chat(it).retry = Some(pb::Retry {
                attempts: 1,
                per_attempt_timeout: seconds(120),
                ..Default::default()
            })
        },
        &[],
    ),
    (
        |it| it.limits.push(limit("small", Amount::Tokens(4096))),
        &["limits[1].tokens: is less than what a request reserves"],
    ),
    (
        |it| it.limits.push(limit("enough", Amount::Tokens(4097))),
        &[],
    ),
    (
        |it| it.limits.push(limit("same", Amount::Requests(99))),
        &["limits[1]: counts the same as limits[0]"],
    ),
];

#[test]
fn warns_of_what_is_probably_not_meant() {
    for (number, (change, expected)) in UNMEANT.iter().enumerate() {
        let mut policy = sound();
        change(&mut policy);
        assert_eq!(
            lines(&validate(&policy)),
            Vec::<String>::new(),
            "case {number}"
        );
        let found = lines(&warnings(&policy));
        assert_eq!(found.len(), expected.len(), "case {number}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "case {number}: {found:?}");
        }
    }
}
