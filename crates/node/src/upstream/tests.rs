//! Providers that misbehave over real connections on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tollgate_policy::table::{Credential, Timeouts};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::Class;
use tollgate_provider::chat::{Chunk, Message, Role};

use super::*;

mod coding;
mod kinds;
mod rotation;
mod thoughts;

const ANSWER: &str = r#"{"id":"1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
const EVENT: &str = "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"},\"finish_reason\":null}]}\n\n";

/// A server that does the same with every connection: reads a request's head, writes `answer`, and then closes
/// the connection or keeps it open. The heads it read arrive at the receiver.
struct Server {
    address: SocketAddr,
    heads: tokio::sync::mpsc::Receiver<String>,
    _task: JoinSet<()>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>, close: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, heads) = tokio::sync::mpsc::channel(16);
        let answer: Vec<u8> = answer.into();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = seen.send(read_request(&mut stream).await).await;
                stream.write_all(&answer).await.unwrap();
                if !close {
                    open.push(stream);
                }
            }
        });
        Self {
            address,
            heads,
            _task: task,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let read = read_whole(stream).await;
    let head = read.split("\r\n\r\n").next();
    head.unwrap_or_default().to_ascii_lowercase()
}

async fn read_whole(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        read.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return text;
            }
        }
        assert_ne!(count, 0, "the request broke off");
    }
}

fn provider(address: SocketAddr, internal: bool, credential: Credential) -> Arc<Provider> {
    Arc::new(Provider {
        index: 0,
        name: "p".into(),
        kind: compatible(format!("http://{address}/v1")),
        drop_unsupported: false,
        credential,
        internal,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_millis(200),
            idle: Duration::from_millis(200),
        },
    })
}

fn compatible(base_url: String) -> Kind {
    Kind::Http(Endpoint {
        protocol: Protocol::OpenAiCompatible,
        base_url,
        api_version: None,
        region: String::new(),
    })
}

/// The deployment that is asked.
fn m() -> Deployment {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    Deployment {
        index: 0,
        name: "m".into(),
        provider: provider(nowhere, true, Credential::None),
        model: "m".to_owned(),
        base_model: "m".to_owned(),
        api: table::Api::ChatCompletions,
        price: None,
        prefill: None,
        lacks: Vec::new(),
        ceilings: Vec::new(),
    }
}

fn upstream(server: &Server) -> Upstream {
    Upstream::new(&provider(server.address, true, Credential::None))
}

fn request() -> Request {
    Request {
        model: "chat".into(),
        messages: vec![Message::text(Role::User, "hello")],
        max_output_tokens: Some(10),
        ..Request::default()
    }
}

fn ok(body: &str, kind: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

async fn whole(answer: impl Into<Vec<u8>>, close: bool) -> Result<Response, Ended> {
    let server = Server::start(answer, close).await;
    upstream(&server).whole(&request(), &m(), &|_| ()).await
}

/// Reads a stream to its end.
async fn stream(answer: impl Into<Vec<u8>>, close: bool) -> (Vec<Chunk>, Result<(), Ended>) {
    let server = Server::start(answer, close).await;
    let mut chunks = Vec::new();
    let mut live = match upstream(&server).stream(&request(), &m(), &|_| ()).await {
        Ok(live) => live,
        Err(ended) => return (chunks, Err(ended)),
    };
    let end = read_to_end(&mut live, &mut chunks).await;
    (chunks, end)
}

async fn read_to_end(live: &mut LiveStream, chunks: &mut Vec<Chunk>) -> Result<(), Ended> {
    while live.next(chunks).await? {}
    Ok(())
}

#[tokio::test]
async fn a_whole_answer() {
    let response = whole(ok(ANSWER, "application/json"), false).await.unwrap();
    assert_eq!(response.usage.unwrap().total(), 4);
}

#[tokio::test]
async fn a_request_carries_the_credential_and_nothing_else() {
    let mut server = Server::start(ok(ANSWER, "application/json"), false).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "canary-secret\n").unwrap();
    let upstream = Upstream::new(&provider(server.address, true, Credential::File(path)));
    assert!(upstream.whole(&request(), &m(), &|_| ()).await.is_ok());
    let head = server.heads.recv().await.unwrap();
    assert!(
        head.contains("authorization: bearer canary-secret"),
        "{head}"
    );
    assert!(head.contains("accept-encoding: identity"), "{head}");
    assert!(
        !format!("{upstream:?}").contains("canary"),
        "the credential shows"
    );
}

