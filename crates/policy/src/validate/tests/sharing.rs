//! Faults of how limits are shared.

use super::{Case, check};
use crate::pb;

const USER: i32 = pb::Dimension::User as i32;

fn fair(policy: &mut pb::Policy, per: &[i32], fair: &[i32]) {
    policy.limits[0].per = per.to_vec();
    policy.limits[0].fair = fair.to_vec();
}

fn shares(policy: &mut pb::Policy, shares: &[(&str, u32)]) {
    policy.limits[0].per.clear();
    policy.limits[0].shares = shares
        .iter()
        .map(|(tier, it)| ((*tier).to_owned(), *it))
        .collect();
    for tier in ["premium", "free"] {
        policy.tiers.entry(tier.to_owned()).or_default();
    }
}

const SHARING: &[Case] = &[
    (|it| fair(it, &[], &[USER]), &[]),
    (
        |it| {
            fair(
                it,
                &[USER],
                &[
                    USER,
                    9,
                    pb::Dimension::Key as i32,
                    pb::Dimension::Key as i32,
                ],
            )
        },
        &[
            "limits[0].fair[0]: has a counter of its own by `per`, which nobody shares",
            "limits[0].fair[1]: the value 9 is not known",
            "limits[0].fair[3]: is here twice",
        ],
    ),
    (
        |it| {
            fair(it, &[], &[USER]);
            it.limits[0].window = Some(pb::Window {
                seconds: 3601,
                calendar: 0,
            });
        },
        &["limits[0].fair: is for windows of up to 1 h, and not for `concurrent`"],
    ),
    (|it| shares(it, &[("premium", 60), ("free", 40)]), &[]),
    (
        |it| {
            shares(it, &[("premum", 60), ("free", 0), ("premium", 41)]);
            it.limits[0].per = vec![pb::Dimension::Tier as i32];
        },
        &[
            "limits[0].shares: is a limit of which no tiers share a counter",
            "limits[0].shares.free: is zero",
            "limits[0].shares.premum: `premum` is not a tier",
            "limits[0].shares: adds up to 101 per cent",
        ],
    ),
    (
        |it| {
            shares(it, &[("premium", 60)]);
            fair(it, &[], &[USER]);
        },
        &["limits[0].shares: excludes `fair`"],
    ),
];

#[test]
fn sharing() {
    check(SHARING);
}
