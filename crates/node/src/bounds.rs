//! The most that a request may use, as far as it can be told before it is sent.

use std::time::Duration;

use serde_json::Value;
use tollgate_policy::price::{Bounds, Served, Service};
use tollgate_provider::chat::{Message, Part, ProviderTool, Request, Tool};
use tollgate_provider::embeddings::{self, Input};

use crate::asked::has_search_option;
use crate::clock;

/// Searches that are held for where a tool for them names no bound.
const USUAL_SEARCHES: u64 = 5;

/// Input that is cached for at least so long is cached for an hour.
const HOUR: Duration = Duration::from_secs(3600);

/// The bounds of a request whose output is capped, with so many tokens of input. What it passes on to a provider unread may ask for anything.
pub(crate) fn bounds(request: &Request, input: u64) -> Bounds {
    // A tool that the provider runs may bring anything into the prompt.
    let runs_tools = request.tools.iter().any(|tool| tool.function().is_none());
    let unread = runs_tools || !request.provider_options.is_empty();
    let service = request.service_tier.as_deref();
    let mut points = request.cache_points.iter();
    let output = u64::from(request.max_output_tokens.unwrap_or(0));
    let tools = request.tools.iter().filter_map(most_searches);
    Bounds {
        served: served_now(service),
        input,
        output: output.saturating_mul(u64::from(request.choice_count())),
        audio: unread || has_audio(request),
        image: unread || has_images(request),
        hour: unread || points.any(|point| point.time_to_live >= Some(HOUR)),
        searches: tools.sum::<u64>() + u64::from(has_search_option(request)),
    }
}

/// The most searches that a tool may make: what it says, or what is rarely exceeded. None of a tool that makes none.
fn most_searches(tool: &Tool) -> Option<u64> {
    let Tool::Provider(tool) = tool else {
        return None;
    };
    let said = tool.settings.get("max_uses").and_then(Value::as_u64);
    searches(tool).then(|| said.unwrap_or(USUAL_SEARCHES))
}

/// Whether a tool that a provider runs is for searches, which are paid for one by one. By its name: all of them say it.
pub(crate) fn searches(tool: &ProviderTool) -> bool {
    let name = tool.settings.get("name").and_then(Value::as_str);
    let says = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("search") || text.contains("grounding")
    };
    says(&tool.kind) || name.is_some_and(says)
}

/// Whether the input holds sound.
pub(crate) fn has_audio(request: &Request) -> bool {
    has(request, |part| matches!(part, Part::Audio(_)))
}

/// Whether the input holds pictures or documents.
pub(crate) fn has_images(request: &Request) -> bool {
    let is = |part: &Part| matches!(part, Part::Image(_) | Part::Document(_));
    has(request, is)
}

fn has(request: &Request, is: fn(&Part) -> bool) -> bool {
    request.messages.iter().any(|message| holds(message, is))
}

/// Whether a message holds a part of a kind.
pub(crate) fn holds(message: &Message, is: fn(&Part) -> bool) -> bool {
    message.parts.iter().any(|part| is_or_holds(part, is))
}

/// The bounds of a request for embeddings, with so many tokens of input. There is no output.
pub(crate) fn embedding_bounds(request: &embeddings::Request, input: u64) -> Bounds {
    let is_image = |input: &Input| matches!(input, Input::Image(_));
    Bounds {
        served: served_now(None),
        input,
        output: 0,
        audio: false,
        image: !request.provider_options.is_empty() || request.inputs.iter().any(is_image),
        hour: false,
        searches: 0,
    }
}

fn served_now(service: Option<&str>) -> Served {
    Served {
        at: i64::try_from(clock::unix_time().as_secs()).unwrap_or(i64::MAX),
        service: service.map(Service::named).unwrap_or_default(),
    }
}

/// Whether a part is of a kind, or the result of a tool that holds one.
fn is_or_holds(part: &Part, is: fn(&Part) -> bool) -> bool {
    if let Part::ToolResult { parts, .. } = part {
        return parts.iter().any(is);
    }
    is(part)
}

#[cfg(test)]
mod tests {
    use tollgate_provider::chat::{Audio, CachePlace, CachePoint, Role};

    use super::*;

    fn asking(parts: Vec<Part>) -> Request {
        let message = Message {
            role: Role::User,
            name: None,
            parts,
        };
        Request {
            messages: vec![message],
            max_output_tokens: Some(7),
            choices: Some(3),
            ..Request::default()
        }
    }

    #[test]
    fn what_the_request_cannot_use_is_not_reserved_for() {
        let mut request = asking(vec![Part::Text("Hello.".to_owned())]);
        let plain = bounds(&request, 5);
        assert_eq!((plain.input, plain.output), (5, 21));
        assert_eq!(plain.served.service, Service::Standard);
        assert!(plain.served.at > 1_700_000_000);
        assert!(!plain.audio && !plain.image && !plain.hour);

        let point = |seconds| CachePoint {
            after: CachePlace::Tool(0),
            time_to_live: Some(Duration::from_secs(seconds)),
        };
        request.cache_points = vec![point(300)];
        assert!(!bounds(&request, 5).hour);
        request.cache_points = vec![point(3600)];
        request.service_tier = Some("priority".to_owned());
        let asked = bounds(&request, 5);
        assert!(asked.hour && asked.served.service == Service::Priority);

        request.cache_points.clear();
        request.provider_options = [("x".to_owned(), true.into())].into_iter().collect();
        let unread = bounds(&request, 5);
        assert!(unread.audio && unread.image && unread.hour);
    }

    #[test]
    fn sound_is_found_within_the_result_of_a_tool() {
        let sound = Part::Audio(Audio {
            data: vec![0].into(),
            format: "wav".to_owned(),
            ..Audio::default()
        });
        let result = Part::ToolResult {
            tool_call_id: "1".to_owned(),
            parts: vec![sound],
            is_error: false,
        };
        let found = bounds(&asking(vec![result]), 5);
        assert!(found.audio && !found.image);
    }
}
