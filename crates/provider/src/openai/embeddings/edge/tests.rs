use super::*;
use crate::chat::UsageSource;

fn parse(fields: &str) -> Result<EmbeddingRequest, Error> {
    parse_embedding_request(format!(r#"{{"model":"m",{fields}}}"#).as_bytes())
}

#[test]
fn inputs_come_in_four_forms() {
    let text = |text: &str| Input::Text(text.to_owned());
    for (input, expected) in [
        (r#""a""#, vec![text("a")]),
        (r#"["a","b"]"#, vec![text("a"), text("b")]),
        ("[1,2]", vec![Input::Tokens(vec![1, 2])]),
        (
            "[[1,2],[3]]",
            vec![Input::Tokens(vec![1, 2]), Input::Tokens(vec![3])],
        ),
    ] {
        let parsed = parse(&format!(r#""input":{input}"#)).unwrap();
        assert_eq!(parsed.request.inputs, expected, "{input}");
        assert!(!parsed.base64);
    }
}

#[test]
fn every_field_has_its_place() {
    let parsed = parse(
        r#""input":"a","dimensions":8,"encoding_format":"base64","user":"u","input_type":"search_document","truncation":"end","metadata":{"k":"v"},"priority":1,"nothing":null"#,
    );
    let EmbeddingRequest { request, base64 } = parsed.unwrap();
    assert!(base64);
    assert_eq!(request.model, "m");
    assert_eq!(request.dimensions, Some(8));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert_eq!(request.input_type, Some(InputType::Document));
    assert_eq!(request.truncation, Some(Truncation::End));
    assert_eq!(request.metadata["k"], "v");
    let options: Vec<_> = request.provider_options.keys().collect();
    assert_eq!(options, ["priority"]);
}

#[test]
fn the_field_at_fault_is_named() {
    for (fields, field) in [
        (r#""dimensions":1"#, "input"),
        (r#""input":null"#, "input"),
        (r#""input":[]"#, "input"),
        (r#""input":"""#, "input[0]"),
        (r#""input":["a",""]"#, "input[1]"),
        (r#""input":[1,"a"]"#, "input"),
        (r#""input":["a",1]"#, "input"),
        (r#""input":[1,[2]]"#, "input"),
        (r#""input":[-1]"#, "input[0]"),
        (r#""input":[4294967296]"#, "input[0]"),
        (r#""input":{}"#, "input"),
        (r#""input":"a","dimensions":0"#, "dimensions"),
        (r#""input":"a","dimensions":"b""#, "dimensions"),
        (r#""input":"a","encoding_format":"int8""#, "encoding_format"),
        (r#""input":"a","input_type":"x""#, "input_type"),
        (r#""input":"a","truncation":"x""#, "truncation"),
        (r#""input":"a","input":"b""#, "body"),
        (r#""input":"a""#, ""),
    ] {
        let found = parse(fields).err();
        let found = found.as_ref().and_then(Error::field).unwrap_or_default();
        assert_eq!(found, field, "{fields}");
    }
    let nameless = parse_embedding_request(br#"{"input":"a"}"#).unwrap_err();
    assert_eq!(nameless.field(), Some("model"));
    let deep = format!(r#""input":"a","x":{}1{}"#, "[".repeat(70), "]".repeat(70));
    assert_eq!(parse(&deep).unwrap_err().field(), Some("x"));
    let many = format!(r#""input":[{}"a"]"#, r#""a","#.repeat(2048));
    assert_eq!(parse(&many).unwrap_err().field(), Some("input"));
}

#[test]
fn vectors_are_written_as_asked() {
    let response = Response {
        model: "upstream".to_owned(),
        encoding: Encoding::Float,
        vectors: vec![
            Vector::Floats(vec![0.5, -2.0]),
            Vector::Floats(vec![0.1, 1e-7]),
        ],
        usage: None,
        usage_report: None,
        warnings: Vec::new(),
    };
    let usage = Usage::of(4, 0, UsageSource::Provider);
    let list = render_embeddings(&response, "m", &usage, false);
    assert_eq!(
        String::from_utf8(list).unwrap(),
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-2.0]},{"object":"embedding","index":1,"embedding":[0.1,1e-7]}],"model":"m","usage":{"prompt_tokens":4,"total_tokens":4}}"#
    );
    let base64 = render_embeddings(&response, "m", &usage, true);
    let base64 = String::from_utf8(base64).unwrap();
    assert!(
        base64.contains(r#""index":0,"embedding":"AAAAPwAAAMA=""#),
        "{base64}"
    );
}
