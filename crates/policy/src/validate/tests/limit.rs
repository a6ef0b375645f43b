//! Faults of limits.

use super::{Case, check, limit};
use crate::pb;
use crate::pb::limit::Amount;

fn window(policy: &mut pb::Policy, seconds: u32) {
    policy.limits[0].window = Some(pb::Window { seconds });
}

const LIMITS: &[Case] = &[
    (
        |it| it.limits.push(limit("per-key", Amount::Tokens(9))),
        &["limits[1].name: `per-key` is a limit already, as limits[0]"],
    ),
    (
        |it| it.limits[0].amount = None,
        &["limits[0]: has no amount"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Requests(0)),
        &["limits[0].requests: is zero"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Tokens(0)),
        &["limits[0].tokens: is zero"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Tokens(u64::MAX)),
        &["limits[0].tokens: is more than"],
    ),
    (
        |it| it.limits[0].amount = Some(Amount::Tokens(1_000_000_000_000)),
        &[],
    ),
    (
        |it| it.limits[0].window = None,
        &["limits[0].window: is missing or zero"],
    ),
    (
        |it| window(it, 0),
        &["limits[0].window: is missing or zero"],
    ),
    (
        |it| window(it, 10),
        &["limits[0].window: is 10 s, which is too short"],
    ),
    (|it| window(it, 11), &[]),
    (|it| window(it, 3600), &[]),
    (
        |it| window(it, 3601),
        &["limits[0].window: is 3601 s, longer than this version supports"],
    ),
    (|it| it.limits[0].kind = pb::LimitKind::Fixed as i32, &[]),
    (
        |it| it.limits[0].kind = 9,
        &["limits[0].kind: the value 9 is not known to this version"],
    ),
    (
        |it| it.limits[0].per.push(0),
        &["limits[0].per[1]: is missing"],
    ),
    (
        |it| it.limits[0].per.push(9),
        &["limits[0].per[1]: the value 9 is not known"],
    ),
    (
        |it| it.limits[0].per.push(1),
        &["limits[0].per[1]: is here twice"],
    ),
    (|it| it.limits[0].per.clear(), &[]),
    (
        |it| {
            it.limits = (0..257)
                .map(|n| limit(&format!("l{n}"), Amount::Requests(1)))
                .collect()
        },
        &["limits: there are 257 limits, at most 256"],
    ),
];

#[test]
fn limits() {
    check(LIMITS);
}
