//! Random policies, well-formed on the wire but as odd as they may be otherwise.

use proptest::collection::{hash_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use crate::pb;

/// Texts that a careless writer of YAML would get wrong.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,8}",
        "\\PC{0,12}",
        "[ \t\na~:#&*!|>'\"%@`{}\\[\\],?-]{0,8}",
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("1e3".to_owned()),
        Just("0x1F".to_owned()),
        Just("yes".to_owned()),
        Just("<<".to_owned()),
        Just("---".to_owned()),
        Just("x".repeat(300)),
        Just("many words that a writer of YAML may want to fold over lines ".repeat(4)),
    ]
}

fn time() -> impl Strategy<Value = prost_types::Duration> {
    let nanos = prop_oneof![Just(0), Just(250_000_000), 0..1_000_000_000];
    (0i64..1_000_000_000, nanos)
        .prop_map(|(seconds, nanos)| prost_types::Duration { seconds, nanos })
}

fn usd() -> impl Strategy<Value = pb::Usd> {
    any::<i64>().prop_map(|nanos| pb::Usd { nanos })
}

fn credential() -> impl Strategy<Value = pb::Credential> {
    let source = prop_oneof![
        text().prop_map(pb::credential::Source::Env),
        text().prop_map(pb::credential::Source::File)
    ];
    of(source).prop_map(|source| pb::Credential { source })
}

fn timeouts() -> impl Strategy<Value = pb::Timeouts> {
    (of(time()), of(time()), of(time())).prop_map(|(connect, first_byte, idle)| pb::Timeouts {
        connect,
        first_byte,
        idle,
    })
}

fn simulated() -> impl Strategy<Value = pb::Simulated> {
    let fault = (0..5i32, any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
        |(kind, status, after_tokens, percent)| {
            // Zero is what cannot be written: it says that nothing is set.
            pb::Fault {
                kind,
                status,
                after_tokens,
                percent,
            }
        },
    );
    (of(time()), of(time()), any::<u32>(), of(fault)).prop_map(
        |(first_token_latency, token_interval, output_tokens, fault)| pb::Simulated {
            first_token_latency,
            token_interval,
            output_tokens,
            fault,
        },
    )
}

fn provider() -> impl Strategy<Value = pb::Provider> {
    (
        0..10i32,
        text(),
        of(credential()),
        any::<bool>(),
        of(timeouts()),
        of(simulated()),
        any::<bool>(),
        text(),
        text(),
        of(ceilings()),
    )
        .prop_map(
            |(
                kind,
                base_url,
                credential,
                internal,
                timeouts,
                simulated,
                drop_unsupported,
                api_version,
                region,
                limits,
            )| {
                pb::Provider {
                    kind,
                    base_url,
                    credential,
                    internal,
                    timeouts,
                    simulated,
                    drop_unsupported,
                    api_version,
                    region,
                    limits,
                }
            },
        )
}

fn ceilings() -> impl Strategy<Value = pb::Ceilings> {
    let amount = || of(any::<u64>());
    (amount(), amount(), amount(), amount(), amount()).prop_map(|it| pb::Ceilings {
        requests_per_minute: it.0,
        tokens_per_minute: it.1,
        input_tokens_per_minute: it.2,
        output_tokens_per_minute: it.3,
        concurrent: it.4,
        on_unreachable: 0,
    })
}

fn deployment() -> impl Strategy<Value = pb::Deployment> {
    let parts = (
        text(),
        text(),
        text(),
        (0..3, 0..3),
        of(price(true)),
        of(ceilings()),
        vec(1..7, 0..3),
    );
    parts.prop_map(
        |(provider, model, base_model, (api, prefill), price, limits, lacks)| pb::Deployment {
            provider,
            model,
            base_model,
            api,
            price,
            limits,
            prefill,
            lacks,
        },
    )
}

fn price(with_tiers: bool) -> BoxedStrategy<pb::Price> {
    let tier = if with_tiers {
        let tier = (any::<u64>(), of(price(false)));
        tier.prop_map(|(above, price)| pb::PriceTier { above, price })
            .boxed()
    } else {
        Just(pb::PriceTier::default()).boxed()
    };
    let amounts = vec(of(usd()), 13..=13);
    (amounts, vec(tier, 0..3))
        .prop_map(|(amounts, tiers)| {
            let amount = |at: usize| amounts.get(at).copied().flatten();
            pb::Price {
                input: amount(0),
                output: amount(1),
                cached_input: amount(2),
                cache_write: amount(3),
                cache_write_1h: amount(4),
                input_audio: amount(5),
                cached_audio: amount(6),
                input_image: amount(7),
                reasoning: amount(8),
                output_audio: amount(9),
                output_image: amount(10),
                request: amount(11),
                search: amount(12),
                tiers,
            }
        })
        .boxed()
}

fn pool() -> impl Strategy<Value = pb::Pool> {
    let target =
        (text(), any::<u32>()).prop_map(|(deployment, weight)| pb::Target { deployment, weight });
    let sticky = (0..5i32, text()).prop_map(|(by, metadata)| pb::Sticky { by, metadata });
    (vec(target, 0..3), 0..7i32, of(sticky), of(health())).prop_map(
        |(targets, strategy, sticky, health)| pb::Pool {
            targets,
            strategy,
            sticky,
            health,
        },
    )
}

