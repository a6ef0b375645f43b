use proptest::prelude::*;
use serde_json::json;

use crate::chat::Chunk;
use crate::codec::{Codec, Kind};
use crate::failure::Failure;

/// What is said of one event: the inside of its text's JSON string as it stands on the wire, and what is around it.
#[derive(Debug, Clone)]
struct Said {
    inside: String,
    shape: usize,
    padding: usize,
}

const SHAPES: [[&str; 2]; 7] = [
    [
        r#"{"index":0,"delta":{"content":""#,
        r#""},"logprobs":null,"finish_reason":null}"#,
    ],
    [
        r#"{"index":0,"delta":{"content":""#,
        r#"","refusal":null},"finish_reason":""}"#,
    ],
    [
        r#"{"index":0,"delta":{"content":null,"reasoning_content":""#,
        r#""},"finish_reason":null}"#,
    ],
    [r#"{"index":1,"delta":{"reasoning":""#, r#""}}"#],
    [
        r#"{"index":1,"delta":{"content":""#,
        r#"","reasoning":"so"}}"#,
    ],
    [
        r#"{"index":0,"delta":{"content":""#,
        r#""},"logprobs":{"content":[]},"finish_reason":null}"#,
    ],
    [
        r#"{"index":0,"delta":{"refusal":""#,
        r#""},"finish_reason":null}"#,
    ],
];
const PADDINGS: [&str; 3] = [
    r#","obfuscation":"aB3""#,
    r#","obfuscation":"""#,
    r#","obfuscation":"a\"b""#,
];

fn inside() -> impl Strategy<Value = String> {
    let harmful = prop::sample::select(vec![
        "\\\"",
        "\\n",
        "\\u00e4",
        "\\ud83d\\ude00",
        "\\",
        "\"",
        "\t",
        "\u{1}",
        "\"},{\"index\":1}",
        "\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}",
        "\",\"content\":\"twice",
        "\"},\"finish_reason\":\"stop\"}],\"x\":[{\"y\":\"",
    ]);
    let harmless = prop_oneof!["[a-z ]{0,6}", "[äß日🎉]{1,3}"];
    prop::collection::vec(
        prop_oneof![4 => harmless, 1 => harmful.prop_map(str::to_owned)],
        0..4,
    )
    .prop_map(|parts| parts.concat())
}

fn said() -> impl Strategy<Value = Said> {
    let shape = prop_oneof![3 => Just(0), 2 => 0..SHAPES.len()];
    let padding = prop_oneof![3 => Just(PADDINGS.len()), 2 => 0..=PADDINGS.len()];
    (inside(), shape, padding).prop_map(|(inside, shape, padding)| Said {
        inside,
        shape,
        padding,
    })
}

/// A stream of two choices whose events bear these times.
fn stream(events: &[Said], time: impl Fn(usize) -> usize) -> String {
    let of = |at: usize, said: &Said| {
        let [before, after] = SHAPES[said.shape];
        let padding = PADDINGS.get(said.padding).unwrap_or(&"");
        format!(
            "data: {{\"id\":\"a\",\"created\":{},\"choices\":[{before}{}{after}],\"usage\":null{padding}}}\n\n",
            time(at),
            said.inside,
        )
    };
    let mut body: String = events
        .iter()
        .enumerate()
        .map(|(at, said)| of(at, said))
        .collect();
    for choice in 0..2 {
        let end = json!({"choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]});
        body += &format!("data: {end}\n\n");
    }
    body
}

fn decode(body: &str) -> (Vec<Chunk>, u64, Result<(), Failure>) {
    let mut decoder = Codec::new(Kind::OpenAi).stream_decoder(2);
    let mut chunks = Vec::new();
    let end = decoder
        .push(body.as_bytes(), &mut chunks)
        .and_then(|()| decoder.finish(&mut chunks));
    (chunks, decoder.malformed(), end)
}

proptest! {
    #[test]
    fn an_event_says_the_same_in_the_frame_of_others_as_in_one_of_its_own(
        events in prop::collection::vec(said(), 1..12),
    ) {
        let alike = stream(&events, |_| 1);
        // As no two have the same time, each is read whole.
        let apart = stream(&events, |at| at);
        prop_assert_eq!(decode(&alike), decode(&apart));
    }
}
