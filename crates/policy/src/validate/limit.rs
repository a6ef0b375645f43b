//! Faults of limits.

use std::collections::{BTreeSet, HashMap};

use tollgate_quota::Zone;

use super::routing::all_pools_of;
use super::{Least, MAX_NAME, check_known, check_name, check_repeats, check_time, entries, price};
use super::{sharing, standing};
use crate::ceilings;
use crate::condition::Condition;
use crate::fault::Fault;
use crate::labels;
use crate::limits::{self, Placed};
use crate::path::{entry, field, item, shorten};
use crate::pb;
use crate::table::{Unit, build};

/// Most limits. Every one of them applies to every request.
const MAX_LIMITS: usize = 256;
/// Highest weights, in thousandths. Reservations do not know what comes from the cache, so it may not weigh more.
const MAX_CACHED_WEIGHT: u32 = 1000;
const MAX_OUTPUT_WEIGHT: u32 = 1_000_000;
/// Longest window that the calendar does not decide, in seconds.
const MAX_WINDOW: u32 = 366 * 86_400;
/// Longest window that slides, or of a bucket, in seconds.
const MAX_MOVING: u32 = 3600;
/// Highest weight of a tier.
const MAX_WEIGHT: u32 = 1000;

pub(super) fn check(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    count(policy.limits.len(), "limits", faults);
    for (at, _, it) in entries("tiers", &policy.tiers, faults) {
        count(it.limits.len(), &field(&at, "limits"), faults);
        worth(it, &at, faults);
    }
    explanations(policy.explanations, "explanations", faults);
    let all = limits::all(policy);
    let mut taken: HashMap<&str, String> = HashMap::new();
    for placed in &all {
        names(placed, &mut taken, faults);
        limit(placed.limit, &placed.at, faults);
        sharing::check(policy, placed, faults);
        if placed.limit.copies && placed.tier.is_some() {
            let problem = "has no meaning for a limit of a tier: copies of requests are nobody's";
            let fault = Fault::new(field(&placed.at, "copies"), problem);
            faults.push(fault.hint("write the limit under `limits`"));
        }
        standing::check(placed, faults);
    }
    let counts_money =
        |it: &&Placed<'_>| matches!(it.limit.amount, Some(pb::limit::Amount::CostUsd(_)));
    if let Some(placed) = all.iter().find(counts_money) {
        prices(policy, &placed.at, faults);
    }
    for (at, it) in ceilings::holders(policy) {
        unreachable(it.on_unreachable, &at, faults);
        standing::ceilings(it, &at, faults);
    }
    for it in ceilings::all(policy) {
        let hint = "write at least 1; to send nothing to it, take it out of its pools";
        units((it.unit, it.amount), hint, &it.at, faults);
    }
}

/// What a tier is worth to a node that cannot serve everybody.
fn worth(it: &pb::Tier, at: &str, faults: &mut Vec<Fault>) {
    if it.weight > MAX_WEIGHT {
        let problem = format!("{} is more than {MAX_WEIGHT}", it.weight);
        let fault = Fault::new(field(at, "weight"), problem);
        faults.push(fault.hint("weights are in proportion to each other: divide all of them"));
    }
    if it.priority != 0 {
        let at = field(at, "priority");
        check_known(it.priority, &pb::Priority::Unspecified, &at, faults);
    }
    explanations(it.explanations, &field(at, "explanations"), faults);
}

fn explanations(it: i32, at: &str, faults: &mut Vec<Fault>) {
    if it != 0 {
        check_known(it, &pb::ExplanationMode::Unspecified, at, faults);
    }
}

fn count(limits: usize, at: &str, faults: &mut Vec<Fault>) {
    if limits > MAX_LIMITS {
        let problem = format!("there are {limits} limits, at most {MAX_LIMITS} are supported");
        let fault = Fault::new(at, problem);
        faults.push(
            fault.hint("one limit with `per` counts each key, user, team, org or model by itself"),
        );
    }
}

