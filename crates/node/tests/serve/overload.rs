//! More than a node can do: who is turned away, and what it is told; callers who send and read slowly.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tollgate_node::Bounds;
use tollgate_proto::completion::v1::StreamCompleteResponse;
use tonic::{Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;

/// Key of another organisation.
const OTHER: &str = "tg_other";

fn bounds(max_in_flight: usize) -> Bounds {
    Bounds {
        max_in_flight,
        ..Bounds::default()
    }
}

/// Streams of the key that every test calls with, until there is no place left. They run for ten seconds.
async fn fill(gateway: &Gateway, places: usize) -> Vec<Streaming<StreamCompleteResponse>> {
    let mut client = gateway.grpc().await;
    let mut streams = Vec::new();
    for _ in 0..places {
        let mut stream = client
            .stream_complete(ask("slow"))
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap();
        streams.push(stream);
    }
    streams
}

fn with_key<M>(mut request: Request<M>, key: &str) -> Request<M> {
    let value = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    info.unwrap_or_else(|| panic!("{status:?}")).reason.clone()
}

#[tokio::test]
async fn what_has_no_place_is_refused_on_both_edges_and_told_when_to_come_back() {
    let gateway = Gateway::start_within(POLICY, bounds(4)).await;
    let mut client = gateway.grpc().await;
    let streams = fill(&gateway, 4).await;

    let status = client.complete(ask("chat")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    let response = gateway.post(&chat("chat", false)).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));

    // Without a good key that is the reason, found without looking at the request.
    let url = format!("http://{}/v1/chat/completions", gateway.address);
    let post = gateway::client().post(url).bearer_auth("sk-no");
    let response = post.body("not even JSON").send().await.unwrap();
    assert_eq!(response.status(), 401);

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", gateway.address));
    let mut health = HealthClient::new(channel.unwrap().connect().await.unwrap());
    let checked = health.check(HealthCheckRequest::default()).await;
    assert!(checked.is_ok(), "health is asked for by others");

    drop(streams);
    // Once they are gone, there is room again.
    let answered = async {
        while client.complete(ask("chat")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), answered)
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_tenant_that_has_had_nothing_gets_in_though_another_asks_all_the_time() {
    let gateway = Gateway::start_within(POLICY, bounds(4)).await;
    gateway.control.add_key_of(OTHER, "k2", "other/ada");
    let mut streams = fill(&gateway, 4).await;
    let (mut client, mut greedy) = (gateway.grpc().await, gateway.grpc().await);
    // The one place that the streams leave comes free over and over, and is wanted back at once.
    let flood = async {
        loop {
            drop(greedy.stream_complete(ask("slow")).await);
        }
    };
    // How long a place is waited for is the gate's matter; that it is given sooner or later is what counts here.
    let gets_in = async {
        while let Err(status) = client.complete(with_key(ask("chat"), OTHER)).await {
            assert_eq!(reason(&status), "OVERLOADED");
        }
    };
    streams.pop();
    let gets_in = Box::pin(async {
        tokio::select! {
            () = gets_in => {}
            () = flood => {}
        }
    });
    tokio::time::timeout(Duration::from_secs(8), gets_in)
        .await
        .expect("it gets in");
}

/// Sends the head of a request whose body never comes, and waits for the first of the answer.
async fn head_alone(gateway: &Gateway, lines: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n{lines}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 512];
    let read = stream.read(&mut answer).await.unwrap();
    answer.truncate(read);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn without_a_good_key_the_head_is_answered() {
    let gateway = Gateway::start(POLICY).await;
    let json = "content-type: application/json\r\n";
    for authorization in [
        "",
        "authorization: Bearer sk-no\r\n",
        "authorization: Bearer tg_made_up\r\n",
    ] {
        let answered = async {
            let http = head_alone(&gateway, &format!("{json}{authorization}")).await;
            assert!(http.starts_with("HTTP/1.1 401 "), "{http}");
            assert!(http.contains("x-request-id: tg-"), "{http}");
            let grpc = format!("content-type: application/grpc\r\n{authorization}");
            let grpc = head_alone(&gateway, &grpc).await;
            assert!(grpc.contains("grpc-status: 16\r\n"), "{grpc}");
        };
        let answered = tokio::time::timeout(Duration::from_secs(10), answered);
        answered.await.expect("before its body came");
    }
}

#[tokio::test]
async fn made_up_keys_take_no_places() {
    let bounds = Bounds {
        max_in_flight: 4,
        max_strangers: 8,
        ..Bounds::default()
    };
    let gateway = Gateway::start_within(POLICY, bounds).await;
    let mut client = gateway.grpc().await;
    client.complete(ask("chat")).await.expect("known from now");
    gateway.control.keep_silent();
    let made_up = |at: usize| {
        let mut client = client.clone();
        async move {
            let key = format!("tg_made_up_{at}");
            let answer = client.complete(with_key(ask("chat"), &key)).await;
            answer.unwrap_err()
        }
    };
    let mut strangers: FuturesUnordered<_> = (0..9).map(made_up).collect();
    let one_too_many = strangers.next().await.unwrap();
    assert_eq!(reason(&one_too_many), "OVERLOADED");
    // While the others wait for the control plane's word, every place is there for those who are known.
    let streams = fill(&gateway, 4).await;
    drop(streams);
    let rest: Vec<_> = strangers.collect().await;
    let reasons: Vec<_> = rest.iter().map(reason).collect();
    assert_eq!(reasons, ["NOT_READY"; 8]);
}

#[tokio::test]
async fn large_bodies_share_the_memory_there_is_for_them() {
    let bounds = Bounds {
        max_body_bytes: 100_000,
        ..Bounds::default()
    };
    let gateway = Gateway::start_within(POLICY, bounds).await;
    let long = |bytes: usize| {
        let mut body = chat("chat", false);
        body["messages"][0]["content"] = "x".repeat(bytes).into();
        body
    };
    let asked = async |bytes| gateway.post(&long(bytes)).send().await.unwrap().status();
    assert_eq!(asked(100_000).await, 200);
    assert_eq!(asked(200_000).await, 503);
    assert_eq!(asked(100_000).await, 200, "what was held is free again");
    let mut request = ask("chat");
    request.get_mut().end_user = "x".repeat(200_000);
    let status = gateway.grpc().await.complete(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_refused_before_it_comes() {
    let gateway = Gateway::start(POLICY).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: 1073741824\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It is heard out for two seconds, in vain.
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_caller_that_does_not_read_over_http1_is_settled_at_its_deadline() {
    // Eight choices of a hundred thousand words: more than all buffers on the way hold.
    let policy = with_limits("  - { name: tokens, tokens: 10000000, window: 1h }\n")
        .replace(
            "output_tokens: 1000, token_interval: 10ms",
            "output_tokens: 100000",
        )
        .replace("slow:     {", "slow:     { max_output_tokens: 100000,");
    let gateway = Gateway::start(&policy).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(gateway.address).await.unwrap();
    let mut body = chat("slow", true);
    body["n"] = 8.into();
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\nx-request-timeout-ms: 500\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    // Settled though nobody reads.
    let settled = gateway.control.wait_used("tokens", |units| units != 0);
    tokio::time::timeout(Duration::from_secs(10), settled)
        .await
        .expect("settled at its deadline");
    let used = gateway.control.used("tokens");
    assert!(used < 800_000, "it was not sent whole: {used}");
}
