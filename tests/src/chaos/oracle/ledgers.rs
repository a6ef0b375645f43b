//! Budgets and slots.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Evidence, Use, Verdict};
use crate::chaos::limits::{Cell, Kind};

/// A node that nothing reaches keeps the slots that it has, and faults last less than this.
const KEPT_MS: u64 = 15_000;

/// All that was served so far never costs more than the highest amount so far; by month where the budget is one
/// of months, but for requests that may belong to either of two.
pub(super) fn budget(verdict: &mut Verdict, evidence: &Evidence, (cell, uses): (Cell, &[Use])) {
    let (mut sum, mut since) = (0, None);
    for one in uses {
        if cell.rule().kind == Kind::Month {
            let month = month(one.at_ms);
            if month != self::month(one.from_ms) {
                continue;
            }
            if since.replace(month).is_some_and(|before| before != month) {
                sum = 0;
            }
        }
        sum += one.units;
        let allowed = evidence.highest(cell.limit, 0, one.at_ms);
        verdict.check("budget", cell, one.at_ms, (sum, allowed));
    }
}

/// Year and month of UTC.
fn month(at_ms: u64) -> Option<(i16, i8)> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    let date = at.to_zoned_datetime(TimeZone::UTC).date();
    Some((date.year(), date.month()))
}

/// As a request arrives, those that certainly are open are no more than there are slots.
pub(super) fn slots(verdict: &mut Verdict, evidence: &Evidence, (cell, uses): (Cell, &[Use])) {
    let mut open: Vec<&Use> = Vec::new();
    for one in uses {
        open.retain(|other| other.until_ms > one.at_ms);
        open.push(one);
        let since = one.at_ms.saturating_sub(KEPT_MS);
        let allowed = evidence.highest(cell.limit, since, one.at_ms);
        let units = open.len() as u64;
        verdict.check("slots", cell, one.at_ms, (units, allowed));
    }
}
