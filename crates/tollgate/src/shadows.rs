//! How copies of requests fared beside the requests themselves, as a table for people.
//!
//! It is made of the process's metrics, so that a dashboard over many nodes can say the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::caller::dollars;
use crate::duration;
use crate::table::Table;

/// What the names of these metrics begin with.
const PREFIX: &str = "tollgate_shadow_";

/// One figure of the metrics.
#[derive(Debug)]
struct Sample<'a> {
    /// Its name without what all begin with.
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    value: f64,
}

/// The report, from metrics in Prometheus' text format.
pub(crate) fn report(metrics: &str) -> String {
    let samples: Vec<_> = metrics.lines().filter_map(Sample::parse).collect();
    if samples.is_empty() {
        return "no copies of requests were made: no route has a `shadow`, or nothing was asked\n"
            .to_owned();
    }
    format!("{}\n{}", made(&samples), compared(&samples))
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (key, value) = line.strip_prefix(PREFIX)?.rsplit_once(' ')?;
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        let labels = labels.strip_suffix('}')?.split(',');
        let label = |label: &'a str| {
            let (name, value) = label.split_once('=')?;
            Some((name, value.trim_matches('"')))
        };
        Some(Self {
            name,
            labels: labels.filter_map(label).collect(),
            value: value.parse().ok()?,
        })
    }

    fn label(&self, name: &str) -> &'a str {
        self.labels.get(name).copied().unwrap_or_default()
    }

    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name
            && labels
                .iter()
                .all(|(name, value)| self.label(name) == *value)
    }
}

