//! How requests, policies and the node itself end.

use serde_json::json;
use tollgate_proto::completion::v1::embedding_service_client::EmbeddingServiceClient;
use tollgate_proto::completion::v1::{
    EmbedInput, EmbedRequest, Image, InputType, embed_input, image,
};

use super::*;

#[tokio::test]
async fn deadlines_end_requests_at_every_stage() {
    let gateway = Gateway::start(POLICY).await;
    let mut client = gateway.grpc().await;
    let status = client.complete(ask("mute")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let response = gateway
        .post(&chat("mute", false))
        .header("x-request-timeout-ms", "30")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 504);

    // tonic's client would end the call by itself: the header is written by hand.
    let mut request = ask("slow");
    request
        .metadata_mut()
        .insert("grpc-timeout", "150m".parse().unwrap());
    let mut stream = client.stream_complete(request).await.unwrap().into_inner();
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream outlived its deadline"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);

    let mut request = ask("chat");
    request
        .metadata_mut()
        .insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(
        client.complete(request).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_caller_that_leaves_is_settled() {
    let limits = "  - { name: tokens, tokens: 100000, window: 1h }\n";
    let gateway = Gateway::start(&with_limits(limits)).await;
    let mut stream = gateway
        .grpc()
        .await
        .stream_complete(ask("slow"))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    // Far less than the reservation of 4096, and not nothing.
    // Settled.
    gateway
        .control
        .wait_used("tokens", |units| units != 0)
        .await;
    assert!(
        gateway.control.used("tokens") < 100,
        "{}",
        gateway.control.used("tokens")
    );
}

#[tokio::test]
async fn a_caller_that_does_not_read_is_settled_at_its_deadline() {
    let limits = "  - { name: tokens, tokens: 100000, window: 1h }\n";
    let gateway = Gateway::start(&with_limits(limits)).await;
    // Room for one small message, and no more as long as nothing is read.
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", gateway.address))
        .unwrap()
        .initial_stream_window_size(200)
        .connect()
        .await
        .unwrap();
    let mut client = CompletionServiceClient::new(channel);
    let mut request = ask("slow");
    request
        .metadata_mut()
        .insert("grpc-timeout", "500m".parse().unwrap());
    let stream = client.stream_complete(request).await.unwrap();
    // Settled though nobody reads.
    gateway
        .control
        .wait_used("tokens", |units| units != 0)
        .await;
    drop(stream);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_on_both_edges() {
    let gateway = Gateway::start(POLICY).await;
    let mut request = ask("chat");
    request.get_mut().end_user = "x".repeat(5 << 20);
    let status = gateway.grpc().await.complete(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "REQUEST_INVALID"
    );
}

#[tokio::test]
async fn a_bad_policy_is_refused_and_the_good_one_goes_on() {
    let gateway = Gateway::start(POLICY).await;
    let mut bad = control::parse(POLICY);
    bad.pools.clear();
    gateway.control.push(2, bad);
    let answers = gateway.control.answers(2).await;
    assert!(matches!(&answers[0], Heard::Ack(ack) if ack.revision == 1));
    assert!(
        matches!(&answers[1], Heard::Nack(nack) if nack.revision == 2 && !nack.reason.is_empty())
    );
    assert!(gateway.grpc().await.complete(ask("chat")).await.is_ok());
    gateway.control.push(3, control::parse(POLICY));
    let answers = gateway.control.answers(3).await;
    assert!(matches!(&answers[2], Heard::Ack(ack) if ack.revision == 3));
}

#[tokio::test]
async fn a_node_serves_from_its_snapshot() {
    let gateway = Gateway::start(POLICY).await;
    assert!(gateway.grpc().await.complete(ask("chat")).await.is_ok());
    gateway.control.stop();
    let started = tokio::time::Instant::now();
    let mut gateway = gateway.restart().await;
    gateway.ready().await;
    assert!(gateway.grpc().await.complete(ask("chat")).await.is_ok());
    assert!(started.elapsed() < Duration::from_secs(5));
    // A key that it has not met cannot be judged.
    let mut request = ask("chat");
    request
        .metadata_mut()
        .insert("authorization", "Bearer tg_other".parse().unwrap());
    let status = gateway.grpc().await.complete(request).await.unwrap_err();
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "NOT_READY"
    );
}

#[tokio::test]
async fn a_drain_lets_streams_finish() {
    let gateway = Gateway::start(POLICY).await;
    let mut request = ask("slow");
    request.get_mut().max_output_tokens = Some(30);
    let mut stream = gateway
        .grpc()
        .await
        .stream_complete(request)
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    gateway.begin_stop();
    let mut last = None;
    while let Some(message) = stream.message().await.unwrap() {
        last = Some(message);
    }
    assert!(last.unwrap().usage.is_some());
    gateway.stopped().await;
}

#[tokio::test]
async fn requests_that_cannot_be_are_refused_in_their_own_language() {
    let gateway = Gateway::start(POLICY).await;
    let base = format!("http://{}", gateway.address);
    for (path, status) in [("/v1/nothing", 404), ("/v1/models", 401)] {
        let get = gateway::client().get(format!("{base}{path}"));
        let response = match status {
            404 => get.bearer_auth(KEY),
            _ => get,
        }
        .send()
        .await
        .unwrap();
        assert_eq!(response.status(), status, "{path}");
        let body: serde_json::Value =
            serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(body["error"]["message"].is_string(), "{path}");
    }
    let response = gateway.post(&chat("nothing", false)).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let huge = serde_json::json!({ "model": "chat", "messages": [], "user": "x".repeat(5 << 20) });
    assert_eq!(gateway.post(&huge).send().await.unwrap().status(), 413);
    let response = gateway
        .post(&serde_json::json!({ "model": 5 }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let response = gateway
        .post(&chat("chat", false))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert!(body["error"]["param"].is_null(), "{body}");
    let mut hot = chat("chat", false);
    hot["temperature"] = serde_json::json!(9);
    let response = gateway.post(&hot).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let mut request = ask("chat");
    request.get_mut().temperature = Some(9.0);
    let status = gateway.grpc().await.complete(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status
        .get_error_details()
        .bad_request()
        .unwrap()
        .field_violations
        .clone();
    assert_eq!(violations[0].field, "temperature");
}

/// What is not known must not pass for what is: the list of prices tells of texts only.
#[tokio::test]
async fn pictures_of_unknown_price_are_not_embedded_where_money_is_limited() {
    const POLICY: &str = r#"
providers:
  p: { kind: cohere, base_url: "http://127.0.0.1:1", internal: true }
deployments:
  unknown: { provider: p, model: embed-v4.0 }
  known:   { provider: p, model: embed-v4.0, price: { input_image: "0.47" } }
pools:
  unknown: { targets: [ { deployment: unknown } ] }
  known:   { targets: [ { deployment: known } ] }
models:
  unknown: { routes: [ { pools: [unknown] } ] }
  known:   { routes: [ { pools: [known] } ] }
"#;
    let text = || embed_input::Input::Text("one".to_owned());
    let picture = || {
        embed_input::Input::Image(Image {
            source: Some(image::Source::Data(b"GIF89a".as_slice().into())),
            media_type: "image/gif".to_owned(),
            ..Image::default()
        })
    };
    let limited = format!("{POLICY}limits: [ {{ name: cost, cost_usd: \"1\", window: 1h }} ]\n");
    for (policy, model, input, refused) in [
        (&limited, "unknown", picture(), true),
        (&limited, "unknown", text(), false),
        (&limited, "known", picture(), false),
        (&POLICY.to_owned(), "unknown", picture(), false),
    ] {
        let gateway = Gateway::start(policy).await;
        let address = format!("http://{}", gateway.address);
        let mut client = EmbeddingServiceClient::connect(address).await.unwrap();
        let mut request = tonic::Request::new(EmbedRequest {
            model: model.to_owned(),
            inputs: vec![EmbedInput { input: Some(input) }],
            input_type: InputType::Query.into(),
            ..EmbedRequest::default()
        });
        let bearer = format!("Bearer {KEY}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let status = client.embed(request).await.unwrap_err();
        // Nobody answers there.
        let expect = if refused {
            Code::InvalidArgument
        } else {
            Code::Unavailable
        };
        assert_eq!(status.code(), expect, "{model}: {status}");
        let named = status.get_details_bad_request();
        let named = named.and_then(|it| it.field_violations.first().cloned());
        let named = named.map(|it| (it.field, it.description.contains("`unknown`")));
        let image = ("inputs[0].image".to_owned(), true);
        assert_eq!(named, refused.then_some(image));
    }
}

/// Nor may sound, or a search that no tool makes.
#[tokio::test]
async fn what_has_no_price_is_not_asked_for_where_money_is_limited() {
    const POLICY: &str = r#"
providers:
  p: { kind: openai, base_url: "http://127.0.0.1:1", internal: true }
  q: { kind: anthropic, base_url: "http://127.0.0.1:1", internal: true }
deployments:
  plain: { provider: p, model: m, price: { input: "1", output: "2" } }
  rich:  { provider: p, model: m, price: { input: "1", output: "2", input_audio: "9", output_audio: "9", search: "0.01" } }
  # These are not told of what they have no words for, and of what they lack.
  other: { provider: q, model: m, price: { input: "1", output: "2" } }
  deaf:  { provider: p, model: m, lacks: [audio], price: { input: "1", output: "2", search: "0.01" } }
pools:
  plain: { targets: [ { deployment: plain } ] }
  rich:  { targets: [ { deployment: rich }, { deployment: other }, { deployment: deaf } ] }
models:
  plain: { routes: [ { pools: [plain] } ] }
  rich:  { routes: [ { pools: [rich] } ] }
limits: [ { name: cost, cost_usd: "1", window: 1h } ]
"#;
    let gateway = Gateway::start(POLICY).await;
    let sound = json!([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]);
    for (more, refused) in [
        (json!({}), None),
        (
            json!({"messages": [{"role": "user", "content": sound}]}),
            Some("price.input_audio"),
        ),
        (
            json!({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}),
            Some("price.output_audio"),
        ),
        (json!({"web_search_options": {}}), Some("price.search")),
    ] {
        for model in ["plain", "rich"] {
            let mut body = chat(model, false);
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            let response = gateway.post(&body).send().await.unwrap();
            let status = response.status().as_u16();
            let said = response.text().await.unwrap();
            match refused.filter(|_| model == "plain") {
                Some(price) => {
                    assert_eq!(status, 400, "{said}");
                    assert!(said.contains(price) && said.contains("`plain`"), "{said}");
                }
                // Nobody answers there, or has words for it.
                None => assert!(!said.contains("price."), "{status} {said}"),
            }
        }
    }
}
