use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// What a request gets whose server writes `answer` and then closes the connection.
async fn ask(answer: &[u8]) -> Result<(Answer, Vec<u8>), Broken> {
    let (ours, mut theirs) = tokio::io::duplex(1024 * 1024);
    let mut connection = Connection::new(ours);
    theirs.write_all(answer).await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut answer = connection.exchange(b"POST / HTTP/1.1\r\n\r\n").await?;
    let mut body = Vec::new();
    while connection
        .read(&mut answer.framing, |bytes| body.extend_from_slice(bytes))
        .await?
    {}
    Ok((answer, body))
}

#[tokio::test]
async fn bodies_of_every_framing() {
    for (rest, keep_alive) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", false),
        (
            "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 5\r\n\r\nhello",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: x, close\r\ncontent-length: 5\r\n\r\nhello",
            false,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 9\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let (answer, body) = ask(rest.as_bytes()).await.expect(rest);
        assert_eq!(
            (&body[..], answer.keep_alive),
            (&b"hello"[..], keep_alive),
            "{rest}"
        );
        assert_eq!(answer.status, StatusCode::OK);
    }
    let (answer, body) = ask(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), body.len(), answer.keep_alive),
        (204, 0, true)
    );
}

#[tokio::test]
async fn answers_that_are_cut_or_malformed_are_errors() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    for end in 0..whole.len() {
        assert!(
            matches!(ask(&whole.as_bytes()[..end]).await, Err(Broken::Closed)),
            "{end}"
        );
    }
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n",
    ] {
        assert!(
            matches!(ask(answer.as_bytes()).await, Err(Broken::Malformed(_))),
            "{answer}"
        );
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(LONGEST_HEAD));
    assert!(matches!(
        ask(endless.as_bytes()).await,
        Err(Broken::Malformed(_))
    ));
}

/// The head of an answer that comes before the request was read, over a connection with room for little of it.
#[tokio::test]
async fn an_early_answer_is_taken_and_its_connection_used_no_more() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut connection = Connection::new(ours);
    let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    theirs.write_all(refusal).await.unwrap();
    let answer = connection.exchange(&[b'x'; 1024]).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!answer.keep_alive);
}

#[tokio::test]
async fn a_request_that_was_never_sent_is_told_from_one_that_was() {
    let (ours, theirs) = tokio::io::duplex(64);
    drop(theirs);
    let mut connection = Connection::new(ours);
    assert!(!connection.is_idle());
    assert!(matches!(
        connection.exchange(b"x").await,
        Err(Broken::Unsent)
    ));
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut connection = Connection::new(ours);
    assert!(connection.is_idle());
    let (result, ()) = tokio::join!(connection.exchange(b"x"), async {
        theirs.read_u8().await.unwrap();
        drop(theirs);
    });
    assert!(matches!(result, Err(Broken::Closed | Broken::Io(_))));
}

#[tokio::test]
async fn what_is_said_out_of_turn_ends_a_connection() {
    let (ours, mut theirs) = tokio::io::duplex(64);
    let mut connection: Connection<DuplexStream> = Connection::new(ours);
    theirs
        .write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        .await
        .unwrap();
    assert!(!connection.is_idle());
}

#[test]
fn a_request_on_the_wire() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let request = Request {
        method: &Method::POST,
        target: "/v1/chat?x=1",
        host: "llm.example.com:8443",
        headers: &headers,
        body: b"{}",
    };
    let wire = "POST /v1/chat?x=1 HTTP/1.1\r\nhost: llm.example.com:8443\r\n\
                content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), wire);
}