fn sum(samples: &[Sample<'_>], name: &str, labels: &[(&str, &str)]) -> f64 {
    let of = samples.iter().filter(|it| it.is(name, labels));
    // Not `sum`, by which nothing would be -0.
    of.fold(0.0, |sum, it| sum + it.value)
}

/// What became of copies, by model.
fn made(samples: &[Sample<'_>]) -> String {
    let mut table = Table::new(["MODEL", "SENT", "TOO MANY", "NO MEMORY", "LIMITED"]);
    let name = "copies_total";
    let of = samples.iter().filter(|it| it.name == name);
    let mut models: Vec<_> = of.map(|it| it.label("model")).collect();
    models.sort_unstable();
    models.dedup();
    for model in models {
        let count = |what| {
            format!(
                "{:.0}",
                sum(samples, name, &[("model", model), ("what", what)])
            )
        };
        table.row([
            model.to_owned(),
            count("sent"),
            count("too_many"),
            count("no_memory"),
            count("limited"),
        ]);
    }
    table.render()
}

/// Requests beside their copies, by model and the deployment that copies went to.
fn compared(samples: &[Sample<'_>]) -> String {
    let mut table = Table::new([
        "MODEL",
        "COPIED TO",
        "WHO",
        "COMPARED",
        "ANSWERED",
        "SAME TEXT",
        "FIRST TOKEN P50",
        "P95",
        "TIME P50",
        "P95",
        "OUTPUT",
        "COST",
        "TEXT",
    ]);
    let of = samples.iter().filter(|it| it.name == "comparisons_total");
    let mut pairs: Vec<_> = of
        .map(|it| (it.label("model"), it.label("deployment")))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    for pair in pairs {
        for side in ["request", "copy"] {
            table.row(row(samples, pair, side));
        }
    }
    table.render()
}

fn row(samples: &[Sample<'_>], (model, deployment): (&str, &str), side: &str) -> [String; 13] {
    let pair = [("model", model), ("deployment", deployment)];
    let [of_model, of_deployment] = pair;
    let its = [of_model, of_deployment, ("side", side)];
    let all = sum(samples, "comparisons_total", &pair);
    let texts = |text| {
        let labels = [of_model, of_deployment, ("text", text)];
        sum(samples, "comparisons_total", &labels)
    };
    let answered = [of_model, of_deployment, ("side", side), ("status", "OK")];
    let answered = sum(samples, "endings_total", &answered);
    let both = texts("same") + texts("different");
    let times = |name, part| quantile(samples, (name, &its), part).unwrap_or_default();
    let cost = sum(samples, "cost_nano_usd_total", &its);
    [
        model.to_owned(),
        deployment.to_owned(),
        side.to_owned(),
        format!("{all:.0}"),
        percent(answered, all),
        percent(texts("same"), both),
        times("first_content_seconds_bucket", 0.5),
        times("first_content_seconds_bucket", 0.95),
        times("request_seconds_bucket", 0.5),
        times("request_seconds_bucket", 0.95),
        format!("{:.0}", sum(samples, "output_tokens_total", &its)),
        dollars(cost as i64),
        format!("{:.0} B", sum(samples, "text_bytes_total", &its)),
    ]
}

fn percent(part: f64, all: f64) -> String {
    if all > 0.0 {
        format!("{:.1}%", part * 100.0 / all)
    } else {
        String::new()
    }
}

/// The time that a part of all stay within, as finely as the metric tells. None: there are none.
fn quantile(
    samples: &[Sample<'_>],
    (name, labels): (&str, &[(&str, &str)]),
    part: f64,
) -> Option<String> {
    let of = samples.iter().filter(|it| it.is(name, labels));
    let bucket = |it: &Sample<'_>| match it.label("le") {
        "+Inf" => Some((f64::INFINITY, it.value)),
        bound => Some((bound.parse().ok()?, it.value)),
    };
    let mut buckets: Vec<(f64, f64)> = of.filter_map(bucket).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (_, all) = *buckets.last().filter(|(_, all)| *all > 0.0)?;
    let wanted = all * part;
    let above = buckets.iter().position(|(_, count)| *count >= wanted)?;
    let (upper, up_to) = *buckets.get(above)?;
    let (lower, before) = match above.checked_sub(1) {
        Some(below) => *buckets.get(below)?,
        None => (0.0, 0.0),
    };
    if upper.is_infinite() {
        return Some(format!("> {}", shown(lower)));
    }
    // Within a bucket times are taken to be spread evenly.
    let within = (wanted - before) / (up_to - before).max(1.0);
    Some(shown(lower + (upper - lower) * within))
}

fn shown(seconds: f64) -> String {
    duration::show(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"
# TYPE tollgate_shadow_copies_total counter
tollgate_shadow_copies_total{model="chat",what="sent"} 10
tollgate_shadow_copies_total{model="chat",what="too_many"} 2
tollgate_shadow_comparisons_total{model="chat",deployment="next",text="same"} 6
tollgate_shadow_comparisons_total{model="chat",deployment="next",text="different"} 2
tollgate_shadow_comparisons_total{model="chat",deployment="next",text="none"} 2
tollgate_shadow_endings_total{model="chat",deployment="next",side="request",status="OK",finish="stop"} 9
tollgate_shadow_endings_total{model="chat",deployment="next",side="request",status="OK",finish="length"} 1
tollgate_shadow_endings_total{model="chat",deployment="next",side="copy",status="OK",finish="stop"} 8
tollgate_shadow_endings_total{model="chat",deployment="next",side="copy",status="PROVIDERS_FAILED",finish=""} 2
tollgate_shadow_request_seconds_bucket{model="chat",deployment="next",side="copy",le="0.5"} 0
tollgate_shadow_request_seconds_bucket{model="chat",deployment="next",side="copy",le="1"} 10
tollgate_shadow_request_seconds_bucket{model="chat",deployment="next",side="copy",le="+Inf"} 10
tollgate_shadow_cost_nano_usd_total{model="chat",deployment="next",side="copy"} 2500000
tollgate_shadow_text_bytes_total{model="chat",deployment="next",side="copy"} 800
tollgate_requests_total{model="chat"} 5
"#;

    #[test]
    fn copies_are_shown_beside_requests() {
        let report = report(METRICS);
        let rows: Vec<Vec<&str>> = report
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(rows[1], ["chat", "10", "2", "0", "0"], "{report}");
        let request = [
            "chat", "next", "request", "10", "100.0%", "75.0%", "0", "$0", "0 B",
        ];
        assert_eq!(rows[4], request, "{report}");
        let copy = [
            "chat", "next", "copy", "10", "80.0%", "75.0%", "0.75s", "0.97s", "0", "$0.0025",
            "800 B",
        ];
        assert_eq!(rows[5], copy, "{report}");
    }

    #[test]
    fn where_none_are_made_it_says_so() {
        assert!(report("tollgate_requests_total 5").starts_with("no copies"));
    }

    #[test]
    fn what_took_longer_than_the_last_bound_is_not_made_up() {
        let text =
            "tollgate_shadow_x_bucket{le=\"120\"} 1\ntollgate_shadow_x_bucket{le=\"+Inf\"} 9";
        let samples: Vec<_> = text.lines().filter_map(Sample::parse).collect();
        let shown = quantile(&samples, ("x_bucket", &[]), 0.5);
        assert_eq!(shown.as_deref(), Some("> 2m 0s"));
    }
}
