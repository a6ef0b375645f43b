//! Names of the node's metrics, and the functions that record them.

pub(crate) mod shadow;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::LocalKey;
use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use tollgate_policy::table::{Deployment, Model};
use tollgate_provider::chat::{Usage, UsageSource};

use crate::meter::{Attempt, outcome_name};

const REQUESTS: &str = "tollgate_requests_total";
const TOKENS: &str = "tollgate_tokens_total";
const COST: &str = "tollgate_cost_nano_usd_total";
const UNPRICED: &str = "tollgate_unpriced_requests_total";
const LATENCY: &str = "tollgate_request_seconds";
const FIRST_CONTENT: &str = "tollgate_first_content_seconds";
const REFUSALS: &str = "tollgate_limit_refusals_total";
const SHADOW_REFUSALS: &str = "tollgate_limit_shadow_refusals_total";
const UNBOUNDED: &str = "tollgate_limit_unbounded_admissions_total";
const STOPPED: &str = "tollgate_limit_stopped_streams_total";
const WAITS: &str = "tollgate_limit_waits_total";
const PASSED_OVER: &str = "tollgate_deployments_passed_over_total";
const LEFT_OUT: &str = "tollgate_deployments_left_out_total";
const VARIANT_LATENCY: &str = "tollgate_variant_request_seconds";
const VARIANT_COST: &str = "tollgate_variant_cost_nano_usd_total";
const SUSPECTED: &str = "tollgate_suspicions_total";
const CONTINUED: &str = "tollgate_continued_streams_total";
const ATTEMPTS: &str = "tollgate_attempts_total";
const ATTEMPT_LATENCY: &str = "tollgate_attempt_seconds";
const TOKEN_COUNTS: &str = "tollgate_token_counts_total";
const IN_FLIGHT: &str = "tollgate_requests_in_flight";
const SHED: &str = "tollgate_requests_shed_total";
const PLACES: &str = "tollgate_request_places";
const POLICY_REVISION: &str = "tollgate_policy_revision";
const POLICY_REFUSED: &str = "tollgate_policy_refused_total";
const CONTROL_CONNECTED: &str = "tollgate_control_connected";
const CONNECTIONS: &str = "tollgate_connections";

const JOURNAL_FAILURES: &str = "tollgate_journal_failures_total";

/// Tells the recorder what the metrics mean. To be called once, after the recorder is installed.
pub fn describe() {
    describe_control();
    describe_variants();
    shadow::describe();
    describe_counter!(
        REQUESTS,
        "Requests that have ended, by model, edge and status"
    );
    describe_counter!(TOKENS, "Tokens used, by model and direction");
    describe_counter!(TOKEN_COUNTS, "Counts made for callers, by model and source");
    describe_counter!(
        COST,
        "Cost of requests in billionths of a US dollar, where the price is known"
    );
    describe_counter!(
        UNPRICED,
        "Requests that a deployment answered whose price is not known, by model and deployment"
    );
    describe_histogram!(
        LATENCY,
        Unit::Seconds,
        "From a request's arrival to its end"
    );
    describe_histogram!(
        FIRST_CONTENT,
        Unit::Seconds,
        "From a request's arrival to the first content of its stream"
    );
    describe_counter!(REFUSALS, "Requests refused, by the limit that refused them");
    describe_counter!(
        SHADOW_REFUSALS,
        "Requests that a limit in shadow mode would have refused, by limit"
    );
    describe_counter!(
        UNBOUNDED,
        "Admissions that a limit did not bound because its owner could not be asked, by limit: 0 unless something is wrong"
    );
    describe_counter!(
        STOPPED,
        "Streams that were ended because a limit had no room for more of the answer, by limit"
    );
    describe_counter!(
        WAITS,
        "Requests that began to wait for a limit to have room, by limit"
    );
    describe_attempts();
    describe_counter!(
        JOURNAL_FAILURES,
        "Writes of the journal that failed: what needs them waits"
    );
    describe_gauge!(IN_FLIGHT, "Requests being worked on");
    describe_gauge!(
        PLACES,
        "Requests that may be worked on at once: fewer while the node's processors do not keep up"
    );
    describe_counter!(
        SHED,
        "Requests refused because the node had no place for them, by rank, or no memory for their bodies: 0 unless it is overloaded"
    );
    describe_gauge!(CONNECTIONS, "Connections open to callers");
}

