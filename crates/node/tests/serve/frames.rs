//! HTTP/2 frame by frame: what no client lets a test decide.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Streams that are open at once.
const TOGETHER: u32 = 100;

struct Connection(TcpStream);

impl Connection {
    async fn open(gateway: &Gateway) -> Self {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(preface).await.unwrap();
        let mut connection = Self(stream);
        connection.send(SETTINGS, 0, 0, &[]).await;
        connection
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The kind of the next frame.
    async fn next(&mut self) -> u8 {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.unwrap();
        let text = String::from_utf8_lossy(&payload);
        assert_ne!(head[3], GOAWAY, "the connection is closed: {text}");
        head[3]
    }

    /// Reads until so many frames of a kind have come.
    async fn wait(&mut self, kind: u8, mut count: u32) {
        while count > 0 {
            count -= u32::from(self.next().await == kind);
        }
    }
}

/// The head of a request with a key that there is none of, each field as a literal.
fn head() -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/chat/completions"),
        (":authority", "x"),
        ("authorization", "Bearer sk-no"),
    ];
    let mut head = Vec::new();
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend(text.as_bytes());
        }
    }
    head
}

#[tokio::test]
async fn refusals_leave_the_connection_alone_though_bodies_come_after_them() {
    let gateway = Gateway::start(POLICY).await;
    let mut connection = Connection::open(&gateway).await;
    for batch in 0..20 {
        let streams = (0..TOGETHER).map(|it| (batch * TOGETHER + it) * 2 + 1);
        for stream in streams.clone() {
            connection.send(HEADERS, END_HEADERS, stream, &head()).await;
        }
        connection.wait(RST_STREAM, TOGETHER).await;
        for stream in streams {
            connection.send(DATA, END_STREAM, stream, b"{}").await;
        }
    }
    connection.send(PING, 0, 0, &[7; 8]).await;
    connection.wait(PING, 1).await;
}
