//! Every kind of provider, from the policy to what a server of its kind is sent and answers.

use tollgate_provider::chat::{FinishReason, Part};

use super::*;

/// A provider as the policy describes it: `fields` in YAML, with `URL` for the server's address.
fn upstream_of(fields: &str, server: &Server) -> Upstream {
    let fields = fields.replace("URL", &format!("http://{}", server.address));
    let text = format!("providers: {{ p: {{ internal: true, {fields} }} }}");
    let source = tollgate_policy::yaml::Source {
        name: "test",
        text: text.as_bytes(),
    };
    let policy = tollgate_policy::yaml::load(&[source]).unwrap();
    let table = tollgate_policy::table::compile(&policy, 1).unwrap();
    Upstream::new(&table.providers()[0])
}

/// A file that holds a credential, and how a policy names it.
fn credential(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, text).unwrap();
    let named = format!("credential: {{ file: '{}' }}", path.display());
    (folder, named)
}

/// A streamed answer of that type.
fn streamed(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Asks a server of one kind for a whole answer of one text, and gives what it was sent.
async fn check_whole(fields: &str, of: &Deployment, answer: &str) -> String {
    let mut server = Server::start(ok(answer, "application/json"), false).await;
    let upstream = upstream_of(fields, &server);
    let response = upstream.whole(&request(), of, &|_| ()).await.unwrap();
    let parts = &response.choices[0].message.parts;
    assert_eq!(parts[..], [Part::Text("hello".to_owned())]);
    assert_eq!(response.usage.unwrap().total(), 4);
    server.heads.recv().await.unwrap()
}

/// Asks a server of one kind for a stream of one text; and again for one cut by a byte before `whole_at`.
async fn check_stream(
    fields: &str,
    of: &Deployment,
    (kind, body): (&str, &[u8]),
    whole_at: usize,
) -> String {
    let mut server = Server::start(streamed(kind, body), true).await;
    let upstream = upstream_of(fields, &server);
    let mut live = upstream.stream(&request(), of, &|_| ()).await.unwrap();
    let mut chunks = Vec::new();
    read_to_end(&mut live, &mut chunks).await.unwrap();
    let stop = FinishReason::Stop;
    let is_end = |it: &Chunk| matches!(it, Chunk::Finish { reason, .. } if *reason == stop);
    assert!(chunks.iter().any(is_end), "{chunks:?}");
    let head = server.heads.recv().await.unwrap();

    let server = Server::start(streamed(kind, &body[..whole_at - 1]), true).await;
    let upstream = upstream_of(fields, &server);
    let mut live = upstream.stream(&request(), of, &|_| ()).await.unwrap();
    let cut = read_to_end(&mut live, &mut Vec::new()).await.unwrap_err();
    assert_eq!(cut.outcome, AttemptOutcome::Truncated);
    head
}

fn check_head(head: &str, first: &str, header: &str) {
    assert!(head.starts_with(first), "{head}");
    assert!(head.lines().any(|line| line == header), "{head}");
}

#[tokio::test]
async fn anthropic() {
    let (_folder, credential) = credential("canary");
    let fields = format!("kind: anthropic, base_url: 'URL/v1', {credential}");
    let answer = r#"{"type":"message","id":"1","model":"m","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}"#;
    let first = "post /v1/messages http/1.1";
    let head = check_whole(&fields, &m(), answer).await;
    check_head(&head, first, "x-api-key: canary");
    check_head(&head, first, "anthropic-version: 2023-06-01");
    let events = [
        r#"{"type":"message_start","message":{"id":"1","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"hello"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
    ];
    let body: String = events.map(|event| format!("data: {event}\n\n")).concat();
    let whole_at = body.trim_end().len();
    let streamed = ("text/event-stream", body.as_bytes());
    let head = check_stream(&fields, &m(), streamed, whole_at).await;
    check_head(&head, first, "accept: text/event-stream");
}

#[tokio::test]
async fn openai_and_azure_over_responses() {
    let responses = Deployment {
        api: table::Api::Responses,
        ..m()
    };
    let (_folder, credential) = credential("canary");
    let answer = r#"{"id":"1","object":"response","status":"completed","model":"m","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}"#;
    let begin = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"hello"}"#;
    let end = format!(r#"{{"type":"response.completed","response":{answer}}}"#);
    let body = format!("data: {begin}\n\ndata: {end}\n\n");
    for (kind, path, header) in [
        (
            "kind: openai, base_url: 'URL/v1'",
            "/v1/responses",
            "authorization: bearer canary",
        ),
        (
            "kind: azure_openai, base_url: URL",
            "/openai/v1/responses",
            "api-key: canary",
        ),
    ] {
        let fields = format!("{kind}, {credential}");
        let first = format!("post {path} http/1.1");
        let head = check_whole(&fields, &responses, answer).await;
        check_head(&head, &first, header);
        let streamed = ("text/event-stream", body.as_bytes());
        let whole_at = body.trim_end().len();
        let head = check_stream(&fields, &responses, streamed, whole_at).await;
        check_head(&head, &first, "accept: text/event-stream");
    }
}

#[tokio::test]
async fn each_deployment_is_asked_over_its_own_interface() {
    let answer = r#"{"object":"response","status":"completed","output":[]}"#;
    let answer = streamed("application/json", answer.as_bytes());
    let mut server = Server::start(answer, true).await;
    let upstream = upstream_of("kind: openai, base_url: 'URL/v1'", &server);
    for (api, path) in [
        (table::Api::Responses, "/v1/responses"),
        (table::Api::ChatCompletions, "/v1/chat/completions"),
        (table::Api::Responses, "/v1/responses"),
    ] {
        let of = Deployment { api, ..m() };
        let answered = upstream.whole(&request(), &of, &|_| ()).await;
        assert_eq!(answered.is_ok(), api == table::Api::Responses);
        let head = server.heads.recv().await.unwrap();
        let first = format!("post {path} http/1.1");
        assert!(head.starts_with(&first), "{head}");
    }
}

/// An event of a binary stream: lengths, their checksum, headers, payload, checksum of all.
fn frame(name: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (header, value) in [(":event-type", name), (":message-type", "event")] {
        headers.push(u8::try_from(header.len()).unwrap());
        headers.extend(header.as_bytes());
        headers.push(7);
        headers.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let length = u32::try_from(headers.len() + payload.len() + 16).unwrap();
    let mut out = length.to_be_bytes().to_vec();
    out.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend(crc32(&out).to_be_bytes());
    out.extend(headers);
    out.extend(payload.as_bytes());
    out.extend(crc32(&out).to_be_bytes());
    out
}

/// CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[tokio::test]
async fn bedrock() {
    let (_folder, bearer) = credential("canary");
    let fields = "kind: bedrock, region: eu-west-1, base_url: URL";
    let answer = r#"{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":3,"outputTokens":1,"totalTokens":4}}"#;
    let head = check_whole(&format!("{fields}, {bearer}"), &m(), answer).await;
    let first = "post /model/m/converse http/1.1";
    check_head(&head, first, "authorization: bearer canary");

    let (_folder, signing) = credential("AKID:secret:token");
    let body = [
        frame("messageStart", r#"{"role":"assistant"}"#),
        frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"hello"}}"#,
        ),
        frame("messageStop", r#"{"stopReason":"end_turn"}"#),
    ]
    .concat();
    let kind = "application/vnd.amazon.eventstream";
    let fields = format!("{fields}, {signing}");
    let head = check_stream(&fields, &m(), (kind, &body), body.len()).await;
    let first = "post /model/m/converse-stream http/1.1";
    check_head(&head, first, "x-amz-security-token: token");
    let signed = "signedheaders=content-type;host;x-amz-date;x-amz-security-token, signature=";
    assert!(head.contains(signed), "{head}");
    assert!(head.contains("/eu-west-1/bedrock/aws4_request"), "{head}");
}

#[tokio::test]
async fn what_a_kind_has_no_words_for_is_refused_or_left_out_and_told() {
    let answer = r#"{"content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn"}"#;
    let server = Server::start(ok(answer, "application/json"), false).await;
    let asked = Request {
        seed: Some(1),
        ..request()
    };
    let strict = upstream_of("kind: anthropic, base_url: URL", &server);
    let ended = strict.whole(&asked, &m(), &|_| ()).await.unwrap_err();
    assert_eq!(ended.field.as_deref(), Some("seed"));
    assert_eq!(ended.reached, Reached::Nobody);
    let lenient = "kind: anthropic, base_url: URL, drop_unsupported: true";
    let lenient = upstream_of(lenient, &server);
    let response = lenient.whole(&asked, &m(), &|_| ()).await.unwrap();
    assert_eq!(response.warnings[0].field, "seed");
    let events = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n";
    let server = Server::start(streamed("text/event-stream", events.as_bytes()), true).await;
    let lenient = upstream_of(
        "kind: anthropic, base_url: URL, drop_unsupported: true",
        &server,
    );
    let mut live = lenient.stream(&asked, &m(), &|_| ()).await.unwrap();
    let mut chunks = Vec::new();
    read_to_end(&mut live, &mut chunks).await.unwrap();
    assert!(
        matches!(&chunks[0], Chunk::Warning(it) if it.field == "seed"),
        "{chunks:?}"
    );
}
