//! Reading a provider's count of tokens: what the formats share.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{Json, Tier, Usage};

/// The longest report that is handed on as it was sent, bytes: many times what providers tell.
pub(crate) const LONGEST_REPORT: usize = 8 * 1024;

/// The deepest that such a report may nest: readers of other languages recurse.
const DEEPEST_REPORT: usize = 16;

/// The largest count believed: beyond it a number is a bug, not a bill.
const MOST: f64 = 2_147_483_648.0;

/// The report as it was sent, to be handed on beside what is made of it. None where it is no object, or larger than
/// any honest one.
pub(crate) fn report(raw: &RawValue) -> Option<Json> {
    is_report(raw).then(|| Json::from(raw)).and_then(bounded)
}

/// The latest report of a stream. Some streams bring one with every event: it costs a copy to where the one before
/// was, and is looked at when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Latest(String);

impl Latest {
    /// Takes the place of the one before, also where it is none.
    pub(crate) fn keep(&mut self, raw: &RawValue) {
        self.0.clear();
        if is_report(raw) {
            self.0.push_str(raw.get());
        }
    }

    /// Its text; empty where there is none.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The report, to be handed on.
    pub(crate) fn read(&self) -> Option<Json> {
        Json::parse(self.0.clone()).ok().and_then(bounded)
    }
}

fn is_report(raw: &RawValue) -> bool {
    raw.get().starts_with('{') && raw.get().len() <= LONGEST_REPORT
}

/// The report, unless it is larger than any honest one, or has a number that not every reader can hold, such as `1e999`.
pub(crate) fn bounded(report: Json) -> Option<Json> {
    let small = report.get().len() <= LONGEST_REPORT && report.depth() <= DEEPEST_REPORT;
    let readable = || serde_json::from_str::<Value>(report.get()).is_ok();
    (small && readable()).then_some(report)
}

/// A count, if it is a believable one: not negative, whole, at most 2^31.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number was just found to be whole and between 0 and 2^31"
)]
pub(crate) fn count(number: f64) -> Option<u64> {
    ((0.0..=MOST).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// A count that may be missing, which means none.
pub(crate) fn part(number: Option<f64>) -> Option<u64> {
    number.map_or(Some(0), count)
}

/// The class of processing that a provider names as the one that it used. Nothing for a name that says no price: what was
/// paid for in advance, and what is yet to come.
pub(crate) fn tier(name: &str) -> Option<Tier> {
    let name = name.strip_prefix("ON_DEMAND_").unwrap_or(name);
    Some(match name.to_ascii_lowercase().as_str() {
        "standard" | "default" | "on_demand" => Tier::Standard,
        "flex" => Tier::Flex,
        "priority" => Tier::Priority,
        "fast" => Tier::Fast,
        "batch" => Tier::Batch,
        _ => return None,
    })
}

/// The usage, unless a part of it is larger than its whole. A report that cannot be right is better
/// none, so that the gateway counts for itself, than one that would release a reservation.
pub(crate) fn believable(usage: Usage) -> Option<Usage> {
    let predicted = usage
        .accepted_prediction
        .saturating_add(usage.rejected_prediction);
    let whole = usage.cache_read.saturating_add(usage.cache_write) <= usage.input_total
        && usage.cache_write_1h <= usage.cache_write
        && usage.input_audio.saturating_add(usage.input_image) <= usage.input_total
        && usage.reasoning <= usage.output_total
        && usage.output_audio.saturating_add(usage.output_image) <= usage.output_total
        && predicted <= usage.output_total;
    whole.then_some(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_report_that_every_reader_can_read_is_handed_on() {
        let deep = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let long = |bytes| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes));
        for (report, expected) in [
            (r#"{"tokens":3,"share":1e300}"#.to_owned(), true),
            (deep(DEEPEST_REPORT - 1), true),
            (deep(DEEPEST_REPORT), false),
            (long(LONGEST_REPORT - 8), true),
            (long(LONGEST_REPORT), false),
            (r#"{"tokens":1e999}"#.to_owned(), false),
            ("[3]".to_owned(), false),
        ] {
            let raw: Box<RawValue> = RawValue::from_string(report.clone()).unwrap();
            let handed_on = super::report(&raw).is_some();
            let mut latest = Latest::default();
            latest.keep(&raw);
            let told = latest.read().is_some();
            assert_eq!((handed_on, told), (expected, expected), "{report}");
        }
    }
}
