//! Faults of what is promised to nodes for the time that they are cut off.

use crate::fault::Fault;
use crate::limits::Placed;
use crate::path::field;
use crate::pb;
use crate::table::build;

pub(super) fn check(placed: &Placed<'_>, faults: &mut Vec<Fault>) {
    let it = placed.limit;
    let percent = field(&placed.at, "promised_percent");
    if it.on_unreachable() != pb::UnreachableMode::Shares {
        if it.promised_percent.is_some() {
            let fault = Fault::new(percent, "has no meaning where nothing is promised");
            faults.push(fault.hint("write `on_unreachable: shares`, or leave it out"));
        }
        return;
    }
    if it
        .promised_percent
        .is_some_and(|it| !(1..=100).contains(&it))
    {
        let fault = Fault::new(percent, "is not a number from 1 to 100");
        faults.push(fault.hint("write how much of each window nodes are promised, such as `30`"));
    }
    let at = field(&placed.at, "on_unreachable");
    // One that has no window where it needs one is told so elsewhere.
    let unit = it.amount.as_ref().map(|amount| build::amount(amount).0);
    let kind = unit.and_then(|unit| build::counts(it, unit));
    let problem = if it.mode() == pb::LimitMode::Shadow {
        "`shares` has no meaning in shadow mode"
    } else if kind.is_some_and(|kind| !kind.has_marks()) {
        "`shares` is for fixed windows of more than 10 s, up to 1 h"
    } else if !it.fair.is_empty() || !it.shares.is_empty() {
        "`shares` is for limits that nobody shares by `fair` or `shares`"
    } else {
        return;
    };
    faults.push(Fault::new(at, problem).hint("write `closed` or `open`, or leave it out"));
}

/// Ceilings slide.
pub(super) fn ceilings(it: &pb::Ceilings, at: &str, faults: &mut Vec<Fault>) {
    if it.on_unreachable() == pb::UnreachableMode::Shares {
        let fault = Fault::new(field(at, "on_unreachable"), "`shares` is for limits only");
        faults.push(fault.hint("write `closed` or `open`, or leave it out"));
    }
}
