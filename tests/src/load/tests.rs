use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tollgate_proto::completion::v1 as pb;
use tollgate_proto::completion::v1::completion_service_server::{
    CompletionService, CompletionServiceServer,
};
use tonic::{Request, Response, Status};

use super::*;
use crate::provider::MockProvider;

fn short(provider: &MockProvider) -> Load {
    Load {
        target: format!("http://{}", provider.address()),
        key: "sk-load".to_owned(),
        callers: 4,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(300),
        timeout: Duration::from_secs(5),
        ..Load::default()
    }
}

#[test]
fn the_open_loop_sends_at_its_rate_and_checks_every_reply() {
    let provider = MockProvider::start().unwrap();
    let load = Load {
        pace: Pace::Open { rate: 200.0 },
        ..short(&provider)
    };
    let report = run(&load).unwrap();
    report.all_ok().unwrap();
    // 59 or 60: the last tick falls together with the end.
    assert!((59..=60).contains(&report.due), "{report:?}");
    assert_eq!(provider.stats().completed, report.ok);
    assert!(report.total_us.p50 > 0.0 && report.total_us.max < 5e6);
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    let provider = MockProvider::start().unwrap();
    // One caller, 20 ms a reply, 100 requests a second: the queue grows by 10 ms per request.
    let load = Load {
        model: "slow-first-20ms".to_owned(),
        callers: 1,
        pace: Pace::Open { rate: 100.0 },
        ..short(&provider)
    };
    let report = run(&load).unwrap();
    report.all_ok().unwrap();
    assert!(report.total_us.max > 200_000.0, "{report:?}");
}

#[test]
fn the_closed_loop_streams_and_times_the_first_content() {
    let provider = MockProvider::start().unwrap();
    let load = Load {
        stream: true,
        model: "ok-5x2ms".to_owned(),
        chunks: 5,
        pace: Pace::Closed,
        ..short(&provider)
    };
    let report = run(&load).unwrap();
    report.all_ok().unwrap();
    let first = report.first_us.unwrap();
    assert!(
        first.p50 >= 2_000.0 && report.total_us.p50 >= 10_000.0,
        "{report:?}"
    );
}

#[test]
fn what_is_not_a_right_answer_is_told_apart() {
    let provider = MockProvider::start().unwrap();
    let check = |model: &str, stream: bool, failure: &str| {
        let load = Load {
            model: model.to_owned(),
            stream,
            callers: 1,
            pace: Pace::Closed,
            duration: Duration::from_millis(100),
            timeout: Duration::from_millis(if model == "hang" { 20 } else { 5000 }),
            ..short(&provider)
        };
        let report = run(&load).unwrap();
        assert!(report.all_ok().is_err());
        let kinds: Vec<&String> = report.failures.keys().collect();
        assert!(
            kinds.len() == 1 && kinds[0].starts_with(failure),
            "{model}: {kinds:?}"
        );
    };
    check("status-429-retry-1", false, "429");
    check("ok-7", false, "wrong: content is missing");
    check("ok-9", true, "wrong: unexpected content");
    check("bad-json", false, "wrong: bad JSON");
    check("truncate-after-8", true, "wrong: the stream has no [DONE]");
    check("error-in-stream-2", true, "wrong: error event");
    check("close-after-2", true, "transport: ");
    check("reset", false, "transport: ");
    check("hang", false, "timed out");
}

/// A node that answers over gRPC as the fake provider would, or refuses.
struct Node {
    refuse: bool,
}

type Deltas = tokio_stream::Iter<std::vec::IntoIter<Result<pb::StreamCompleteResponse, Status>>>;

#[tonic::async_trait]
impl CompletionService for Node {
    type StreamCompleteStream = Deltas;

    async fn complete(
        &self,
        request: Request<pb::CompleteRequest>,
    ) -> Result<Response<pb::CompleteResponse>, Status> {
        let text = self.answer(&request)?;
        let part = pb::part::Part::Text(text);
        let parts = vec![pb::Part {
            part: Some(part),
            ..pb::Part::default()
        }];
        let choice = pb::Choice {
            message: Some(pb::Message {
                parts,
                ..pb::Message::default()
            }),
            finish_reason: pb::FinishReason::Stop.into(),
            ..pb::Choice::default()
        };
        let choices = vec![choice];
        Ok(Response::new(pb::CompleteResponse {
            choices,
            ..pb::CompleteResponse::default()
        }))
    }