fn describe_control() {
    describe_gauge!(POLICY_REVISION, "Policy revision that the node runs");
    describe_counter!(POLICY_REFUSED, "Policy revisions that the node refused");
    describe_gauge!(
        CONTROL_CONNECTED,
        "Whether a stream to the control plane is open, by stream"
    );
}

fn describe_variants() {
    describe_histogram!(
        VARIANT_LATENCY,
        Unit::Seconds,
        "Time of requests whose route has a variant, by status"
    );
    describe_counter!(
        VARIANT_COST,
        "Cost of requests whose route has a variant, in billionths of a US dollar"
    );
}

fn describe_attempts() {
    describe_counter!(
        PASSED_OVER,
        "Times that a deployment was passed over for want of room, by deployment and ceiling"
    );
    describe_counter!(
        LEFT_OUT,
        "Times that a deployment was taken out of use by what became of requests, or by its provider's word"
    );
    describe_counter!(
        SUSPECTED,
        "Times that a deployment or provider was doubted because another node leaves it out"
    );
    describe_counter!(ATTEMPTS, "Attempts at deployments, by outcome");
    describe_counter!(
        CONTINUED,
        "Streams that broke off after their callers had seen some of them and were to be gone on with elsewhere, by model and the deployment that broke off"
    );
    describe_histogram!(
        ATTEMPT_LATENCY,
        Unit::Seconds,
        "From an attempt's beginning to its answer or first content"
    );
}

/// Labels of a request that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) edge: &'static str,
    pub(crate) model: Option<&'a Arc<Model>>,
    /// What the policy calls requests of this kind.
    pub(crate) variant: Option<&'a Arc<str>>,
    pub(crate) deployment: Option<&'a Arc<Deployment>>,
    pub(crate) ending: &'static str,
}

/// What a request that has ended took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Option<u64>,
    pub(crate) latency: Duration,
    pub(crate) first_content: Option<Duration>,
}

/// The metrics of requests with the same labels. To find them by their labels takes longer than to record in
/// them, so each thread remembers those it has used.
struct Series {
    requests: Counter,
    latency: Histogram,
    first_content: Histogram,
    /// Present for requests that a deployment answered.
    work: Option<Work>,
    /// Keep the addresses that they are remembered by from being used for others.
    _model: Option<Arc<Model>>,
    _deployment: Option<Arc<Deployment>>,
}

struct Work {
    input: Counter,
    output: Counter,
    cost: Counter,
    unpriced: Counter,
}

/// Model, deployment (by their addresses), edge and status.
type Labels = (usize, usize, &'static str, &'static str);

/// Most label sets that a thread remembers; those of old policies go when there are more.
const MOST_SERIES: usize = 4096;

