//! Faults of how limits are shared.

use super::check_known;
use crate::fault::Fault;
use crate::limits::Placed;
use crate::path::{entry, field, item, shorten};
use crate::table::build;
use crate::{nearest, pb};

pub(super) fn check(policy: &pb::Policy, placed: &Placed<'_>, faults: &mut Vec<Fault>) {
    let it = placed.limit;
    let (fair, shares) = (field(&placed.at, "fair"), field(&placed.at, "shares"));
    let at = match (it.fair.is_empty(), it.shares.is_empty()) {
        (true, true) => return,
        (false, true) => &fair,
        (true, false) => &shares,
        (false, false) => {
            let fault = Fault::new(&shares, "excludes `fair`").other(fair);
            return faults.push(fault.hint("write only one of them"));
        }
    };
    // One that has no window where it needs one is told so elsewhere.
    let unit = it.amount.as_ref().map(|amount| build::amount(amount).0);
    if unit
        .and_then(|unit| build::counts(it, unit))
        .is_some_and(|kind| kind.is_ledger())
    {
        let fault = Fault::new(at, "is for windows of up to 1 h, and not for `concurrent`");
        faults.push(fault.hint("leave it out, or write a shorter window beside the long one"));
    }
    self::fair(it, &fair, faults);
    self::shares(policy, placed, &shares, faults);
}

fn fair(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let mut seen = Vec::new();
    for (index, number) in it.fair.iter().enumerate() {
        let at = item(at, index);
        let Some(dimension) = check_known(*number, &pb::Dimension::Unspecified, &at, faults) else {
            continue;
        };
        if it.per.contains(number) {
            let fault = Fault::new(at, "has a counter of its own by `per`, which nobody shares");
            faults.push(
                fault.hint(
                    "write who shares a counter, such as `fair: [user]` beside `per: [team]`",
                ),
            );
        } else if seen.contains(&dimension) {
            faults.push(Fault::new(at, "is here twice").hint("remove one of them"));
        } else {
            seen.push(dimension);
        }
    }
}

fn shares(policy: &pb::Policy, placed: &Placed<'_>, at: &str, faults: &mut Vec<Fault>) {
    let it = placed.limit;
    if it.shares.is_empty() {
        return;
    }
    if placed.tier.is_some() || it.per.contains(&(pb::Dimension::Tier as i32)) {
        let fault = Fault::new(at, "is a limit of which no tiers share a counter");
        faults.push(
            fault.hint("leave it out, or write it at a limit for all, without `per: [tier]`"),
        );
    }
    let mut sum = 0u64;
    for (tier, percent) in build::sorted(&it.shares) {
        let at = entry(at, tier);
        sum += u64::from(*percent);
        if !policy.tiers.contains_key(tier) {
            let problem = format!("`{}` is not a tier", shorten(tier));
            let hint = nearest::hint(tier, policy.tiers.keys().map(String::as_str));
            faults.push(Fault::new(&at, problem).maybe_hint(hint));
        }
        if *percent == 0 {
            let hint =
                "leave it out: tiers without a share have what is left over, and what is lent";
            faults.push(Fault::new(&at, "is zero").hint(hint));
        }
    }
    if sum > 100 {
        let fault = Fault::new(at, format!("adds up to {sum} per cent"));
        faults.push(fault.hint("write at most 100 in all"));
    }
}
