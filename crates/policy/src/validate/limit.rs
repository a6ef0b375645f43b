//! Faults of limits.

use std::collections::HashMap;

use super::{check_known, check_name};
use crate::fault::Fault;
use crate::path::{field, item, shorten};
use crate::pb;

/// Most limits. Every one of them applies to every request.
const MAX_LIMITS: usize = 256;
/// Highest amount of a window: what the counters of nodes hold with room to spare.
const MAX_AMOUNT: u64 = 1_000_000_000_000;
/// Windows are longer than this, in seconds: shorter ones need another kind of lease.
const MIN_WINDOW: u32 = 10;
/// Longest window, in seconds: longer ones need a ledger.
const MAX_WINDOW: u32 = 3600;

pub(super) fn check(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    if policy.limits.len() > MAX_LIMITS {
        let problem = format!(
            "there are {} limits, at most {MAX_LIMITS} are supported",
            policy.limits.len()
        );
        let fault = Fault::new("limits", problem);
        faults.push(
            fault.hint("one limit with `per` counts each key, user, team, org or model by itself"),
        );
    }
    let mut taken: HashMap<&str, usize> = HashMap::new();
    for (index, it) in policy.limits.iter().enumerate() {
        let at = item("limits", index);
        let name = field(&at, "name");
        check_name(&it.name, &name, faults);
        if let Some(first) = taken.get(it.name.as_str()) {
            let first = field(&item("limits", *first), "name");
            let fault = Fault::new(
                name,
                format!("`{}` is a limit already, as {first}", shorten(&it.name)),
            );
            faults.push(fault.hint("rename or remove one of them").other(first));
        } else if !it.name.is_empty() {
            taken.insert(&it.name, index);
        }
        limit(it, &at, faults);
    }
}

fn limit(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    per(it, at, faults);
    amount(it, at, faults);
    window(it.window.as_ref(), &field(at, "window"), faults);
    // Not set means `fixed`; any number that is not known is refused.
    if it.kind != 0 {
        check_known(
            it.kind,
            &pb::LimitKind::Unspecified,
            &field(at, "kind"),
            faults,
        );
    }
}

fn per(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let at = field(at, "per");
    let mut seen = Vec::new();
    for (index, number) in it.per.iter().enumerate() {
        let at = item(&at, index);
        let Some(dimension) = check_known(*number, &pb::Dimension::Unspecified, &at, faults) else {
            continue;
        };
        if seen.contains(&dimension) {
            faults.push(Fault::new(at, "is here twice").hint("remove one of them"));
        } else {
            seen.push(dimension);
        }
    }
}

fn amount(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let (name, amount) = match it.amount {
        None => {
            let fault = Fault::new(at, "has no amount");
            return faults
                .push(fault.hint("write `requests` or `tokens`, such as `requests: 100`"));
        }
        Some(pb::limit::Amount::Requests(amount)) => ("requests", amount),
        Some(pb::limit::Amount::Tokens(amount)) => ("tokens", amount),
    };
    let fault = |problem: String| Fault::new(field(at, name), problem);
    if amount == 0 {
        let hint = "write at least 1; to shut somebody out, revoke the key";
        faults.push(fault("is zero, which would refuse every request".to_owned()).hint(hint));
    } else if amount > MAX_AMOUNT {
        faults.push(
            fault(format!("is more than {MAX_AMOUNT}"))
                .hint("leave the limit out where nothing is to be refused"),
        );
    }
}

fn window(it: Option<&pb::Window>, at: &str, faults: &mut Vec<Fault>) {
    let problem = match it.map(|it| it.seconds) {
        None | Some(0) => "is missing or zero".to_owned(),
        Some(seconds) if seconds <= MIN_WINDOW => {
            format!("is {seconds} s, which is too short to hold over many nodes")
        }
        Some(seconds) if seconds > MAX_WINDOW => {
            format!("is {seconds} s, longer than this version supports")
        }
        Some(_) => return,
    };
    let hint = "write a window of more than `10s` and at most `1h`, such as `30s`, `5m` or `1h`";
    faults.push(Fault::new(at, problem).hint(hint));
}
