use serde_json::json;

use super::*;

fn of(document: &Value) -> Shape {
    let mut shape = Shape::default();
    shape.add(document);
    shape
}

/// Every path with its types.
fn lines(shape: &Shape) -> Vec<String> {
    shape.beside(&Shape::default()).unknown
}

#[test]
fn a_document_is_its_paths_and_types() {
    let shape = of(&json!({"choices": [
        {"delta": {"content": "secret"}, "logprobs": null},
        {"delta": {"content": null, "tool_calls": [{"function": {"arguments": "{}"}}]}, "done": true},
    ], "created": 7}));
    let expect = [
        "choices: array",
        "choices[]: object",
        "choices[].delta: object",
        "choices[].delta.content: null or string",
        "choices[].delta.tool_calls: array",
        "choices[].delta.tool_calls[]: object",
        "choices[].delta.tool_calls[].function: object",
        "choices[].delta.tool_calls[].function.arguments: string",
        "choices[].done: boolean",
        "choices[].logprobs: null",
        "created: number",
    ];
    assert_eq!(lines(&shape), expect);
}

#[test]
fn what_callers_and_tools_put_there_is_left_alone() {
    let shape = of(&json!({"content": [{"input": {"city": "Köln"}}], "metadata": {"a": 1}}));
    let told = lines(&shape);
    let expect = [
        "content: array",
        "content[]: object",
        "content[].input: object",
        "metadata: object",
    ];
    assert_eq!(told, expect);
    // A map whose keys are texts tells none of them.
    assert_eq!(lines(&of(&json!({"my secret": 1}))), ["?: number"]);
}

#[test]
fn events_stand_under_their_names() {
    let body = "event: ping\r\ndata: {\"type\":\"ping\"}\r\n\r\n: comment\r\n\r\n\
        data: {\"type\":\"start\",\r\ndata: \"message\":{\"id\":1}}\r\n\r\ndata: [DONE]";
    let mut shape = Shape::default();
    shape.read_events(body.as_bytes()).unwrap();
    let expect = [
        "ping: event",
        "ping/type: string",
        "start: event",
        "start/message: object",
        "start/message.id: number",
        "start/type: string",
    ];
    assert_eq!(lines(&shape), expect);

    let mut nameless = Shape::default();
    nameless.read_events(b"data: {\"id\":1}\n\n").unwrap();
    assert_eq!(lines(&nameless), ["id: number"]);
    assert!(nameless.read_events(b"data: {\"id\":\n\n").is_err());
}

/// A message of the binary stream; its checksums are not looked at.
fn framed(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend(name.as_bytes());
        head.push(7);
        head.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend(value.as_bytes());
    }
    let whole = u32::try_from(16 + head.len() + payload.len()).unwrap();
    let length = u32::try_from(head.len()).unwrap();
    let mut out = [whole.to_be_bytes(), length.to_be_bytes(), [0; 4]].concat();
    out.extend(head);
    out.extend(payload.as_bytes());
    out.extend([0; 4]);
    out
}

#[test]
fn binary_events_are_read_like_others() {
    let headers = [
        (":content-type", "application/json"),
        (":event-type", "messageStart"),
    ];
    let one = framed(&headers, r#"{"role":"assistant"}"#);
    let two = framed(&[(":exception-type", "throttlingException")], "{}");
    let body = [one.clone(), two].concat();
    let mut shape = Shape::default();
    shape.read_binary_events(&body).unwrap();
    let expect = [
        "messageStart: event",
        "messageStart/role: string",
        "throttlingException: event",
    ];
    assert_eq!(lines(&shape), expect);
    for cut in 1..one.len() {
        let read = Shape::default().read_binary_events(&one[..cut]);
        assert!(read.is_err(), "{cut}");
    }
    for headers in [&[("other", "x")][..], &[]] {
        let read = Shape::default().read_binary_events(&framed(headers, "{}"));
        assert!(read.is_err(), "{headers:?}");
    }
}

#[test]
fn only_what_is_new_is_told() {
    let mut known = of(&json!({"id": "a", "usage": null, "seldom": {"x": 1}}));
    known.add(&json!({"usage": {"tokens": 1}}));
    let met = of(&json!({"id": 7, "usage": {"tokens": 1, "fresh": [true]}}));
    let expect = Difference {
        unknown: vec![
            "usage.fresh: array".to_owned(),
            "usage.fresh[]: boolean".to_owned(),
        ],
        others: vec!["id: number, not string".to_owned()],
        unseen: 2,
    };
    assert_eq!(met.beside(&known), expect);
    assert_eq!(known.beside(&known).others, Vec::<String>::new());
}
