//! What copies of requests are compared by. The binary's report is made of these.

use std::sync::Arc;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use tollgate_provider::chat::FinishReason;

use crate::meter::Witnessed;

const COPIES: &str = "tollgate_shadow_copies_total";
const COMPARISONS: &str = "tollgate_shadow_comparisons_total";
const ENDINGS: &str = "tollgate_shadow_endings_total";
const FIRST_CONTENT: &str = "tollgate_shadow_first_content_seconds";
const LATENCY: &str = "tollgate_shadow_request_seconds";
const OUTPUT: &str = "tollgate_shadow_output_tokens_total";
const COST: &str = "tollgate_shadow_cost_nano_usd_total";
const TEXT: &str = "tollgate_shadow_text_bytes_total";

pub(super) fn describe() {
    describe_counter!(
        COPIES,
        "Copies of requests by model: sent, or not made since there were too_many, no_memory, or a limit had no room (limited)"
    );
    describe_counter!(
        COMPARISONS,
        "Copies that were compared, by model, the deployment that they went to, and text: same, different, or none where one of the two had no whole answer"
    );
    describe_counter!(
        ENDINGS,
        "How compared requests and their copies ended, by side, status and finish reason"
    );
    describe_histogram!(
        FIRST_CONTENT,
        Unit::Seconds,
        "From the beginning of compared requests and their copies to the first content of their streams, by side"
    );
    describe_histogram!(
        LATENCY,
        Unit::Seconds,
        "From the beginning of compared requests and their copies to their end, by side"
    );
    describe_counter!(
        OUTPUT,
        "Output tokens of compared requests and their copies, by side"
    );
    describe_counter!(
        COST,
        "Cost of compared requests and their copies in billionths of a US dollar, where both are known, by side"
    );
    describe_counter!(
        TEXT,
        "Bytes of the texts of compared requests and their copies, where both were answered, by side"
    );
}

/// Records what became of a copy of a request for a model.
pub(crate) fn copies(model: &Arc<str>, what: &'static str) {
    counter!(COPIES, "model" => Arc::clone(model), "what" => what).increment(1);
}

/// Records a request for a model beside its copy.
pub(crate) fn compared(model: &Arc<str>, original: &Witnessed, copy: &Witnessed) {
    let deployment = copy.deployment.as_ref();
    let deployment = deployment.map_or_else(|| Arc::from(""), |it| Arc::clone(&it.name));
    let both_answered = original.ending == "OK" && copy.ending == "OK";
    let text = match both_answered {
        false => "none",
        true if original.text == copy.text => "same",
        true => "different",
    };
    let costs = original.cost.zip(copy.cost);
    for (side, it, cost) in [
        ("request", original, costs.map(|it| it.0)),
        ("copy", copy, costs.map(|it| it.1)),
    ] {
        let labels = [
            ("model", Arc::clone(model)),
            ("deployment", Arc::clone(&deployment)),
            ("side", Arc::from(side)),
        ];
        ended(&labels, it);
        let output = it.usage.map_or(0, |usage| usage.output_total);
        counter!(OUTPUT, &labels).increment(output);
        counter!(COST, &labels).increment(cost.unwrap_or_default());
        if both_answered {
            counter!(TEXT, &labels).increment(it.text.1);
        }
        histogram!(LATENCY, &labels).record(it.latency);
        if let Some(first) = it.first_content {
            histogram!(FIRST_CONTENT, &labels).record(first);
        }
    }
    counter!(COMPARISONS, "model" => Arc::clone(model), "deployment" => deployment, "text" => text)
        .increment(1);
}

fn ended(labels: &[(&'static str, Arc<str>); 3], it: &Witnessed) {
    let finish = it.finish.map_or("", FinishReason::as_str);
    let [model, deployment, side] = labels.clone();
    let labels = [
        model,
        deployment,
        side,
        ("status", Arc::from(it.ending)),
        ("finish", Arc::from(finish)),
    ];
    counter!(ENDINGS, &labels).increment(1);
}
