use crate::chat::{Choice, FinishReason, Part, Response, Tier, Usage, UsageSource};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

fn decode(body: &str) -> Result<Response, Failure> {
    Codec::new(Kind::Gemini).decode(body.as_bytes())
}

/// The one choice of an answer of this one candidate.
fn choice(candidate: &str) -> Choice {
    let body = format!(r#"{{"candidates":[{candidate}]}}"#);
    decode(&body).unwrap().choices.remove(0)
}

#[test]
fn a_whole_answer_is_read() {
    let response = decode(
        r#"{
          "candidates": [
            {"content": {"parts": [{"text": "Hm.", "thought": true}, {"text": "Hi"}, {"text": " there"}], "role": "model"},
             "finishReason": "STOP", "index": 0, "safetyRatings": [], "avgLogprobs": -0.1}
          ],
          "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 20,
            "thoughtsTokenCount": 8, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 5}]},
          "modelVersion": "gemini-2.5-pro", "responseId": "r1"
        }"#,
    )
    .unwrap();
    assert_eq!((&*response.id, &*response.model), ("r1", "gemini-2.5-pro"));
    let reasoning = Part::Reasoning {
        text: "Hm.".to_owned(),
        opaque: vec![],
    };
    assert_eq!(
        response.choices[0].message.parts,
        [reasoning, Part::Text("Hi there".to_owned())]
    );
    let usage = Usage {
        reasoning: 8,
        input_audio: 5,
        ..Usage::of(9, 11, UsageSource::Provider)
    };
    assert_eq!(response.usage, Some(usage));
}

#[test]
fn ends_are_read() {
    let call = r#"{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}"#;
    for (candidate, expect) in [
        (r#"{"finishReason":"STOP"}"#, FinishReason::Stop),
        (call, FinishReason::ToolCalls),
        (r#"{"finishReason":"MAX_TOKENS"}"#, FinishReason::Length),
        (r#"{"finishReason":"SAFETY"}"#, FinishReason::ContentFilter),
        (
            r#"{"finishReason":"RECITATION"}"#,
            FinishReason::ContentFilter,
        ),
        (
            r#"{"finishReason":"PROHIBITED_CONTENT"}"#,
            FinishReason::ContentFilter,
        ),
        (r#"{"finishReason":"CONTINUATION"}"#, FinishReason::Length),
        (
            r#"{"finishReason":"ESCALATION"}"#,
            FinishReason::ContentFilter,
        ),
        (r#"{"finishReason":"LANGUAGE"}"#, FinishReason::Other),
        (r#"{"finishReason":"SOMETHING_NEW"}"#, FinishReason::Other),
        // The body is whole, so the answer is; only the reason is missing.
        (
            r#"{"content":{"parts":[{"text":"a"}]}}"#,
            FinishReason::Other,
        ),
    ] {
        assert_eq!(choice(candidate).finish_reason, expect, "{candidate}");
    }
}

#[test]
fn log_probabilities_take_the_common_shape() {
    let choice = choice(
        r#"{"content":{"parts":[{"text":"ab"}]},"finishReason":"STOP","logprobsResult":{
            "topCandidates":[{"candidates":[{"token":"a","tokenId":1,"logProbability":-0.5},{"token":"x","logProbability":-2}]},{}],
            "chosenCandidates":[{"token":"a","tokenId":1,"logProbability":-0.5},{"token":"b"}]}}"#,
    );
    let logprobs = choice.logprobs.unwrap();
    assert_eq!(
        logprobs.get(),
        concat!(
            r#"{"content":[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":["#,
            r#"{"token":"a","logprob":-0.5,"bytes":null},{"token":"x","logprob":-2.0,"bytes":null}]},"#,
            r#"{"token":"b","logprob":0.0,"bytes":null,"top_logprobs":[]}],"refusal":null}"#
        )
    );
}

#[test]
fn usage_adds_up_or_is_none() {
    let usage = |report: &str| {
        let body =
            format!(r#"{{"candidates":[{{"finishReason":"STOP"}}],"usageMetadata":{report}}}"#);
        decode(&body).unwrap().usage
    };
    let of = |input, output| Usage::of(input, output, UsageSource::Provider);
    for (report, expect) in [
        (
            r#"{"promptTokenCount":7,"totalTokenCount":7}"#,
            Some(of(7, 0)),
        ),
        // What server-side tools added to the prompt is input.
        (
            r#"{"promptTokenCount":7,"toolUsePromptTokenCount":5,"candidatesTokenCount":1,"totalTokenCount":13}"#,
            Some(of(12, 1)),
        ),
        // Thoughts among the candidates, given away by the total.
        (
            r#"{"promptTokenCount":7,"candidatesTokenCount":9,"thoughtsTokenCount":4,"totalTokenCount":16}"#,
            Some(Usage {
                reasoning: 4,
                ..of(7, 9)
            }),
        ),
        (
            r#"{"promptTokenCount":7,"cachedContentTokenCount":3,"candidatesTokenCount":1}"#,
            Some(Usage {
                cache_read: 3,
                ..of(7, 1)
            }),
        ),
        (r#"{"candidatesTokenCount":1}"#, None),
        (r#"{"promptTokenCount":-1}"#, None),
        (r#"{"promptTokenCount":1.5}"#, None),
        (r#"{"promptTokenCount":1e300}"#, None),
        (
            r#"{"promptTokenCount":1,"cachedContentTokenCount":2}"#,
            None,
        ),
        ("7", None),
    ] {
        assert_eq!(usage(report), expect, "{report}");
    }
}

#[test]
fn what_is_no_answer_is_a_failure() {
    for (body, expect) in [
        ("", Class::Server),
        ("<html>", Class::Server),
        ("[]", Class::Server),
        ("{}", Class::Server),
        (r#"{"candidates":[]}"#, Class::Server),
        (
            r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":1}}"#,
            Class::ContentFilter,
        ),
        (
            r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"x"}}"#,
            Class::KeyLimited,
        ),
        (
            r#"[{"error":{"code":503,"status":"UNAVAILABLE","message":"x"}}]"#,
            Class::Overloaded,
        ),
        (
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#,
            Class::Server,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"audio/L16","data":"?"}}]}}]}"#,
            Class::Server,
        ),
        (
            r#"{"candidates":[{"finishReason":"MISSING_THOUGHT_SIGNATURE"}]}"#,
            Class::CallerError,
        ),
        (
            r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}]}"#,
            Class::KeyDead,
        ),
        (
            r#"{"candidates":[{"content":{"parts":[{"text":"cut"#,
            Class::Server,
        ),
    ] {
        assert_eq!(decode(body).unwrap_err().class, expect, "{body}");
    }
}

