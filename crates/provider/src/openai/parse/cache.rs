//! Where a caller asks for its prompt to be cached, in the way that gateways take in this format: `cache_control` at
//! parts of content, at messages, which means their last part, and at tools.

use std::time::Duration;

use crate::Error;
use crate::chat::{CachePlace, CachePoint};
use crate::openai::wire::CacheControl;

/// Most hints in one request, as at the other edge.
const MOST_POINTS: usize = 64;

/// The hint that stands at a place.
///
/// # Errors
/// It is none that a provider knows.
pub(super) fn point(
    after: CachePlace,
    control: &CacheControl<'_>,
    path: impl Fn() -> String,
) -> Result<CachePoint, Error> {
    let wrong = |field: &str, problem: &str| {
        Error::invalid(format!("{}.cache_control.{field}", path()), problem)
    };
    if control.kind.as_str() != "ephemeral" {
        return Err(wrong("type", "expected \"ephemeral\""));
    }
    let minutes = match control.ttl.as_ref().map(|ttl| ttl.as_str()) {
        None => None,
        Some("5m") => Some(5),
        Some("1h") => Some(60),
        Some(_) => return Err(wrong("ttl", "expected \"5m\" or \"1h\"")),
    };
    Ok(CachePoint {
        after,
        time_to_live: minutes.map(|minutes| Duration::from_secs(60 * minutes)),
    })
}

/// The hints of a whole request.
///
/// # Errors
/// There are too many.
pub(super) fn bounded(points: Vec<CachePoint>) -> Result<Vec<CachePoint>, Error> {
    if points.len() > MOST_POINTS {
        let problem = "must hold at most 64 cache hints";
        return Err(Error::invalid("messages", problem));
    }
    Ok(points)
}
