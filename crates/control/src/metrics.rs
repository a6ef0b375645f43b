//! The names of all metrics of the control plane, and what they mean.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tollgate_quota::owner::Books;

const POLICY_REVISION: &str = "tollgate_control_policy_revision";
const POLICY_APPLIES: &str = "tollgate_control_policy_applies_total";
const POLICY_NACKS: &str = "tollgate_control_policy_nacks_total";
const NODES: &str = "tollgate_control_nodes";
const KEY_LOOKUPS: &str = "tollgate_control_key_lookups_total";
const QUOTA_MESSAGES: &str = "tollgate_control_quota_messages_total";
const QUOTA_WRITES: &str = "tollgate_control_quota_writes_total";
const QUOTA_WRITE_SECONDS: &str = "tollgate_control_quota_write_seconds";
const QUOTA_EPOCH: &str = "tollgate_control_quota_epoch";
const QUOTA_SHARDS: &str = "tollgate_control_quota_shards";
const QUOTA_FROZEN: &str = "tollgate_control_quota_frozen";
const QUOTA_DROPPED: &str = "tollgate_control_quota_answers_dropped_total";

const LEDGER_UNITS: &str = "tollgate_control_ledger_units";
const LEDGER_IMBALANCE: &str = "tollgate_control_ledger_imbalance";

/// Describes every metric to the installed recorder. Call it once, after installing one.
pub fn describe() {
    describe_gauge!(POLICY_REVISION, "Policy revision that is current here.");
    describe_counter!(POLICY_APPLIES, "Policies applied, by outcome.");
    describe_counter!(POLICY_NACKS, "Policy revisions that nodes refused.");
    describe_gauge!(NODES, "Nodes whose configuration stream is open.");
    describe_counter!(KEY_LOOKUPS, "Keys that nodes asked for, by what was found.");
    describe_counter!(QUOTA_MESSAGES, "Messages of nodes about quota.");
    describe_counter!(QUOTA_WRITES, "Guarded writes of quota records, by outcome.");
    describe_histogram!(
        QUOTA_WRITE_SECONDS,
        Unit::Seconds,
        "Time that guarded writes took."
    );
    describe_gauge!(
        QUOTA_EPOCH,
        "Latest epoch in which quota is handed out here. 0: it is not."
    );
    describe_gauge!(
        QUOTA_SHARDS,
        "Shards of counters, of 256 over all replicas, whose quota is handed out here."
    );
    describe_gauge!(
        QUOTA_FROZEN,
        "Whether nothing is handed out since the store was restored from an older copy."
    );
    describe_gauge!(
        LEDGER_UNITS,
        "Units of limits kept by rows, by limit and what has become of them."
    );
    describe_gauge!(
        LEDGER_IMBALANCE,
        "Units lost or invented: settled + outstanding + suspense + free less limit + debt. Always 0."
    );
    describe_counter!(
        QUOTA_DROPPED,
        "Answers dropped because a node's stream was full."
    );
}

/// The books of a limit over all its counters, and by how much they do not balance.
pub(crate) fn ledger(limit: &str, books: &Books, imbalance: u64) {
    for (state, units) in [
        ("settled", books.settled),
        ("outstanding", books.outstanding),
        ("suspense", books.suspense),
        ("free", books.free),
        ("debt", books.debt),
    ] {
        gauge!(LEDGER_UNITS, "limit" => limit.to_owned(), "state" => state).set(float(units));
    }
    gauge!(LEDGER_IMBALANCE, "limit" => limit.to_owned()).set(float(imbalance));
}

pub(crate) fn policy_revision(revision: u64) {
    gauge!(POLICY_REVISION).set(float(revision));
}

pub(crate) fn policy_applied(outcome: &'static str) {
    counter!(POLICY_APPLIES, "outcome" => outcome).increment(1);
}

pub(crate) fn policy_nacked() {
    counter!(POLICY_NACKS).increment(1);
}

pub(crate) fn nodes(count: usize) {
    gauge!(NODES).set(float(count as u64));
}

pub(crate) fn key_lookup(found: bool) {
    let found = if found { "valid" } else { "none" };
    counter!(KEY_LOOKUPS, "found" => found).increment(1);
}

pub(crate) fn quota_message() {
    counter!(QUOTA_MESSAGES).increment(1);
}

pub(crate) fn quota_write(outcome: &'static str, seconds: f64) {
    counter!(QUOTA_WRITES, "outcome" => outcome).increment(1);
    histogram!(QUOTA_WRITE_SECONDS).record(seconds);
}

pub(crate) fn quota_epoch(epoch: u64) {
    gauge!(QUOTA_EPOCH).set(float(epoch));
}

pub(crate) fn quota_shards(count: usize) {
    gauge!(QUOTA_SHARDS).set(float(count as u64));
}

pub(crate) fn quota_frozen(frozen: bool) {
    gauge!(QUOTA_FROZEN).set(f64::from(u8::from(frozen)));
}

pub(crate) fn quota_answer_dropped() {
    counter!(QUOTA_DROPPED).increment(1);
}

/// Gauges are floating point; above 2^53 the last digits are lost, which no reader will miss.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge need not be exact above 2^53"
)]
fn float(value: u64) -> f64 {
    value as f64
}