#[test]
fn a_failure_does_not_repeat_the_answer() {
    for body in [
        r#"{"candidates":[{"content":{"parts":[{"text":7,"x":"a secret"}]}}]}"#,
        r#"{"candidates":"a secret"}"#,
    ] {
        let failure = decode(body).unwrap_err();
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}

#[test]
fn pictures_and_the_class_of_processing_are_told_with_usage() {
    let cases = [
        ("ON_DEMAND", Some(Tier::Standard)),
        ("ON_DEMAND_FLEX", Some(Tier::Flex)),
        ("ON_DEMAND_PRIORITY", Some(Tier::Priority)),
        ("PROVISIONED_THROUGHPUT", None),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
    ];
    for (name, tier) in cases {
        let modality =
            |name: &str, count: u32| format!(r#"{{"modality":"{name}","tokenCount":{count}}}"#);
        let (prompt, answer) = (modality("IMAGE", 4), modality("IMAGE", 2));
        let usage = format!(
            r#"{{"promptTokenCount":9,"candidatesTokenCount":5,"trafficType":"{name}","promptTokensDetails":[{prompt},{}],"candidatesTokensDetails":[{answer}]}}"#,
            modality("TEXT", 5)
        );
        let candidate = r#"{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}"#;
        let body = format!(r#"{{"candidates":[{candidate}],"usageMetadata":{usage}}}"#);
        let wanted = Usage {
            input_image: 4,
            output_image: 2,
            tier,
            ..Usage::of(9, 5, UsageSource::Provider)
        };
        assert_eq!(decode(&body).unwrap().usage, Some(wanted), "{name}");
    }
}
