//! Event streams of AWS, made of the same events as text.

use tollgate_provider::sse;

/// The events of a text as frames of AWS's event streams.
pub(crate) fn framed(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = sse::Decoder::new();
    let mut sink = |event: sse::Event<'_>| frame(event.name, event.data, &mut out);
    // What is too long to be an event is none here either.
    if decoder.push(input, &mut sink).is_ok() {
        let _ = decoder.finish(&mut sink);
    }
    out
}

fn frame(name: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    let kind: &[u8] = if name.ends_with(b"Exception") {
        b"exception"
    } else {
        b"event"
    };
    let mut headers = Vec::new();
    let type_header = [b":", kind, b"-type"].concat();
    for (header, value) in [(&type_header[..], name), (b":message-type", kind)] {
        let (Ok(header_length), Ok(length)) =
            (u8::try_from(header.len()), u16::try_from(value.len()))
        else {
            return;
        };
        headers.push(header_length);
        headers.extend(header);
        headers.push(7);
        headers.extend(length.to_be_bytes());
        headers.extend(value);
    }
    let (Ok(length), Ok(headers_length)) = (
        u32::try_from(headers.len() + payload.len() + 16),
        u32::try_from(headers.len()),
    ) else {
        return;
    };
    let start = out.len();
    out.extend(length.to_be_bytes());
    out.extend(headers_length.to_be_bytes());
    out.extend(crc32(&out[start..]).to_be_bytes());
    out.extend(headers);
    out.extend(payload);
    out.extend(crc32(&out[start..]).to_be_bytes());
}

/// CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
    !bytes.iter().fold(u32::MAX, byte)
}