    async fn count_tokens(
        &self,
        _request: Request<pb::CountTokensRequest>,
    ) -> Result<Response<pb::CountTokensResponse>, Status> {
        Err(Status::unimplemented("no load is made of counts"))
    }

    async fn explain(
        &self,
        _request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::ExplainResponse>, Status> {
        Err(Status::unimplemented("no load is made of explanations"))
    }

    async fn stream_complete(
        &self,
        request: Request<pb::CompleteRequest>,
    ) -> Result<Response<Deltas>, Status> {
        let text = self.answer(&request)?;
        let mut words: Vec<_> = text
            .split_inclusive(' ')
            .map(|word| Ok(delta(word)))
            .collect();
        let end = pb::ChoiceDelta {
            finish_reason: pb::FinishReason::Stop.into(),
            ..pb::ChoiceDelta::default()
        };
        words.push(Ok(pb::StreamCompleteResponse {
            choices: vec![end],
            ..Default::default()
        }));
        Ok(Response::new(tokio_stream::iter(words)))
    }
}

fn delta(word: &str) -> pb::StreamCompleteResponse {
    let delta = Some(pb::part_delta::Delta::Text(word.to_owned()));
    let choice = pb::ChoiceDelta {
        parts: vec![pb::PartDelta { delta }],
        ..pb::ChoiceDelta::default()
    };
    pb::StreamCompleteResponse {
        choices: vec![choice],
        ..pb::StreamCompleteResponse::default()
    }
}

impl Node {
    fn answer(&self, request: &Request<pb::CompleteRequest>) -> Result<String, Status> {
        if self.refuse {
            return Err(Status::resource_exhausted("used up"));
        }
        assert_eq!(
            request.metadata().get("authorization").unwrap(),
            "Bearer sk-load"
        );
        let message = &request.get_ref().messages[0];
        let Some(pb::part::Part::Text(prompt)) = &message.parts[0].part else {
            panic!("no text in {message:?}");
        };
        let nonce = prompt
            .strip_prefix("nonce=")
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        Ok(crate::provider::expected_content(nonce, 8))
    }
}

async fn load_grpc(node: Node, stream: bool) -> Report {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = Load {
        target: format!("http://{}", listener.local_addr().unwrap()),
        protocol: Protocol::Grpc,
        stream,
        key: "sk-load".to_owned(),
        callers: 8,
        connections: 2,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(300),
        ..Load::default()
    };
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = CompletionServiceServer::new(node);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::select! {
        report = run_async(&load) => report.unwrap(),
        ended = server.serve_with_incoming(incoming) => panic!("the server ended: {ended:?}"),
    }
}

#[tokio::test]
async fn grpc_replies_are_checked_whole_and_refusals_named() {
    for stream in [false, true] {
        let report = load_grpc(Node { refuse: false }, stream).await;
        report.all_ok().unwrap();
        let report = load_grpc(Node { refuse: true }, stream).await;
        assert_eq!(
            report.failures.keys().collect::<Vec<_>>(),
            ["ResourceExhausted"]
        );
        assert_eq!(report.ok, 0);
    }
}

/// Answers as the fake provider would, over HTTP/2 alone, to this many connections.
async fn serve_http2(listener: tokio::net::TcpListener, most: usize) {
    let mut connections = JoinSet::new();
    for _ in 0..most {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(|request: ::http::Request<Incoming>| async {
            assert_eq!(request.version(), ::http::Version::HTTP_2);
            let body = request.into_body().collect().await?.to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let prompt = body["messages"][0]["content"].as_str().unwrap();
            let nonce = prompt.strip_prefix("nonce=").unwrap().split(' ').next();
            let content = crate::provider::expected_content(nonce.unwrap(), 8);
            let answer = serde_json::json!({"choices": [
                {"index": 0, "message": {"content": content}, "finish_reason": "stop"},
            ]});
            Ok::<_, hyper::Error>(::http::Response::new(Full::<Bytes>::from(
                answer.to_string(),
            )))
        });
        connections.spawn(async move {
            let server = http2::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service).await
        });
    }
    connections.join_all().await;
}

#[tokio::test]
async fn callers_over_http2_share_the_connections() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let load = Load {
        target: format!("http://{}", listener.local_addr().unwrap()),
        protocol: Protocol::Http2,
        callers: 8,
        connections: 2,
        pace: Pace::Closed,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(300),
        ..Load::default()
    };
    // A caller on a third connection would wait in vain.
    let (report, ()) = tokio::join!(run_async(&load), serve_http2(listener, 2));
    report.unwrap().all_ok().unwrap();
}
