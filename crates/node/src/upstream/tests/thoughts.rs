//! Thoughts of one account, sent to another.

use bytes::Bytes;
use tollgate_provider::chat::{Opaque, Part};

use super::*;

const REFUSAL: &str = r#"{"error":{"message":"The encrypted content could not be verified.","type":"invalid_request_error","code":"invalid_encrypted_content"}}"#;
const ANSWER: &str = r#"{"id":"r","object":"response","model":"m","status":"completed","output":[{"type":"message","id":"m1","role":"assistant","content":[{"type":"output_text","text":"yes","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}"#;

/// Answers what holds no thoughts, and refuses what does. Returns how many requests it refused.
async fn account(listener: TcpListener) -> usize {
    for refused in 0.. {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_whole(&mut stream).await;
        let thinks = request.contains("gAAA");
        let (status, body) = match thinks {
            true => ("400 Bad Request", REFUSAL),
            false => ("200 OK", ANSWER),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        if !thinks {
            return refused;
        }
    }
    0
}

fn conversation(state: &[(&str, &str, &'static str)]) -> Request {
    let opaque = state.iter().map(|(provider, kind, bytes)| Opaque {
        provider: (*provider).to_owned(),
        kind: (*kind).to_owned(),
        bytes: Bytes::from_static(bytes.as_bytes()),
    });
    let thought = Part::Reasoning {
        text: String::new(),
        opaque: opaque.collect(),
    };
    let mut request = request();
    request.messages.push(Message {
        parts: vec![thought, Part::Text("no".to_owned())],
        ..Message::text(Role::Assistant, "")
    });
    request.messages.push(Message::text(Role::User, "sure?"));
    request
}

#[tokio::test]
async fn thoughts_of_another_account_are_left_out_with_a_warning() {
    let thought = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#;
    for (request, refusals, warned) in [
        (
            conversation(&[("openai_compatible", "item", thought)]),
            1,
            true,
        ),
        (conversation(&[]), 0, false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Upstream::new(&provider(address, true, Credential::None));
        let of = Deployment {
            api: table::Api::Responses,
            ..m()
        };
        let heard: Heard<'_> = &|_| ();
        let (refused, answer) =
            tokio::join!(account(listener), upstream.whole(&request, &of, heard));
        let answer = answer.unwrap();
        assert_eq!(refused, refusals);
        assert_eq!(
            answer.warnings.iter().any(|it| it.field == "messages"),
            warned
        );
    }
}

#[tokio::test]
async fn a_refusal_for_want_of_anything_else_stays_one() {
    let body = REFUSAL.replace("invalid_encrypted_content", "unknown_parameter");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut server = Server::start(answer, true).await;
    let of = Deployment {
        api: table::Api::Responses,
        ..m()
    };
    let thought = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#;
    let request = conversation(&[("openai_compatible", "item", thought)]);
    let heard: Heard<'_> = &|_| ();
    let ended = upstream(&server).whole(&request, &of, heard).await;
    assert_eq!(ended.unwrap_err().failure.class, Class::CallerError);
    assert!(server.heads.recv().await.is_some());
    assert!(server.heads.try_recv().is_err(), "it is asked once");
}
