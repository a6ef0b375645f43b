//! Pictures, sound and files, all of which are bytes of a media type or an address there.

use std::borrow::Cow;

use serde::Serialize;

use crate::chat::{Image, Source};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Media<'a> {
    #[serde(rename_all = "camelCase")]
    InlineData { mime_type: String, data: String },
    #[serde(rename_all = "camelCase")]
    FileData {
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<&'a str>,
        file_uri: Cow<'a, str>,
    },
}

#[derive(Serialize)]
pub(super) struct Resolution {
    level: &'static str,
}

/// What stands before the name of a file that Google AI Studio keeps, in its address.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// Media types of addresses, by the ending of their path.
const BY_ENDING: [(&str, &str); 19] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("gif", "image/gif"),
    ("pdf", "application/pdf"),
    ("json", "application/json"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("csv", "text/csv"),
    ("xml", "text/xml"),
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("mp4", "video/mp4"),
];

pub(super) fn of_source(source: &Source) -> Media<'_> {
    match source {
        Source::Url(url) => Media::FileData {
            mime_type: by_ending(url),
            file_uri: Cow::Borrowed(url),
        },
        Source::Stored(file) => Media::FileData {
            mime_type: file.mime.as_deref(),
            file_uri: address(&file.id),
        },
        Source::Bytes { mime, data } => of_bytes(mime.clone(), data),
    }
}

/// The address of a stored file, which may be told by its name as well.
fn address(id: &str) -> Cow<'_, str> {
    if id.starts_with("files/") {
        Cow::Owned(format!("{FILES}{id}"))
    } else {
        Cow::Borrowed(id)
    }
}

/// Sound in a format such as `wav`.
pub(super) fn of_audio(format: &str, data: &[u8]) -> Media<'static> {
    of_bytes(format!("audio/{format}"), data)
}

fn of_bytes(mime_type: String, data: &[u8]) -> Media<'static> {
    Media::InlineData {
        mime_type,
        data: STANDARD.encode(data),
    }
}

/// The resolution a picture is looked at with; nothing where it is the provider's choice.
///
/// # Errors
/// What is wrong, in words, with a detail that is none.
pub(super) fn resolution(image: &Image) -> Result<Option<Resolution>, &'static str> {
    let level = match image.detail.as_deref() {
        None | Some("auto") => return Ok(None),
        Some("low") => "MEDIA_RESOLUTION_LOW",
        Some("high") => "MEDIA_RESOLUTION_HIGH",
        Some(_) => return Err("a picture's detail is low, high or auto there"),
    };
    Ok(Some(Resolution { level }))
}

/// The format names no media type for an address, yet the provider wants one. One that is not told
/// by the ending is left for the provider to find out.
fn by_ending(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, ending) = path.rsplit_once('.')?;
    let known = BY_ENDING
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(ending));
    known.map(|(_, mime)| *mime)
}