#[tokio::test]
async fn a_missing_credential_is_named_and_nothing_is_sent() {
    let mut server = Server::start(ok(ANSWER, "application/json"), false).await;
    let name = "TOLLGATE_TEST_NO_SUCH_VARIABLE";
    let upstream = Upstream::new(&provider(
        server.address,
        true,
        Credential::Env(name.into()),
    ));
    assert!(upstream.fault().unwrap().contains(name));
    let ended = upstream.whole(&request(), &m(), &|_| ()).await.unwrap_err();
    assert_eq!(
        (ended.outcome, ended.reached),
        (AttemptOutcome::KeyRefused, Reached::Nobody)
    );
    assert!(ended.failure.to_string().contains(name));
    assert!(server.heads.try_recv().is_err());
}

#[tokio::test]
async fn an_internal_address_is_refused_unless_allowed() {
    let mut server = Server::start(ok(ANSWER, "application/json"), false).await;
    let literal = Upstream::new(&provider(server.address, false, Credential::None));
    let ended = literal.whole(&request(), &m(), &|_| ()).await.unwrap_err();
    assert_eq!(
        (ended.outcome, ended.reached),
        (AttemptOutcome::AddressRefused, Reached::Nobody)
    );
    let named = Provider {
        kind: compatible("https://localhost:1/v1".to_owned()),
        ..(*provider(server.address, false, Credential::None)).clone()
    };
    let ended = Upstream::new(&Arc::new(named))
        .whole(&request(), &m(), &|_| ())
        .await
        .unwrap_err();
    assert_eq!(
        (ended.outcome, ended.reached),
        (AttemptOutcome::AddressRefused, Reached::Nobody)
    );
    assert!(server.heads.try_recv().is_err());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let mut trap = Server::start(ok(ANSWER, "application/json"), false).await;
        let to = trap.address;
        let redirect = format!(
            "HTTP/1.1 {status} x\r\nlocation: http://{to}/v1/chat/completions\r\ncontent-length: 0\r\n\r\n"
        );
        let ended = whole(redirect, false).await.unwrap_err();
        assert_eq!(ended.reached, Reached::Refusal, "{status}");
        assert!(trap.heads.try_recv().is_err(), "{status} was followed");
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_was_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let upstream = Upstream::new(&provider(address, true, Credential::None));
    let ended = upstream.whole(&request(), &m(), &|_| ()).await.unwrap_err();
    assert_eq!(
        (ended.outcome, ended.reached),
        (AttemptOutcome::TransportError, Reached::Nobody)
    );
}

#[expect(clippy::too_many_lines, reason = "one row for each failure")]
#[tokio::test]
async fn failures_of_whole_answers() {
    let cases = [
        (
            "nothing at all",
            String::new(),
            false,
            AttemptOutcome::TimedOut,
            Reached::Perhaps,
        ),
        (
            "closed at once",
            String::new(),
            true,
            AttemptOutcome::TransportError,
            Reached::Perhaps,
        ),
        (
            "an error",
            "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".into(),
            false,
            AttemptOutcome::ServerError,
            Reached::Refusal,
        ),
        (
            "a limit",
            "HTTP/1.1 429 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".into(),
            false,
            AttemptOutcome::RateLimited,
            Reached::Refusal,
        ),
        (
            "no JSON",
            ok("<html>", "text/html"),
            false,
            AttemptOutcome::BadResponse,
            Reached::Perhaps,
        ),
        (
            "a limit told in a success",
            ok(
                r#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#,
                "application/json",
            ),
            false,
            AttemptOutcome::RateLimited,
            Reached::Perhaps,
        ),
        (
            "cut short",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}",
                ANSWER.len() + 5
            ),
            true,
            AttemptOutcome::TransportError,
            Reached::Perhaps,
        ),
        (
            "stopped within",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}",
                ANSWER.len() + 5
            ),
            false,
            AttemptOutcome::TimedOut,
            Reached::Perhaps,
        ),
    ];
    for (what, answer, close, outcome, reached) in cases {
        let ended = whole(answer, close).await.unwrap_err();
        assert_eq!(
            (ended.outcome, ended.reached),
            (outcome, reached),
            "{what}: {}",
            ended.failure
        );
    }
}

