//! Where a caller asks for its prompt to be cached.

use std::time::Duration;

use tollgate_proto::completion::v1 as wire;
use tollgate_provider::chat::{CachePlace, CachePoint};

use super::Faults;

/// Most hints in one request. No provider takes as many; one that caches by itself does not look at them.
const MOST_POINTS: usize = 64;

/// The hints of a request in the order of its prompt: tools before messages.
pub(super) fn points(wire: &wire::CompleteRequest, faults: &mut Faults) -> Vec<CachePoint> {
    let mut points = Vec::new();
    for (index, tool) in wire.tools.iter().enumerate() {
        if let Some(hint) = &tool.cache_hint {
            let path = || format!("tools[{index}]");
            points.extend(point(CachePlace::Tool(index), hint, path, faults));
        }
    }
    for (message, it) in wire.messages.iter().enumerate() {
        for (part, it) in it.parts.iter().enumerate() {
            let path = || format!("messages[{message}].parts[{part}]");
            if let Some(hint) = &it.cache_hint {
                let place = CachePlace::Part { message, part };
                points.extend(point(place, hint, path, faults));
            }
            if let Some(wire::part::Part::ToolResult(result)) = &it.part
                && result.parts.iter().any(|part| part.cache_hint.is_some())
            {
                faults.add(
                    format!("{}.tool_result", path()),
                    "must have no cache_hint within; put it at the part that holds the result",
                );
            }
        }
    }
    if points.len() > MOST_POINTS {
        faults.add("messages", "must hold at most 64 cache hints");
        points.clear();
    }
    points
}

fn point(
    after: CachePlace,
    hint: &wire::CacheHint,
    path: impl Fn() -> String,
    faults: &mut Faults,
) -> Option<CachePoint> {
    let time_to_live = match hint.time_to_live {
        None => None,
        Some(time) => match Duration::try_from(time) {
            Ok(time) if !time.is_zero() => Some(time),
            Ok(_) | Err(_) => {
                let field = format!("{}.cache_hint.time_to_live", path());
                faults.add(field, "must be a length of time above zero");
                return None;
            }
        },
    };
    Some(CachePoint {
        after,
        time_to_live,
    })
}