thread_local! {
    static SERIES: RefCell<HashMap<Labels, Series>> = RefCell::default();
    static OUTCOMES: RefCell<HashMap<(usize, &'static str), Attempts>> = RefCell::default();
}

impl Series {
    fn new(labels: &Request<'_>) -> Self {
        // Only names from the policy become labels: a caller cannot invent series.
        let model = labels
            .model
            .map_or_else(|| Arc::from(""), |model| Arc::clone(&model.name));
        let requests = counter!(REQUESTS, "model" => Arc::clone(&model), "edge" => labels.edge, "status" => labels.ending);
        let latency = histogram!(LATENCY, "model" => Arc::clone(&model), "edge" => labels.edge);
        let first_content = histogram!(FIRST_CONTENT, "model" => Arc::clone(&model));
        let work = labels.deployment.map(|it| Work::new(&model, &it.name));
        Self {
            requests,
            latency,
            first_content,
            work,
            _model: labels.model.cloned(),
            _deployment: labels.deployment.cloned(),
        }
    }

    fn record(&self, took: &Took) {
        self.requests.increment(1);
        self.latency.record(took.latency);
        if let Some(first) = took.first_content {
            self.first_content.record(first);
        }
        if let Some((work, usage)) = self.work.as_ref().zip(took.usage) {
            work.record(&usage, took.cost);
        }
    }
}

impl Work {
    fn new(model: &Arc<str>, deployment: &Arc<str>) -> Self {
        let named = |name: &'static str| counter!(name, "model" => Arc::clone(model), "deployment" => Arc::clone(deployment));
        let tokens = |direction: &'static str| counter!(TOKENS, "model" => Arc::clone(model), "deployment" => Arc::clone(deployment), "direction" => direction);
        Self {
            input: tokens("input"),
            output: tokens("output"),
            cost: named(COST),
            unpriced: named(UNPRICED),
        }
    }

    fn record(&self, usage: &Usage, cost: Option<u64>) {
        self.input.increment(usage.input_total);
        self.output.increment(usage.output_total);
        match cost {
            Some(cost) => self.cost.increment(cost),
            None => self.unpriced.increment(1),
        }
    }
}

/// A write of the journal failed.
pub(crate) fn journal_failed() {
    counter!(JOURNAL_FAILURES).increment(1);
}

/// Records a request that has ended.
pub(crate) fn request(labels: &Request<'_>, took: &Took) {
    if let (Some(model), Some(variant)) = (labels.model, labels.variant) {
        compared(&model.name, variant, (labels.ending, took));
    }
    let model = labels.model.map_or(0, |model| Arc::as_ptr(model).addr());
    let deployment = labels
        .deployment
        .map_or(0, |deployment| Arc::as_ptr(deployment).addr());
    let key = (model, deployment, labels.edge, labels.ending);
    remembered(
        &SERIES,
        key,
        || Series::new(labels),
        |series| series.record(took),
    );
}

/// Records what an attempt used whose answer broke off and is gone on with. The request is recorded when it ends.
pub(crate) fn carried(
    model: &Arc<Model>,
    deployment: &Arc<Deployment>,
    (usage, cost): (&Usage, Option<u64>),
) {
    counter!(CONTINUED, "model" => Arc::clone(&model.name), "deployment" => Arc::clone(&deployment.name))
        .increment(1);
    Work::new(&model.name, &deployment.name).record(usage, cost);
}

/// Records a request whose route has a name in comparisons.
fn compared(model: &Arc<str>, variant: &Arc<str>, (ending, took): (&'static str, &Took)) {
    let (model, variant) = (Arc::clone(model), Arc::clone(variant));
    if let Some(cost) = took.cost {
        let labels = [
            ("model", Arc::clone(&model)),
            ("variant", Arc::clone(&variant)),
        ];
        counter!(VARIANT_COST, &labels).increment(cost);
    }
    histogram!(VARIANT_LATENCY, "model" => model, "variant" => variant, "status" => ending)
        .record(took.latency);
}

/// The metrics of attempts at one deployment with the same outcome, remembered like [`Series`].
struct Attempts {
    count: Counter,
    latency: Histogram,
    _deployment: Arc<Deployment>,
}

/// Records an attempt that has ended.
pub(crate) fn attempt(attempt: &Attempt) {
    let outcome = outcome_name(attempt.outcome);
    let key = (Arc::as_ptr(&attempt.deployment).addr(), outcome);
    let new = || {
        let name = &attempt.deployment.name;
        Attempts {
            count: counter!(ATTEMPTS, "deployment" => Arc::clone(name), "outcome" => outcome),
            latency: histogram!(ATTEMPT_LATENCY, "deployment" => Arc::clone(name)),
            _deployment: Arc::clone(&attempt.deployment),
        }
    };
    remembered(&OUTCOMES, key, new, |attempts| {
        attempts.count.increment(1);
        attempts.latency.record(attempt.duration);
    });
}

/// Records in what the thread remembers by `key`, or makes anew.
fn remembered<K: Eq + std::hash::Hash, V>(
    memory: &'static LocalKey<RefCell<HashMap<K, V>>>,
    key: K,
    new: impl Fn() -> V,
    record: impl Fn(&V),
) {
    let recorded = memory.try_with(|memory| {
        // Never borrowed twice: recording calls nothing of this crate.
        let mut memory = memory.borrow_mut();
        if memory.len() >= MOST_SERIES {
            memory.clear();
        }
        record(memory.entry(key).or_insert_with(&new));
    });
    if recorded.is_err() {
        // The thread is ending and has forgotten.
        record(&new());
    }
}

/// A limit in shadow mode would have refused a request.
pub(crate) fn would_refuse(limit: &Arc<str>) {
    counter!(SHADOW_REFUSALS, "limit" => Arc::clone(limit)).increment(1);
}

/// A limit let a request or an attempt through although its owner could not be asked.
pub(crate) fn unbounded(limit: &Arc<str>) {
    counter!(UNBOUNDED, "limit" => Arc::clone(limit)).increment(1);
}

/// A limit ended a stream that outgrew what was held for it.
pub(crate) fn stopped(limit: &Arc<str>) {
    counter!(STOPPED, "limit" => Arc::clone(limit)).increment(1);
}

/// A request begins to wait for a limit to have room.
pub(crate) fn waits(limit: &Arc<str>) {
    counter!(WAITS, "limit" => Arc::clone(limit)).increment(1);
}

/// A deployment had no room under a ceiling.
pub(crate) fn passed_over(deployment: &Arc<str>, ceiling: &Arc<str>) {
    counter!(PASSED_OVER, "deployment" => Arc::clone(deployment), "ceiling" => Arc::clone(ceiling))
        .increment(1);
}

/// A deployment was taken out of use.
pub(crate) fn left_out(deployment: &Arc<str>) {
    counter!(LEFT_OUT, "deployment" => Arc::clone(deployment)).increment(1);
}

/// Another node leaves a deployment or a provider out.
pub(crate) fn suspected(name: &str) {
    counter!(SUSPECTED, "name" => name.to_owned()).increment(1);
}

/// Records a refusal by a limit.
pub(crate) fn refused(limit: &Arc<str>) {
    counter!(REFUSALS, "limit" => Arc::clone(limit)).increment(1);
}

/// Records the requests being worked on.
pub(crate) fn in_flight(requests: usize) {
    gauge!(IN_FLIGHT).set(requests as f64);
}

/// A request was refused because there was no place for it, or no memory for its body.
pub(crate) fn shed(what: &'static str) {
    counter!(SHED, "what" => what).increment(1);
}

/// Records how many requests may be worked on at once.
pub(crate) fn places(places: usize) {
    gauge!(PLACES).set(places as f64);
}

/// Records the connections open to callers.
pub(crate) fn connections(open: usize) {
    gauge!(CONNECTIONS).set(open as f64);
}

/// Records the policy revision that is run.
pub(crate) fn policy_revision(revision: u64) {
    gauge!(POLICY_REVISION).set(revision as f64);
}

/// Records that a policy revision was refused.
pub(crate) fn policy_refused() {
    counter!(POLICY_REFUSED).increment(1);
}

/// Records that a conversation was counted for a caller.
pub(crate) fn counted(model: &Arc<str>, source: UsageSource) {
    counter!(TOKEN_COUNTS, "model" => Arc::clone(model), "source" => source.as_str()).increment(1);
}

/// Records whether a stream to the control plane is open.
pub(crate) fn connected(stream: &'static str, open: bool) {
    gauge!(CONTROL_CONNECTED, "stream" => stream).set(if open { 1.0 } else { 0.0 });
}
