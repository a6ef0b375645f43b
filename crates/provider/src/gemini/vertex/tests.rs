use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use crate::chat::{Message, Role, Usage, UsageSource};
use crate::codec::{Codec, Kind, Outgoing, Target};
use crate::embeddings::{Input, InputType, Request, Truncation, Vector};
use crate::{Error, chat};

const BASE: &str =
    "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google";

fn codec() -> Codec {
    Codec::new(Kind::Gemini).at(BASE)
}

fn request(inputs: &[&str]) -> Request {
    Request {
        inputs: inputs
            .iter()
            .map(|it| Input::Text((*it).to_owned()))
            .collect(),
        dimensions: Some(8),
        input_type: Some(InputType::Query),
        truncation: Some(Truncation::Refuse),
        ..Request::default()
    }
}

/// Checks what is sent for vectors of a model.
fn check(model: &str, inputs: &[&str], path: &str, body: &str) {
    let sent = codec().encode_embeddings(&request(inputs), &Target::of(model));
    let sent = sent.unwrap();
    assert_eq!((&*sent.path, &sent.body[..]), (path, body.as_bytes()));
}

#[test]
fn each_model_is_asked_for_vectors_in_its_own_way() {
    let config = r#"{"taskType":"RETRIEVAL_QUERY","outputDimensionality":8,"autoTruncate":false}"#;
    let content = |text: &str| format!(r#"{{"parts":[{{"text":"{text}"}}]}}"#);
    let one = |text: &str| {
        let content = content(text);
        format!(r#"{{"content":{content},"embedContentConfig":{config}}}"#)
    };
    check(
        "gemini-embedding-001",
        &["a"],
        "/models/gemini-embedding-001:embedContent",
        &one("a"),
    );
    check(
        "gemini-embedding-2",
        &["a", "b"],
        "/models/gemini-embedding-2:batchEmbedContents",
        &format!(r#"{{"requests":[{},{}]}}"#, one("a"), one("b")),
    );
    check(
        "text-embedding-005",
        &["a", "b"],
        "/models/text-embedding-005:predict",
        concat!(
            r#"{"instances":[{"content":"a","task_type":"RETRIEVAL_QUERY"},"#,
            r#"{"content":"b","task_type":"RETRIEVAL_QUERY"}],"#,
            r#""parameters":{"outputDimensionality":8,"autoTruncate":false}}"#,
        ),
    );
}

#[test]
fn every_way_of_telling_vectors_is_read_with_its_count() {
    let vector = |numbers: [f32; 2]| Vector::Floats(numbers.to_vec());
    let two = [vector([0.5, 1.0]), vector([1.0, 0.5])];
    for (inputs, body) in [
        (
            &["a"][..],
            r#"{"embedding":{"values":[0.5,1]},"usageMetadata":{"promptTokenCount":7},"truncated":false}"#,
        ),
        (
            &["a", "b"],
            r#"{"embeddings":[{"values":[0.5,1],"statistics":{"token_count":3}},{"values":[1,0.5],"statistics":{"token_count":4}}]}"#,
        ),
        (
            &["a", "b"],
            r#"{"predictions":[{"embeddings":{"values":[0.5,1],"statistics":{"token_count":3,"truncated":false}}},{"embeddings":{"values":[1,0.5],"statistics":{"token_count":4}}}],"metadata":{"billableCharacterCount":2}}"#,
        ),
    ] {
        let request = request(inputs);
        let read = codec().decode_embeddings(&HeaderMap::new(), body.as_bytes(), &request);
        let read = read.unwrap();
        assert_eq!(read.vectors, two[..inputs.len()], "{body}");
        let usage = Usage::of(7, 0, UsageSource::Provider);
        assert_eq!(read.usage, Some(usage), "{body}");
    }
}

#[test]
fn what_a_model_takes_not_is_refused_by_name() {
    let refused = |model: &str, change: fn(&mut Request)| {
        let mut request = request(&["a"]);
        change(&mut request);
        let sent = codec().encode_embeddings(&request, &Target::of(model));
        sent.unwrap_err().field().map(str::to_owned)
    };
    let image = |request: &mut Request| {
        request.inputs.push(Input::Image(chat::Image {
            source: chat::Source::Url("https://x.example/a.png".to_owned()),
            detail: None,
        }));
    };
    assert_eq!(
        refused("text-embedding-005", image).as_deref(),
        Some("inputs[1]")
    );
    let start = |request: &mut Request| request.truncation = Some(Truncation::Start);
    assert_eq!(
        refused("gemini-embedding-2", start).as_deref(),
        Some("truncation")
    );
    let taken = |request: &mut Request| {
        let options = [("autoTruncate".to_owned(), true.into())];
        request.provider_options = options.into_iter().collect();
    };
    assert_eq!(
        refused("gemini-embedding-2", taken).as_deref(),
        Some("provider_options.autoTruncate")
    );
}

#[test]
fn tokens_are_bearers_and_keys_are_keys() {
    let authorized = |codec: &Codec, credential: &str| -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        let mut outgoing = Outgoing {
            method: &Method::POST,
            host: "x.example",
            path: "/",
            query: "",
            headers: &mut headers,
            body: b"",
        };
        codec.authorize(&mut outgoing, credential, std::time::UNIX_EPOCH)?;
        Ok(headers)
    };
    let studio = Codec::new(Kind::Gemini).at("https://generativelanguage.googleapis.com/v1beta");
    for (codec, credential, is_bearer) in [
        (&codec(), "ya29.a", true),
        (&codec(), "eyJhbGciOi", true),
        (&codec(), "AIzaSy", false),
        (&studio, "ya29.a", true),
        (&studio, "AIzaSy", false),
        (&studio, "other", false),
    ] {
        let headers = authorized(codec, credential).unwrap();
        assert_eq!(
            headers.contains_key(AUTHORIZATION),
            is_bearer,
            "{credential}"
        );
        let key = headers.contains_key("x-goog-api-key");
        assert_eq!(key, !is_bearer, "{credential}");
    }
}

#[test]
fn what_counts_is_asked_for_by_itself() {
    let request = chat::Request {
        messages: vec![
            Message::text(Role::System, "Be brief."),
            Message::text(Role::User, "hi"),
        ],
        ..chat::Request::default()
    };
    let asked = codec().count_tokens(&request, &Target::of("m"));
    let asked = asked.unwrap().unwrap();
    assert_eq!(asked.path, "/models/m:countTokens");
    assert_eq!(
        asked.body,
        r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"systemInstruction":{"parts":[{"text":"Be brief."}]}}"#
    );
    assert!(codec().list_models(None).is_none());
}
