//! What a provider calls a request: the first thing that its support asks for.

use http::HeaderMap;

/// The headers that carry it, as OpenAI, Azure and most servers, Anthropic, Azure, Bedrock, Mistral and Cohere call them.
const NAMES: [&str; 6] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "mistral-correlation-id",
    "x-debug-trace-id",
];

/// Longer than any that is known; a longer one is nothing to look for.
const LONGEST: usize = 128;

/// The provider's identifier of a request, from the headers of its answer: plain characters, and not many.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let value = |name| headers.get(name)?.to_str().ok();
    let plain = |id: &&str| {
        (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    NAMES.into_iter().filter_map(value).find(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = list.iter().map(|(name, value)| {
            let value = http::HeaderValue::from_str(value).unwrap();
            (http::HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    #[test]
    fn every_providers_name_for_it_is_known_and_the_usual_one_comes_first() {
        for name in NAMES {
            assert_eq!(request_id(&headers(&[(name, "req_1")])), Some("req_1"));
        }
        let both = [("apim-request-id", "a"), ("x-request-id", "b")];
        assert_eq!(request_id(&headers(&both)), Some("b"));
        assert_eq!(request_id(&headers(&[("x-other", "c")])), None);
    }

    #[test]
    fn what_would_spoil_a_log_is_none() {
        for odd in ["", "two words", "tab\there", &"x".repeat(LONGEST + 1)] {
            assert_eq!(
                request_id(&headers(&[("x-request-id", odd)])),
                None,
                "{odd:?}"
            );
        }
        let both = [("x-request-id", ""), ("request-id", "b")];
        assert_eq!(request_id(&headers(&both)), Some("b"));
    }
}
