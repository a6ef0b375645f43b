use proptest::prelude::*;

use super::{Broken, Decoder, Kind, MAX_FRAME, crc32};
use crate::stream::Frames;

/// A header with a text.
fn header(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(name.len()).unwrap());
    out.extend_from_slice(name.as_bytes());
    out.push(7);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn frame_of(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(headers.len() + payload.len() + 16).unwrap();
    let mut out = length.to_be_bytes().to_vec();
    let headers_length = u32::try_from(headers.len()).unwrap();
    out.extend_from_slice(&headers_length.to_be_bytes());
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

/// An event, as the service writes it.
pub(in crate::bedrock) fn event(name: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    header(":event-type", name, &mut headers);
    header(":content-type", "application/json", &mut headers);
    header(":message-type", "event", &mut headers);
    frame_of(&headers, payload.as_bytes())
}

/// An exception, as the service writes it.
pub(in crate::bedrock) fn exception(name: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    header(":exception-type", name, &mut headers);
    header(":content-type", "application/json", &mut headers);
    header(":message-type", "exception", &mut headers);
    frame_of(&headers, payload.as_bytes())
}

/// An error that the service's description does not know.
pub(in crate::bedrock) fn error(code: &str, message: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    header(":error-code", code, &mut headers);
    header(":error-message", message, &mut headers);
    header(":message-type", "error", &mut headers);
    frame_of(&headers, b"")
}

type Seen = Vec<(Kind, String, Vec<u8>)>;

fn decode<'a>(slices: impl IntoIterator<Item = &'a [u8]>) -> (Seen, Result<(), Broken>) {
    let mut decoder = Decoder::default();
    let mut seen = Seen::new();
    for slice in slices {
        let pushed = decoder.push(slice, |frame| {
            seen.push((frame.kind, frame.name.to_owned(), frame.payload.to_vec()));
        });
        if pushed.is_err() {
            return (seen, pushed);
        }
    }
    (seen, Ok(()))
}

/// Frames from the test suite of the specification.
#[test]
fn the_specifications_own_frames_are_read() {
    let empty = [
        0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8,
        0xff,
    ];
    assert_eq!(frame_of(b"", b""), empty);
    assert_eq!(decode([&empty[..]]), (vec![], Ok(())));
    let no_headers = [
        0x00, 0x00, 0x00, 0x1d, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x52, 0x8c, 0x5a, 0x7b, 0x27, 0x66,
        0x6f, 0x6f, 0x27, 0x3a, 0x27, 0x62, 0x61, 0x72, 0x27, 0x7d, 0xc3, 0x65, 0x39, 0x36,
    ];
    assert_eq!(frame_of(b"", b"{'foo':'bar'}"), no_headers);
    assert_eq!(decode([&no_headers[..]]), (vec![], Ok(())));
}

#[test]
fn events_exceptions_and_errors_are_told_apart() {
    let body = [
        event("messageStart", r#"{"role":"assistant"}"#),
        exception("throttlingException", r#"{"message":"x"}"#),
        error("InternalFailure", "y"),
    ]
    .concat();
    let expect = vec![
        (
            Kind::Event,
            "messageStart".to_owned(),
            br#"{"role":"assistant"}"#.to_vec(),
        ),
        (
            Kind::Exception,
            "throttlingException".to_owned(),
            br#"{"message":"x"}"#.to_vec(),
        ),
        (Kind::Error, "InternalFailure".to_owned(), b"y".to_vec()),
    ];
    assert_eq!(decode([&body[..]]), (expect.clone(), Ok(())));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(decode(body.chunks(size)), (expect.clone(), Ok(())));
    }
}

#[test]
fn headers_of_every_type_are_passed_over() {
    let values: [&[u8]; 10] = [
        &[0],
        &[1],
        &[2, 1],
        &[3, 1, 2],
        &[4, 1, 2, 3, 4],
        &[5, 1, 2, 3, 4, 5, 6, 7, 8],
        &[6, 0, 2, 1, 2],
        &[7, 0, 1, b'x'],
        &[8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ];
    let mut headers = Vec::new();
    for value in values {
        headers.extend_from_slice(&[1, b'n']);
        headers.extend_from_slice(value);
    }
    header(":message-type", "event", &mut headers);
    header(":event-type", "e", &mut headers);
    let body = frame_of(&headers, b"p");
    let expect = vec![(Kind::Event, "e".to_owned(), b"p".to_vec())];
    assert_eq!(decode([&body[..]]), (expect, Ok(())));
}

#[test]
fn what_is_no_event_stream_is_said_to_be_none() {
    let good = event("e", "payload");
    let broken = |at: usize| {
        let mut frame = good.clone();
        frame[at] ^= 1;
        frame
    };
    let prelude = |length: u32, headers: u32| {
        let mut out = [length.to_be_bytes(), headers.to_be_bytes()].concat();
        out.extend_from_slice(&crc32(&out).to_be_bytes());
        out
    };
    let long = u32::try_from(MAX_FRAME + 1).unwrap();
    for (body, expect) in [
        // A wrong length is found out before it is waited for.
        (broken(0), Broken::Checksum),
        (broken(9), Broken::Checksum),
        (broken(20), Broken::Checksum),
        (broken(good.len() - 1), Broken::Checksum),
        (b"data: {}\n\ndata: [DONE]\n\n".to_vec(), Broken::Checksum),
        (prelude(15, 0), Broken::Lengths),
        (prelude(20, 5), Broken::Lengths),
        (prelude(long, 0), Broken::Long),
        (frame_of(&[1, b'n', 10], b""), Broken::Headers),
        (frame_of(&[200, b'n'], b""), Broken::Headers),
        (frame_of(&[1, b'n', 7, 0, 9, b'x'], b""), Broken::Headers),
    ] {
        assert_eq!(decode([&body[..]]), (vec![], Err(expect)), "{body:?}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        headers in prop::collection::vec(any::<u8>(), 0..60),
        size in 1_usize..50,
    ) {
        let body = [event("e", "p"), frame_of(&headers, &body), body].concat();
        let whole = decode([&body[..]]);
        prop_assert_eq!(decode(body.chunks(size)), whole);
    }
}
