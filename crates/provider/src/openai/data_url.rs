//! `data:` URLs, which is how this format carries bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::chat::Source;

/// Writes bytes as a base64 data URL.
pub(crate) fn write(mime: &str, data: &[u8]) -> String {
    let mut url = String::with_capacity(mime.len() + data.len().div_ceil(3) * 4 + 13);
    url.push_str("data:");
    url.push_str(mime);
    url.push_str(";base64,");
    STANDARD.encode_string(data, &mut url);
    url
}

/// Reads a URL: a base64 data URL becomes bytes, any other stays a URL.
///
/// # Errors
/// What is wrong, in words, when a data URL is not base64 or names no media type.
pub(super) fn read(url: &str) -> Result<Source, &'static str> {
    let Some(rest) = url.strip_prefix("data:") else {
        return Ok(Source::Url(url.to_owned()));
    };
    let (head, data) = rest
        .split_once(',')
        .ok_or("a data URL needs a comma before its data")?;
    let mime = head
        .strip_suffix(";base64")
        .ok_or("a data URL must be base64 encoded")?;
    if mime.is_empty() {
        return Err("a data URL must name its media type");
    }
    Ok(Source::Bytes {
        mime: mime.to_owned(),
        data: base64(data)?,
    })
}

/// Writes base64.
pub(super) fn encode_base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Reads base64.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn base64(data: &str) -> Result<Bytes, &'static str> {
    STANDARD
        .decode(data)
        .map(Bytes::from)
        .map_err(|_| "the data is not valid base64")
}
