//! What Mistral insists on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::citations;
use super::wire::Text;
use crate::chat::{Citation, Opaque};
use crate::codec::Kind;

/// How long the ids of its tool calls are.
const ID_LENGTH: usize = 9;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of a tool call as Mistral takes it: nine letters and digits. Any other id, such as one that
/// another provider made, becomes the same nine wherever it occurs: a digest of it (64-bit FNV-1a, see
/// RFC 9923), so that call and result still find each other.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    if id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    let mut digest = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut short = String::with_capacity(ID_LENGTH);
    for _ in 0..ID_LENGTH {
        let digit = usize::try_from(digest % 62).unwrap_or_default();
        short.push(char::from(DIGITS[digit]));
        digest /= 62;
    }
    Cow::Owned(short)
}

/// The sources that are named at a place of the text, by their number or id.
pub(super) fn references(ids: Option<&RawValue>, place: u32) -> Vec<Citation> {
    let ids = ids.and_then(citations::list).unwrap_or_default().0;
    let name = |raw: &RawValue| match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(text) => text.into_string(),
        Err(_) => raw.get().to_owned(),
    };
    let cite = |raw: &RawValue| Citation {
        passage: place..place,
        source_id: Some(name(raw)),
        opaque: Some(Opaque {
            provider: Kind::Mistral.as_str().to_owned(),
            kind: REFERENCE.to_owned(),
            bytes: raw.get().to_owned().into(),
        }),
        ..Citation::default()
    };
    ids.into_iter().map(cite).collect()
}

/// A text with the places of its references: how much of it stands before each, and their ids. No other server made
/// them, and what was changed on the way is none.
pub(super) fn referenced<'a>(
    text: &'a str,
    citations: &'a [Citation],
) -> impl Iterator<Item = (&'a str, Vec<&'a RawValue>)> {
    let mut places: BTreeMap<usize, Vec<&RawValue>> = BTreeMap::new();
    for citation in citations {
        let own = citation.opaque.as_ref();
        let own = own.filter(|it| it.provider == Kind::Mistral.as_str() && it.kind == REFERENCE);
        let id = own.and_then(|it| serde_json::from_slice(&it.bytes).ok());
        let at = usize::try_from(citation.passage.end).unwrap_or(text.len());
        if let Some(id) = id {
            places
                .entry(text.floor_char_boundary(at))
                .or_default()
                .push(id);
        }
    }
    places.entry(text.len()).or_default();
    let mut from = 0;
    places.into_iter().map(move |(to, ids)| {
        let before = &text[from..to];
        from = to;
        (before, ids)
    })
}

/// What the state of a reference is called.
const REFERENCE: &str = "reference";

/// What the state of a signed thought is called.
const SIGNATURE: &str = "signature";

/// Wraps the signature of a thought. No other server that speaks the format signs any.
pub(super) fn keep(signature: &str) -> Opaque {
    Opaque {
        provider: Kind::Mistral.as_str().to_owned(),
        kind: SIGNATURE.to_owned(),
        bytes: Bytes::copy_from_slice(signature.as_bytes()),
    }
}

/// Unwraps a signature; nothing for the state of another provider.
pub(super) fn signature(state: &Opaque) -> Option<&str> {
    let is_own = state.provider == Kind::Mistral.as_str() && state.kind == SIGNATURE;
    std::str::from_utf8(&state.bytes).ok().filter(|_| is_own)
}

#[cfg(test)]
mod tests;
