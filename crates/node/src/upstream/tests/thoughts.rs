//! Thoughts of one account, sent to another.

use bytes::Bytes;
use tollgate_provider::chat::{Opaque, Part};

use super::*;

const REFUSAL: &str = r#"{"error":{"message":"The encrypted content could not be verified.","type":"invalid_request_error","code":"invalid_encrypted_content"}}"#;
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
async fn a_refusal_of_thoughts_says_what_can_be_read() {
    let thought = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#;
    let thinking = conversation(&[("openai_compatible", "item", thought)]);
    let other = REFUSAL.replace("invalid_encrypted_content", "unknown_parameter");
    for (body, request, readable) in [
        (REFUSAL, &thinking, true),
        (REFUSAL, &conversation(&[]), false),
        (&other, &thinking, false),
    ] {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut server = Server::start(answer, true).await;
        let of = Deployment {
            api: table::Api::Responses,
            ..m()
        };
        let heard: Heard<'_> = &|_| ();
        let ended = upstream(&server).whole(request, &of, heard).await;
        let ended = ended.unwrap_err();
        assert_eq!(ended.failure.class, Class::CallerError);
        assert_eq!(
            ended.readable.as_deref(),
            readable.then(|| conversation(&[])).as_ref()
        );
        assert!(server.heads.recv().await.is_some());
        assert!(server.heads.try_recv().is_err(), "it is asked once");
    }
}
