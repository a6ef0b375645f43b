//! A gRPC status as text: its message, and what its `google.rpc` details add.

use std::fmt::Write;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::duration;
use crate::table::visible;

/// What went wrong, one line per detail.
pub(crate) fn explain(status: &Status) -> String {
    let details = status.get_error_details();
    let faults = details
        .bad_request()
        .map_or(0, |bad| bad.field_violations.len());
    let mut text = match (faults, status.message()) {
        (0, "") => format!("the call failed: {}", status.code().description()),
        (0, message) => visible(message),
        // The message of a bad request says in one line what the details say in several.
        (1, _) => "refused for one fault:".to_owned(),
        (several, _) => format!("refused for {several} faults:"),
    };
    append_details(&mut text, &details);
    if status.code() == Code::Aborted {
        text.push_str("\nread the current policy (`tollgate get`), merge, and apply again");
    }
    text
}

fn append_details(text: &mut String, details: &ErrorDetails) {
    let faults = details.bad_request().map(|bad| &bad.field_violations);
    for fault in faults.into_iter().flatten() {
        line(text, &fault.field, &fault.description);
    }
    let quotas = details.quota_failure().map(|quota| &quota.violations);
    for quota in quotas.into_iter().flatten() {
        line(text, &quota.subject, &quota.description);
    }
    let wait = details.retry_info().and_then(|retry| retry.retry_delay);
    if let Some(wait) = wait {
        let wait = duration::show(wait);
        // Writing to a String cannot fail.
        let _ = write!(text, "\ntry again in {wait}");
    }
}

fn line(text: &mut String, subject: &str, description: &str) {
    let (subject, description) = (visible(subject), visible(description));
    let _ = match subject.as_str() {
        "" => write!(text, "\n  {description}"),
        subject => write!(text, "\n  {subject}: {description}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_detail_has_its_line() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("pools.main", "no target; add one");
        details.add_bad_request_violation("limits[0].window", "too long; at most 1h");
        details.add_quota_failure_violation("per-key", "100 requests per 1m");
        details.set_retry_info(Some(Duration::from_secs(12)));
        let status =
            Status::with_error_details(Code::InvalidArgument, "the policy has 2 faults", details);
        let expected = "refused for 2 faults:\
            \n  pools.main: no target; add one\
            \n  limits[0].window: too long; at most 1h\
            \n  per-key: 100 requests per 1m\
            \ntry again in 12s";
        assert_eq!(explain(&status), expected);
    }
}