/// Looks at the name of a limit. `taken` collects those of all limits with where they stand.
fn names<'a>(
    placed: &'a Placed<'_>,
    taken: &mut HashMap<&'a str, String>,
    faults: &mut Vec<Fault>,
) {
    let made_up = placed.limit.name.is_empty() && placed.tier.is_some();
    let at = if made_up {
        placed.at.clone()
    } else {
        field(&placed.at, "name")
    };
    if !made_up {
        check_name(&placed.name, &at, faults);
    } else if placed.name.len() > MAX_NAME {
        let problem = format!(
            "the name `{}` made for it is longer than {MAX_NAME} characters",
            shorten(&placed.name)
        );
        faults.push(Fault::new(&at, problem).hint("write a shorter `name`"));
    }
    if let Some(first) = taken.get(&*placed.name) {
        let problem = format!("`{}` is a limit already, as {first}", shorten(&placed.name));
        let hint = if made_up {
            "write a `name` of its own, or remove one of them"
        } else {
            "rename or remove one of them"
        };
        faults.push(Fault::new(at, problem).hint(hint).other(first.clone()));
    } else if !placed.name.is_empty() {
        taken.insert(&placed.name, at);
    }
}

fn limit(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    per(it, at, faults);
    per_labels(it, at, faults);
    amount(it, at, faults);
    window(it, at, faults);
    // Not set means `fixed`; any number that is not known is refused.
    if it.kind != 0 {
        check_known(
            it.kind,
            &pb::LimitKind::Unspecified,
            &field(at, "kind"),
            faults,
        );
    }
    if !it.r#match.is_empty()
        && let Err(wrong) = Condition::new(&it.r#match)
    {
        let fault = Fault::new(field(at, "match"), wrong.problem);
        faults.push(fault.maybe_hint(wrong.hint));
    }
    burst(it, &field(at, "burst"), faults);
    edge(it, at, faults);
    overrun(it, at, faults);
    if it.mode != 0 {
        let at = field(at, "mode");
        check_known(it.mode, &pb::LimitMode::Unspecified, &at, faults);
    }
}

/// What is held, and what becomes of streams that outgrow it.
fn overrun(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    if it.reserve != 0 {
        let at = field(at, "reserve");
        check_known(it.reserve, &pb::ReserveMode::Unspecified, &at, faults);
    }
    if it.on_overrun == 0 {
        return;
    }
    let at = field(at, "on_overrun");
    let mode = check_known(it.on_overrun, &pb::OverrunMode::Unspecified, &at, faults);
    let stops = mode == Some(pb::OverrunMode::Stop);
    if stops && it.mode() == pb::LimitMode::Shadow {
        let fault = Fault::new(at, "has no meaning in shadow mode");
        faults.push(fault.hint("a shadow stops nobody: leave it out"));
    } else if stops && it.reserve() != pb::ReserveMode::Expected {
        let fault = Fault::new(at, "has no meaning where the worst case is held");
        faults.push(fault.hint("write `reserve: expected`, or leave it out"));
    }
}

/// What becomes of requests at the edge of the limit.
fn edge(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    if it.on_exhausted != 0 {
        let at = field(at, "on_exhausted");
        check_known(
            it.on_exhausted,
            &pb::ExhaustedMode::Unspecified,
            &at,
            faults,
        );
    }
    let waits = it.on_exhausted() == pb::ExhaustedMode::Wait;
    let longest = field(at, "longest_wait");
    if waits && it.mode() == pb::LimitMode::Shadow {
        let fault = Fault::new(field(at, "on_exhausted"), "has no meaning in shadow mode");
        faults.push(fault.hint("a shadow makes nobody wait: leave it out"));
    } else if it.longest_wait.is_some() && !waits {
        let fault = Fault::new(&longest, "has no meaning where requests do not wait");
        faults.push(fault.hint("write `on_exhausted: wait`, or leave it out"));
    }
    check_time(it.longest_wait.as_ref(), Least::AboveZero, &longest, faults);
    guard(it, &field(at, "guard"), faults);
    unreachable(it.on_unreachable, at, faults);
}

fn guard(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let Some(guard) = &it.guard else { return };
    let fixed = matches!(it.kind(), pb::LimitKind::Unspecified | pb::LimitKind::Fixed);
    let seconds = it.window.map_or(0, |window| window.seconds);
    if !fixed || seconds == 0 || it.mode() == pb::LimitMode::Shadow {
        let fault = Fault::new(at, "has a meaning for fixed windows in seconds only");
        faults.push(fault.hint("leave it out, or write a window such as `1m`"));
    } else if build::duration(guard).is_some_and(|it| it.as_secs_f64() * 4.0 >= seconds.into()) {
        let fault = Fault::new(at, "is a quarter of the window or more");
        faults.push(
            fault.hint("write a time such as `500ms`: nothing is admitted so close to the edges"),
        );
    }
    check_time(it.guard.as_ref(), Least::AboveZero, at, faults);
}

fn unreachable(number: i32, at: &str, faults: &mut Vec<Fault>) {
    if number != 0 {
        let at = field(at, "on_unreachable");
        check_known(number, &pb::UnreachableMode::Unspecified, &at, faults);
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

fn per_labels(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let at = field(at, "per_labels");
    for (index, name) in it.per_labels.iter().enumerate() {
        if let Err(error) = labels::check_name(name) {
            faults.push(Fault::new(item(&at, index), error.to_string()));
        }
    }
    let names = it.per_labels.iter().map(String::as_str);
    check_repeats(names, |index| item(&at, index), faults);
}

fn amount(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let Some(amount) = &it.amount else {
        let fault = Fault::new(at, "has no amount");
        return faults.push(fault.hint(
            "write one of `requests`, `tokens`, `input_tokens`, `output_tokens`, `cost_usd` and `concurrent`, such as \
             `requests: 100`",
        ));
    };
    let (unit, units) = build::amount(amount);
    let of_unit = field(at, unit.as_str());
    if matches!(amount, pb::limit::Amount::CostUsd(usd) if usd.nanos < 0) {
        let hint = "write US dollars above zero, such as `cost_usd: \"2.50\"`";
        faults.push(Fault::new(of_unit, "is negative").hint(hint));
    } else {
        let hint = "write at least 1; to shut somebody out, revoke the key";
        self::units((unit, units), hint, &of_unit, faults);
    }
    if let Some(it) = &it.weights {
        weights(*it, unit, &field(at, "weights"), faults);
    }
}

/// Looks whether so many units make a limit. `hint` says what to write instead of none.
fn units((unit, units): (Unit, u64), hint: &str, at: &str, faults: &mut Vec<Fault>) {
    let most = unit.most();
    if units == 0 {
        let problem = "is zero, which would refuse every request";
        faults.push(Fault::new(at, problem).hint(hint));
    } else if units > most {
        let problem = format!("is more than {}", unit.figure(most));
        let hint = "leave the limit out where nothing is to be refused";
        faults.push(Fault::new(at, problem).hint(hint));
    }
}

fn weights(it: pb::TokenWeights, unit: Unit, at: &str, faults: &mut Vec<Fault>) {
    if unit != Unit::Tokens {
        let fault = Fault::new(at, format!("has no meaning for `{}`", unit.as_str()));
        return faults.push(fault.hint("only a limit on `tokens` weighs them: leave it out"));
    }
    for (name, weight, most) in [
        ("cached_input", it.cached_input, MAX_CACHED_WEIGHT),
        ("output", it.output, MAX_OUTPUT_WEIGHT),
    ] {
        if weight.is_some_and(|it| it.thousandths > most) {
            let problem = format!("is more than {}", most / 1000);
            let hint = "weights say how many input tokens a token counts as, such as `0.1` or `4`";
            faults.push(Fault::new(field(at, name), problem).hint(hint));
        }
    }
}

/// Looks whether every deployment that a request can reach has a price, where `limit` counts money. An unknown
/// cost would have to pass as none.
fn prices(policy: &pb::Policy, limit: &str, faults: &mut Vec<Fault>) {
    let routes = policy.models.values().flat_map(|it| &it.routes);
    let pools = routes.flat_map(all_pools_of);
    let targets = pools
        .filter_map(|it| policy.pools.get(it))
        .flat_map(|it| &it.targets);
    let reached: BTreeSet<&String> = targets.map(|it| &it.deployment).collect();
    for name in reached {
        let Some(it) = policy.deployments.get(name) else {
            continue;
        };
        if it.price.is_none() && !price::is_listed(policy, it) {
            let at = field(&entry("deployments", name), "price");
            let fault = Fault::new(at, format!("is missing, and {limit} counts money"));
            faults.push(fault.hint(price::UNKNOWN_HINT).other(limit));
        }
    }
}

/// The window and its time zone, as far as the amount has one.
fn window(limit: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    let unit = limit.amount.as_ref().map(|amount| build::amount(amount).0);
    let (zone, at) = (field(at, "timezone"), field(at, "window"));
    let calendar = limit.window.is_some_and(|window| window.calendar != 0);
    if !limit.timezone.is_empty() && !calendar {
        let fault = Fault::new(&zone, "has no meaning for this limit");
        let hint =
            "only a window of `1d`, `1w`, `1mo`, `1q` or `1y` begins at a midnight: leave it out";
        faults.push(fault.hint(hint));
    } else if !limit.timezone.is_empty() && Zone::named(&limit.timezone).is_none() {
        let problem = format!("`{}` is not a time zone", shorten(&limit.timezone));
        let hint = "write a name of the IANA database, such as `Europe/Berlin`, or `UTC`";
        faults.push(Fault::new(&zone, problem).hint(hint));
    }
    let moving = matches!(limit.kind(), pb::LimitKind::Sliding | pb::LimitKind::Bucket);
    let Some(window) = limit.window else {
        if unit == Some(Unit::Requests) || moving && unit != Some(Unit::Concurrent) {
            let fault = Fault::new(at, "is missing");
            faults.push(fault.hint("write a window such as `30s`, `5m`, `1h`, `1d` or `1mo`"));
        }
        return;
    };
    if unit == Some(Unit::Concurrent) {
        let fault = Fault::new(at, "has no meaning for `concurrent`");
        return faults.push(fault.hint("it counts what runs at once: leave the window out"));
    }
    length(window, moving, &at, faults);
}

fn length(window: pb::Window, moving: bool, at: &str, faults: &mut Vec<Fault>) {
    let hint = if moving {
        "write a window of `1s` to `1h`, such as `10s`, `5m` or `1h`"
    } else {
        "write a window such as `10s`, `5m`, `1h` or `6h`, or one of the calendar: `1d`, `1w`, `1mo`, `1q` or `1y`"
    };
    let problem = match (window.seconds, window.calendar) {
        (0, 0) => "is zero".to_owned(),
        (0, _) if moving => "is of the calendar, which only fixed windows follow".to_owned(),
        (0, calendar) => {
            check_known(calendar, &pb::CalendarPeriod::Unspecified, at, faults);
            return;
        }
        (_, 1..) => "is both a number of seconds and a stretch of the calendar".to_owned(),
        (seconds, _) if moving && seconds > MAX_MOVING => {
            format!("is {seconds} s, longer than 1 h")
        }
        (seconds, _) if seconds > MAX_WINDOW => format!("is {seconds} s, longer than 366 days"),
        (_, _) => return,
    };
    faults.push(Fault::new(at, problem).hint(hint));
}

fn burst(it: &pb::Limit, at: &str, faults: &mut Vec<Fault>) {
    if it.burst == 0 {
        return;
    }
    let unit = it.amount.as_ref().map(|amount| build::amount(amount).0);
    if it.kind() != pb::LimitKind::Bucket {
        let fault = Fault::new(at, "has a meaning for buckets only");
        faults.push(fault.hint("write `kind: bucket`, or leave it out"));
    } else if unit == Some(Unit::Cost) {
        let fault = Fault::new(at, "has no meaning for `cost_usd`");
        faults.push(fault.hint("leave it out: the bucket holds what a window brings in"));
    } else if it.burst > Unit::Requests.most() {
        let most = Unit::Requests.most();
        faults.push(Fault::new(at, format!("is more than {most}")));
    }
}
