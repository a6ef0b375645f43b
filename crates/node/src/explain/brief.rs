//! What callers are told who are no operators.
//!
//! A key says who asks, and its tier is what policy knows callers by; so a tier is who may see everything. The token by which
//! operators prove themselves stays with the control plane: it must not travel to where callers' requests do.

use tollgate_proto::completion::v1::{
    CandidateState, CandidateVerdict, Explanation, PassedOver, PoolVerdict, RouteVerdict,
};

/// Leaves out what operators wrote, and what they bought. What becomes of the request stays: its route, where it may go
/// and how likely, and the limits that it counts for.
pub(super) fn brief(explanation: Explanation) -> Explanation {
    let Explanation {
        policy_revision,
        estimate,
        routes,
        pools,
        limits,
        passed_over,
        on_cut,
        ..
    } = explanation;
    Explanation {
        policy_revision,
        estimate,
        routes: routes.iter().map(route).collect(),
        pools: pools.into_iter().map(pool).collect(),
        limits: limits.into_iter().filter(|it| !it.is_shadow).collect(),
        passed_over: passed_over.into_iter().map(passed).collect(),
        on_cut,
        brief: true,
        ..Explanation::default()
    }
}

fn route(it: &RouteVerdict) -> RouteVerdict {
    RouteVerdict {
        index: it.index,
        serves: it.serves,
        ..RouteVerdict::default()
    }
}

fn pool(it: PoolVerdict) -> PoolVerdict {
    PoolVerdict {
        candidates: it.candidates.into_iter().map(candidate).collect(),
        ..it
    }
}

fn candidate(it: CandidateVerdict) -> CandidateVerdict {
    // The reason names the ceiling.
    let is_full = it.state() == CandidateState::NoRoom;
    CandidateVerdict {
        reason: if is_full { String::new() } else { it.reason },
        deployment: it.deployment,
        provider: it.provider,
        state: it.state,
        of_provider: it.of_provider,
        wait: it.wait,
        chance: it.chance,
        first_token: it.first_token,
        per_token: it.per_token,
        ..CandidateVerdict::default()
    }
}

fn passed(it: PassedOver) -> PassedOver {
    PassedOver {
        deployment: it.deployment,
        reason: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_proto::completion::v1::{BudgetUse, LimitVerdict, ShadowUse};

    use super::*;

    #[test]
    fn what_operators_wrote_is_left_out() {
        let full = Explanation {
            routes: vec![RouteVerdict {
                index: 1,
                when: "subject.org == 'secret'".to_owned(),
                serves: true,
                undecided: "secret".to_owned(),
            }],
            pools: vec![PoolVerdict {
                pool: "main".to_owned(),
                candidates: vec![CandidateVerdict {
                    deployment: "gpt".to_owned(),
                    state: CandidateState::NoRoom.into(),
                    reason: "ceiling `secret` has no room".to_owned(),
                    chance: 0.5,
                    weight: 7,
                    score: Some(7.0),
                    in_flight: 7,
                    expected_nano_usd: Some(7),
                    ceilings: vec![LimitVerdict {
                        limit: "secret".to_owned(),
                        ..LimitVerdict::default()
                    }],
                    ..CandidateVerdict::default()
                }],
                ..PoolVerdict::default()
            }],
            limits: vec![
                LimitVerdict {
                    limit: "per-key".to_owned(),
                    ..LimitVerdict::default()
                },
                LimitVerdict {
                    limit: "secret".to_owned(),
                    is_shadow: true,
                    ..LimitVerdict::default()
                },
            ],
            passed_over: vec![PassedOver {
                deployment: "claude".to_owned(),
                reason: "secret".to_owned(),
            }],
            budgets: vec![BudgetUse {
                limit: "secret".to_owned(),
                ..BudgetUse::default()
            }],
            shadow: Some(ShadowUse {
                pool: "secret".to_owned(),
                ..ShadowUse::default()
            }),
            ..Explanation::default()
        };
        let told = brief(full);
        assert!(told.brief);
        let text = format!("{told:?}");
        assert!(!text.contains("secret") && !text.contains('7'), "{text}");
        for part in ["main", "gpt", "0.5", "per-key", "claude", "index: 1"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