fn health() -> impl Strategy<Value = pb::Health> {
    (any::<[u32; 4]>(), of(time()), of(time()), of(time())).prop_map(
        |(numbers, first_ejection, longest_ejection, slow_start)| pb::Health {
            failures: numbers[0],
            error_percent: numbers[1],
            least_requests: numbers[2],
            slow_factor: numbers[3],
            first_ejection,
            longest_ejection,
            slow_start,
        },
    )
}

fn route() -> impl Strategy<Value = pb::Route> {
    let fallback =
        (vec(1..5i32, 0..3), vec(text(), 0..3)).prop_map(|(on, pools)| pb::Fallback { on, pools });
    let shadow = (text(), any::<u32>(), any::<u32>()).prop_map(|(pool, percent, max_in_flight)| {
        pb::Shadow {
            pool,
            percent,
            max_in_flight,
        }
    });
    (
        vec(text(), 0..3),
        vec(fallback, 0..3),
        text(),
        text(),
        of(shadow),
    )
        .prop_map(|(pools, fallbacks, when, variant, shadow)| pb::Route {
            pools,
            fallbacks,
            when,
            variant,
            shadow,
        })
}

fn retry() -> impl Strategy<Value = pb::Retry> {
    let slow_stream =
        (any::<u32>(), of(time())).prop_map(|(tokens, within)| pb::SlowStream { tokens, within });
    (
        any::<u32>(),
        of(time()),
        of(time()),
        of(slow_stream),
        of(time()),
    )
        .prop_map(
            |(attempts, per_attempt_timeout, first_token_timeout, slow_stream, hedge_after)| {
                pb::Retry {
                    attempts,
                    per_attempt_timeout,
                    first_token_timeout,
                    slow_stream,
                    hedge_after,
                }
            },
        )
}

fn model() -> impl Strategy<Value = pb::Model> {
    (
        vec(text(), 0..3),
        vec(route(), 0..3),
        of(retry()),
        of(time()),
        any::<u32>(),
        (0..3, 0..4),
    )
        .prop_map(
            |(aliases, routes, retry, deadline, max_output_tokens, (tokens, on_cut))| pb::Model {
                aliases,
                routes,
                retry,
                deadline,
                max_output_tokens,
                tokens,
                on_cut,
            },
        )
}

fn weights() -> impl Strategy<Value = pb::TokenWeights> {
    let weight = || of(any::<u32>().prop_map(|thousandths| pb::Weight { thousandths }));
    (weight(), weight()).prop_map(|(cached_input, output)| pb::TokenWeights {
        cached_input,
        output,
    })
}

fn amount() -> impl Strategy<Value = pb::limit::Amount> {
    use pb::limit::Amount;
    prop_oneof![
        any::<u64>().prop_map(Amount::Requests),
        any::<u64>().prop_map(Amount::Tokens),
        any::<u64>().prop_map(Amount::InputTokens),
        any::<u64>().prop_map(Amount::OutputTokens),
        usd().prop_map(Amount::CostUsd),
        any::<u64>().prop_map(Amount::Concurrent),
    ]
}

fn window() -> impl Strategy<Value = pb::Window> {
    prop_oneof![
        any::<u32>().prop_map(|seconds| pb::Window {
            seconds,
            calendar: 0
        }),
        (1..6i32).prop_map(|calendar| pb::Window {
            seconds: 0,
            calendar
        }),
    ]
}

fn limit() -> impl Strategy<Value = pb::Limit> {
    (
        text(),
        vec(1..7i32, 0..3),
        of(amount()),
        of(window()),
        (0..4i32, any::<u64>()),
        of(weights()),
        0..3i32,
        vec(text(), 0..3),
        (text(), text()),
        (0..3i32, any::<bool>()),
        (
            0..3i32,
            0..3i32,
            0..3i32,
            vec(1..7i32, 0..3),
            hash_map(text(), any::<u32>(), 0..3),
            of(any::<u32>()),
        ),
    )
        .prop_map(
            |(
                name,
                per,
                amount,
                window,
                (kind, burst),
                weights,
                reserve,
                per_labels,
                (r#match, timezone),
                (mode, copies),
                (on_exhausted, on_unreachable, on_overrun, fair, shares, promised_percent),
            )| {
                pb::Limit {
                    name,
                    per,
                    amount,
                    window,
                    kind,
                    burst,
                    weights,
                    reserve,
                    per_labels,
                    r#match,
                    mode,
                    timezone,
                    on_exhausted,
                    longest_wait: None,
                    on_unreachable,
                    promised_percent,
                    guard: None,
                    on_overrun,
                    fair,
                    shares,
                    copies,
                }
            },
        )
}

/// Any policy whose enums have known values, `unspecified` only where the wire leaves it out.
pub(crate) fn policy() -> impl Strategy<Value = pb::Policy> {
    (
        hash_map(text(), provider(), 0..3),
        hash_map(text(), deployment(), 0..3),
        hash_map(text(), pool(), 0..3),
        hash_map(text(), model(), 0..3),
        vec(limit(), 0..3),
        hash_map(
            text(),
            (vec(limit(), 0..3), 0..2000u32, 0..3i32, 0..3i32).prop_map(
                |(limits, weight, priority, explanations)| pb::Tier {
                    limits,
                    weight,
                    priority,
                    explanations,
                },
            ),
            0..3,
        ),
        0..3i32,
    )
        .prop_map(
            |(providers, deployments, pools, models, limits, tiers, explanations)| pb::Policy {
                providers: providers.into_iter().collect(),
                deployments: deployments.into_iter().collect(),
                pools: pools.into_iter().collect(),
                models: models.into_iter().collect(),
                limits,
                tiers: tiers.into_iter().collect(),
                explanations,
            },
        )
}
