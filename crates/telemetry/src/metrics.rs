//! The recorder: counters, gauges and histograms, shown in Prometheus' text format.
//!
//! Histograms measure time, and their names end with `_seconds`.

use std::fmt;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{Error, logs};

/// From what a lookup takes to what a long answer takes; two to three steps per factor of ten.
const SECONDS: [f64; 19] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];
/// How often [`Metrics::upkeep`] wants to be called.
pub const UPKEEP_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// The process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Collects the process's metrics from now on.
    ///
    /// # Errors
    /// [`Error::Installed`] if this was done before.
    pub fn install() -> Result<Self, Error> {
        let recorder = builder()?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)
            .map_err(|error| Error::Installed(error.to_string()))?;
        logs::describe();
        Ok(Self { handle })
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what was recorded into the buckets, which keeps memory bounded where nobody reads
    /// `/metrics`. To be called every [`UPKEEP_INTERVAL`].
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, Error> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .map_err(|error| Error::Buckets(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_buckets_and_dropped_lines_a_description() {
        let recorder = builder().unwrap().build_recorder();
        let metrics = Metrics {
            handle: recorder.handle(),
        };
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("tollgate_wait_seconds").record(0.003);
            logs::describe();
            metrics::counter!("tollgate_log_lines_dropped_total").increment(1);
            metrics::counter!("tollgate_requests_total", "outcome" => "ok").increment(2);
        });
        metrics.upkeep();
        let text = metrics.render();
        for line in [
            "tollgate_wait_seconds_bucket{le=\"0.0025\"} 0",
            "tollgate_wait_seconds_bucket{le=\"0.005\"} 1",
            "# HELP tollgate_log_lines_dropped_total Lines of the log that were dropped, because nobody read it fast enough",
            "tollgate_requests_total{outcome=\"ok\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "no `{line}` in:\n{text}");
        }
    }
}
