//! Whether a deployment's model takes what a request asks for, by policy.

use tollgate_policy::table::{Deployment, Feature};
use tollgate_provider::chat::{self, Request};

use super::Ended;

/// Looks at what policy says that the model lacks.
///
/// # Errors
/// The field of the request that asks for it.
pub(crate) fn suits(of: &Deployment, request: &Request) -> Result<(), Ended> {
    let features = of.lacks.iter().map(|it| asked_as(*it));
    let mut fields = features.filter_map(|it| Some((request.field_of(it)?, it)));
    fields.next().map_or(Ok(()), |(field, feature)| {
        Err(Ended::inexpressible(&tollgate_provider::Error::lacking(
            field, feature,
        )))
    })
}

fn asked_as(feature: Feature) -> chat::Feature {
    match feature {
        Feature::Images => chat::Feature::Images,
        Feature::Documents => chat::Feature::Documents,
        Feature::Audio => chat::Feature::Audio,
        Feature::Tools => chat::Feature::Tools,
        Feature::JsonSchema => chat::Feature::JsonSchema,
        Feature::Reasoning => chat::Feature::Reasoning,
    }
}
