//! The heads of requests and answers.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::framing::{Chunked, Framing};
use super::{Answer, Broken};

/// Most header lines of an answer.
const MOST_HEADERS: usize = 100;

/// A request to a provider.
#[derive(Debug)]
pub(in crate::upstream) struct Request<'a> {
    pub(in crate::upstream) method: &'a Method,
    /// Path and query.
    pub(in crate::upstream) target: &'a str,
    /// Host and port, as the `host` header has them.
    pub(in crate::upstream) host: &'a str,
    pub(in crate::upstream) headers: &'a HeaderMap,
    pub(in crate::upstream) body: &'a [u8],
}

impl Request<'_> {
    /// The request as it is sent. In one piece, so that it is one write to the connection.
    pub(in crate::upstream) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 1024);
        for part in [
            self.method.as_str(),
            " ",
            self.target,
            " HTTP/1.1\r\nhost: ",
            self.host,
        ] {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"content-length: ");
        bytes.extend_from_slice(HeaderValue::from(self.body.len()).as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(self.body);
        bytes
    }
}

/// What the bytes that have arrived begin with.
#[derive(Debug)]
pub(super) enum Head {
    /// A head whose end has not arrived.
    Partial,
    /// A head of `length` bytes that announces another one.
    Interim { length: usize },
    /// A head of `length` bytes.
    Final { length: usize, answer: Box<Answer> },
}

/// Reads the head of an answer.
///
/// # Errors
/// It is not one.
pub(super) fn parse(input: &[u8]) -> Result<Head, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(Head::Partial),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Broken::Malformed("it has more than 100 header lines"));
        }
        Err(_) => return Err(Broken::Malformed("its head cannot be read")),
    };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Broken::Malformed("its status is no status"))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Broken::Malformed("it switches protocols unasked"));
    }
    if status.is_informational() {
        return Ok(Head::Interim { length });
    }
    let version = head.version.unwrap_or(0);
    let headers = collect(head.headers)?;
    let framing = framing(status, &headers)?;
    let keep_alive =
        framing != Framing::UntilClose && !is_ambiguous(&headers) && stays_open(version, &headers);
    let answer = Box::new(Answer {
        status,
        headers,
        framing,
        keep_alive,
    });
    Ok(Head::Final { length, answer })
}

fn collect(lines: &[httparse::Header<'_>]) -> Result<HeaderMap, Broken> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_bytes(line.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Broken::Malformed("a header line cannot be read"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

/// How the body is delimited (RFC 9112, section 6.3), for an answer to a `POST` or a `GET`.
fn framing(status: StatusCode, headers: &HeaderMap) -> Result<Framing, Broken> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Over);
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        let chunked = encoding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked");
        return match (chunked, encodings.next()) {
            (true, None) => Ok(Framing::Chunked(Chunked::Size)),
            _ => Err(Broken::Malformed("it has an unknown transfer encoding")),
        };
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(number);
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(Framing::UntilClose),
        (Some(Some(length)), None) => Ok(Framing::length(length)),
        _ => Err(Broken::Malformed("its length is not one number")),
    }
}

/// Whether another reader could see the end of the body elsewhere, so that what follows it is not to be trusted.
fn is_ambiguous(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn stays_open(version: u8, headers: &HeaderMap) -> bool {
    let says = |wanted: &str| {
        let lines = headers.get_all(CONNECTION).iter();
        lines
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|option| option.trim().eq_ignore_ascii_case(wanted))
    };
    if version == 0 {
        says("keep-alive")
    } else {
        !says("close")
    }
}
