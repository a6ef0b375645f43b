//! Vectors are charged for what went in.

use tollgate_provider::embeddings::{Encoding, Response, Vector};

use super::*;

fn vectors(usage: Option<Usage>) -> Response {
    Response {
        model: "upstream".to_owned(),
        encoding: Encoding::Float,
        vectors: vec![Vector::Floats(vec![1.0])],
        usage,
        usage_report: None,
        warnings: Vec::new(),
    }
}

#[tokio::test]
async fn vectors_are_charged_for_what_went_in() {
    for (usage, input) in [
        (Some(Usage::of(12, 0, UsageSource::Provider)), 12),
        (None, INPUT),
    ] {
        let embedded = |meter: &mut Meter, bench: &Bench| {
            let _ = meter.attempt(&bench.deployment, None);
            meter.embedded(&vectors(usage));
            let summary = meter.complete().unwrap();
            assert_eq!(summary.provider_model, "upstream");
            assert_eq!(summary.cost, Some(input * 1000));
        };
        assert_eq!(settled(embedded).await, (1, input, input * 1000));
    }
}
