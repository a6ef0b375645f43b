//! Log probabilities, rewritten to the shape that the canonical conversation uses.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::Json;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Report {
    chosen_candidates: Vec<Token>,
    top_candidates: Vec<Top>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Top {
    candidates: Vec<Token>,
}

/// The wire format leaves out what is zero or empty.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Token {
    token: String,
    log_probability: f64,
}

#[derive(Serialize)]
struct LogProbs {
    content: Vec<LogProb>,
}

#[derive(Serialize)]
struct LogProb {
    token: String,
    logprob: f64,
    bytes: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<Vec<LogProb>>,
}

/// Reads a report. What cannot be read is left out: log probabilities decorate an answer.
pub(super) fn read(raw: &RawValue) -> Option<Json> {
    let report: Report = serde_json::from_str(raw.get()).ok()?;
    if report.chosen_candidates.is_empty() {
        return None;
    }
    let mut tops = report.top_candidates.into_iter();
    let mut content = Vec::with_capacity(report.chosen_candidates.len());
    for chosen in report.chosen_candidates {
        let top = tops.next().unwrap_or_default().candidates;
        let top = top.into_iter().map(|token| logprob(token, None)).collect();
        content.push(logprob(chosen, Some(top)));
    }
    Json::of(&LogProbs { content }).ok()
}

fn logprob(token: Token, top_logprobs: Option<Vec<LogProb>>) -> LogProb {
    LogProb {
        token: token.token,
        logprob: token.log_probability,
        bytes: None,
        top_logprobs,
    }
}
