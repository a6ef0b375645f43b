//! Thoughts of one account, sent to another.

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use tollgate_proto::completion::v1::{
    CompleteRequest, Message, Part, ProviderState, Reasoning, Role,
};

use super::providers::provider;
use super::*;

const REFUSAL: &str = r#"{"error":{"message":"The encrypted content could not be verified.","type":"invalid_request_error","code":"invalid_encrypted_content"}}"#;
const ANSWER: &str = r#"{"id":"r","object":"response","model":"m","status":"completed","output":[{"type":"message","id":"m1","role":"assistant","content":[{"type":"output_text","text":"yes","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}"#;
const THOUGHT: &str = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#;

/// Answers what holds no thoughts, and refuses what does.
async fn answer(body: String) -> impl IntoResponse + use<> {
    let json = [("content-type", "application/json")];
    match body.contains("gAAA") {
        true => (StatusCode::BAD_REQUEST, json, REFUSAL),
        false => (StatusCode::OK, json, ANSWER),
    }
}

fn thinking() -> tonic::Request<CompleteRequest> {
    let thought = Reasoning {
        provider_state: vec![ProviderState {
            provider: "openai".to_owned(),
            kind: "item".to_owned(),
            data: THOUGHT.as_bytes().into(),
        }],
        ..Reasoning::default()
    };
    let text = |text: &str| part::Part::Text(text.to_owned());
    let parts = [part::Part::Reasoning(thought), text("no")];
    let mut request = ask("chat");
    let question = request.get_ref().messages[0].clone();
    let said = Message {
        role: Role::Assistant.into(),
        parts: parts
            .map(|part| Part {
                part: Some(part),
                ..Part::default()
            })
            .into(),
        name: String::new(),
    };
    request.get_mut().messages.extend([said, question]);
    request
}

/// What is sent once more without them is an attempt like any other: it takes room under ceilings, and is told.
#[tokio::test]
async fn thoughts_of_another_account_are_left_out_in_another_attempt() {
    let (account, _task) = provider(Router::new().fallback(answer)).await;
    for (ceiling, expect, warned) in [
        (2, ["first", "first"], true),
        (1, ["first", "second"], false),
    ] {
        let policy = format!(
            r#"
providers:
  p: {{ kind: openai, base_url: "http://{account}", internal: true }}
  q: {{ kind: simulated, simulated: {{ output_tokens: 5 }} }}
deployments:
  first:  {{ provider: p, model: m, api: responses, limits: {{ requests_per_minute: {ceiling} }} }}
  second: {{ provider: q, model: m }}
pools:
  first:  {{ targets: [ {{ deployment: first }} ] }}
  second: {{ targets: [ {{ deployment: second }} ] }}
models:
  chat: {{ routes: [ {{ pools: [first, second] }} ], max_output_tokens: 100 }}
"#
        );
        let gateway = Gateway::start(&policy).await;
        let mut client = gateway.grpc().await;
        let answer = client.complete(thinking()).await.unwrap().into_inner();
        let attempts = answer.route.unwrap().attempts;
        let asked: Vec<_> = attempts.iter().map(|it| &*it.deployment).collect();
        assert_eq!(asked, expect);
        let outcomes: Vec<_> = attempts.iter().map(|it| it.outcome()).collect();
        let outcome = [AttemptOutcome::Rejected, AttemptOutcome::Answered];
        assert_eq!(outcomes, outcome);
        let told = answer.warnings.iter().any(|it| it.field == "messages");
        assert_eq!(told, warned, "{:?}", answer.warnings);
    }
}
