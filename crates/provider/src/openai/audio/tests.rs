use crate::chat::{Assembler, Audio, Chunk, Message, Part, Request, Role};
use crate::codec::{Codec, Kind, Target};
use crate::failure::Class;
use crate::testing::{Sample, check_cuts, decode};

/// As `OpenAI` tells it: the words and the sound by turns, at last until when it keeps them.
const STREAM: &str = concat!(
    r#"data: {"id":"c","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":null,"refusal":null,"audio":{"id":"audio_1","transcript":"Hel"}},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"audio":{"id":"audio_1","data":"AQI="}},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"audio":{"id":"audio_1","transcript":"lo."}},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"audio":{"id":"audio_1","data":"Aw=="}},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"audio":{"expires_at":1700000000}},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n",
);

fn spoken() -> Audio {
    Audio {
        data: vec![1, 2, 3].into(),
        format: String::new(),
        id: Some("audio_1".to_owned()),
        expires_at: Some(1_700_000_000),
        transcript: "Hello.".to_owned(),
    }
}

#[test]
fn sound_is_told_as_it_is_spoken() {
    let (chunks, end) = decode(Kind::OpenAi, [STREAM.as_bytes()]);
    assert_eq!(end, Ok(()));
    let pieces = chunks
        .iter()
        .filter(|chunk| matches!(chunk, Chunk::Delta { .. }));
    assert_eq!(pieces.count(), 5);
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    let answer = assembler.finish().unwrap();
    assert_eq!(answer.choices[0].message.parts, [Part::Audio(spoken())]);
    check_cuts(&Sample::text(
        Kind::OpenAi,
        STREAM,
        r#""finish_reason":"stop"}]}"#,
    ));
}

#[test]
fn sound_that_is_not_base64_is_no_answer() {
    let body =
        br#"{"choices":[{"message":{"audio":{"id":"a","data":"?"}},"finish_reason":"stop"}]}"#;
    let failure = Codec::new(Kind::OpenAi).decode(body).unwrap_err();
    assert_eq!(failure.class, Class::Server);
}

/// It goes back by its id to those who may know it, and as its words to the others.
#[test]
fn what_was_spoken_goes_back() {
    let request = |audio| Request {
        messages: vec![
            Message::text(Role::User, "hi"),
            Message {
                role: Role::Assistant,
                parts: vec![Part::Audio(audio)],
                name: None,
            },
        ],
        max_output_tokens: Some(1),
        ..Request::default()
    };
    let silent = Audio {
        transcript: String::new(),
        ..spoken()
    };
    for kind in Kind::ALL {
        let knows = matches!(
            kind,
            Kind::OpenAi | Kind::AzureOpenAi | Kind::OpenAiCompatible
        );
        let encode = |audio| Codec::new(kind).encode(&request(audio), &Target::of("m"), false);
        let sent = String::from_utf8(encode(spoken()).unwrap().body.to_vec()).unwrap();
        let by_id = r#"{"role":"assistant","content":null,"audio":{"id":"audio_1"}}"#;
        assert_eq!(sent.contains(by_id), knows, "{sent}");
        assert_eq!(sent.contains("Hello."), !knows, "{sent}");
        assert_eq!(encode(silent.clone()).is_ok(), knows, "{}", kind.as_str());
    }
}