#[tokio::test]
async fn a_stream_ends_well_only_with_its_end() {
    const END: &str = "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let (chunks, result) = stream(format!("{head}{EVENT}{END}data: [DONE]\n\n"), true).await;
    assert!(result.is_ok() && chunks.len() >= 2, "{chunks:?}");
    let (_, result) = stream(format!("{head}{EVENT}{END}"), true).await;
    assert!(result.is_ok(), "a missing sentinel is forgiven");
    let (chunks, result) = stream(format!("{head}{EVENT}"), true).await;
    assert_eq!(result.unwrap_err().outcome, AttemptOutcome::Truncated);
    assert!(!chunks.is_empty(), "what came before the cut is handed on");
}

#[tokio::test]
async fn content_comes_before_a_break_in_one_piece_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = Upstream::new(&provider(address, true, Credential::None));
    let begin = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let begun = format!("{head}{EVENT}");
        connection.write_all(begun.as_bytes()).await.unwrap();
        connection
    };
    let asking = request();
    let of = m();
    let (live, mut connection) = tokio::join!(upstream.stream(&asking, &of, &|_| ()), begin);
    let (mut live, mut chunks) = (live.unwrap(), Vec::new());
    assert!(live.next(&mut chunks).await.unwrap());
    let before = chunks.clone();
    let broken = format!("{EVENT}{EVENT}data: {{\"error\":{{\"message\":\"m\"}}}}\n\n");
    connection.write_all(broken.as_bytes()).await.unwrap();
    assert!(live.next(&mut chunks).await.unwrap());
    let (kept, fresh) = chunks.split_at(before.len());
    assert!(kept == before && fresh.len() == 1, "{chunks:?}");
    assert!(live.next(&mut chunks).await.is_err());
}

#[tokio::test]
async fn a_silent_stream_times_out_comments_or_not() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    for silence in ["", ": still here\n\n"] {
        let (_, result) = stream(format!("{head}{EVENT}{silence}"), false).await;
        assert_eq!(result.unwrap_err().outcome, AttemptOutcome::TimedOut);
    }
}

#[tokio::test]
async fn what_is_no_stream_is_a_bad_answer() {
    for kind in ["text/html; charset=utf-8", "application/json"] {
        let (_, result) = stream(ok("<html>", kind), false).await;
        assert_eq!(
            result.unwrap_err().outcome,
            AttemptOutcome::BadResponse,
            "{kind}"
        );
    }
}

#[tokio::test]
async fn dropping_a_stream_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = Upstream::new(&provider(address, true, Credential::None));
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        connection
            .write_all(format!("{head}{EVENT}").as_bytes())
            .await
            .unwrap();
        connection
    };
    let asking = request();
    let of = m();
    let (live, mut connection) = tokio::join!(upstream.stream(&asking, &of, &|_| ()), server);
    let mut live = live.unwrap();
    live.next(&mut Vec::new()).await.unwrap();
    drop(live);
    let closed = tokio::time::timeout(Duration::from_millis(100), connection.read_u8());
    assert!(closed.await.expect("within 100 ms").is_err());
}

#[test]
fn an_unchanged_provider_keeps_its_client() {
    let address = "127.0.0.1:1".parse().unwrap();
    let old = Upstream::new(&provider(address, true, Credential::None));
    assert!(old.serves(&provider(address, true, Credential::None)));
    assert!(!old.serves(&provider(address, false, Credential::None)));
    assert!(!old.serves(&provider(
        "127.0.0.1:2".parse().unwrap(),
        true,
        Credential::None
    )));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "one").unwrap();
    let keyed = provider(address, true, Credential::File(path.clone()));
    let old = Upstream::new(&keyed);
    assert!(old.serves(&keyed));
    std::fs::write(&path, "two").unwrap();
    assert!(
        !old.serves(&keyed),
        "another credential needs another client"
    );
}
