use bytes::Bytes;
use proptest::prelude::*;

use super::{count_text, estimate_request};
use crate::chat::{Audio, Function, Image, Json, Message, Part, Request, Role, Source, Tool};

/// Texts with their true count in `o200k`, and how far above it the estimate may lie.
const COUNTED: [(&str, u64, f64); 12] = [
    (
        "The gateway sits between a company's programs and the providers of language models. It \
         counts what every caller uses, keeps each within the limits that were agreed, and sends \
         the work to whichever deployment can answer it best at the moment.",
        45,
        1.3,
    ),
    (
        "When I came back from the market it had begun to rain, and the children were waiting for \
         me under the roof of the old station, quarrelling about who should carry the bread.",
        38,
        1.3,
    ),
    (
        "fn main() -> Result<(), Box<dyn Error>> {\n    let path = \
         std::env::args().nth(1).ok_or(\"no path\")?;\n    for (number, line) in \
         fs::read_to_string(&path)?.lines().enumerate() {\n        println!(\"{number:>4} \
         {line}\");\n    }\n    Ok(())\n}\n",
        72,
        1.6,
    ),
    (
        "{\"id\":\"chatcmpl-123\",\"object\":\"chat.completion\",\"created\":1677652288,\
         \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null},\
         \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12}}",
        57,
        1.7,
    ),
    (
        "Die Geschwindigkeitsbegrenzung gilt für alle Benutzer gleichermaßen; wer sie \
         überschreitet, bekommt eine Fehlermeldung und muss einige Sekunden warten, bevor er es \
         noch einmal versuchen kann.",
        40,
        1.7,
    ),
    (
        "今天早上我去市场买菜，路上遇到了一位多年不见的老朋友，我们站在街边聊了很久，几乎忘记了时间。",
        38,
        1.4,
    ),
    (
        "昨日の夜は遅くまで仕事をしていたので、今朝はなかなか起きられませんでした。コーヒーを飲んでから出かけます。",
        41,
        1.4,
    ),
    (
        "Вчера вечером мы долго гуляли по набережной и говорили о том, как изменился город за \
         последние десять лет.",
        27,
        1.8,
    ),
    (
        "Great work 🎉🎉 see you tomorrow 👩🏽\u{200d}💻🚀 ❤\u{fe0f}",
        19,
        1.5,
    ),
    (
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        12,
        4.5,
    ),
    (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
        52,
        2.0,
    ),
    (
        "2026-03-14T15:09:26.535Z 192.168.10.24 \"GET /v1/models?limit=100 HTTP/1.1\" 200 48213 \
         0.004217",
        49,
        1.2,
    ),
];

#[test]
fn estimates_lie_between_the_true_count_and_the_stated_factor() {
    for (text, counted, factor) in COUNTED {
        let estimate = count_text(text);
        assert!(estimate >= counted, "{estimate} < {counted}: {text}");
        assert!(
            estimate as f64 <= counted.max(1) as f64 * factor,
            "{estimate}, {counted}: {text}"
        );
    }
}

#[test]
fn small_texts_have_the_count_one_would_expect() {
    for (text, expect) in [
        ("", 0),
        (" ", 1),
        ("a", 1),
        ("Hello", 2),
        (" the", 1),
        ("123456", 2),
        ("\n\n", 2),
        ("好", 1),
    ] {
        assert_eq!(count_text(text), expect, "{text:?}");
    }
}

fn prompt(parts: Vec<Part>) -> Request {
    Request {
        messages: vec![Message {
            role: Role::User,
            parts,
            name: None,
        }],
        ..Request::default()
    }
}

#[test]
fn everything_in_a_request_counts() {
    let base = estimate_request(&prompt(vec![Part::Text("hi".to_owned())]));
    let image = |detail: Option<&str>| {
        Part::Image(Image {
            source: Source::Bytes {
                mime: "image/png".to_owned(),
                data: Bytes::from(vec![0; 9]),
            },
            detail: detail.map(str::to_owned),
        })
    };
    let with =
        |part: Part| estimate_request(&prompt(vec![Part::Text("hi".to_owned()), part])) - base;
    assert_eq!(with(image(Some("low"))), 100);
    assert_eq!(with(image(None)), 1_600);
    assert_eq!(
        with(Part::Audio(Audio {
            data: vec![0; 32_000].into(),
            format: "wav".to_owned(),
            ..Audio::default()
        })),
        32
    );
    assert_eq!(
        with(Part::Audio(Audio {
            data: vec![0; 4_000].into(),
            format: "mp3".to_owned(),
            ..Audio::default()
        })),
        32
    );
    let result = Part::ToolResult {
        tool_call_id: "call_1".to_owned(),
        parts: vec![Part::Text("sunny".to_owned())],
        is_error: false,
    };
    assert_eq!(with(result), 5 + count_text("sunny"));

    let schema = r#"{"type":"object","properties":{"city":{"type":"string"}}}"#;
    let mut tooled = prompt(vec![Part::Text("hi".to_owned())]);
    tooled.tools = vec![Tool::Function(Function {
        name: "weather".to_owned(),
        description: Some("Tells the weather.".to_owned()),
        parameters: Some(Json::parse(schema.to_owned()).unwrap()),
        strict: None,
    })];
    assert!(estimate_request(&tooled) - base >= count_text(schema) + count_text("weather"));
}

proptest! {
    /// A token has at least one byte, so more of them than bytes can only be a mistake here; and
    /// cutting a text in two never makes the sum lower, which metering a stream by its pieces needs.
    #[test]
    fn estimates_stay_within_bytes_and_pieces_cost_no_less(text in "\\PC*|[a-zA-Z0-9 ,.\n]*", at: prop::sample::Index) {
        let whole = count_text(&text);
        prop_assert!(whole <= 2 * text.len() as u64);
        let cut = text.floor_char_boundary(at.index(text.len() + 1));
        let (head, tail) = text.split_at(cut);
        prop_assert!(count_text(head) + count_text(tail) + 1 >= whole, "{} {} {}", whole, head, tail);
    }
}
