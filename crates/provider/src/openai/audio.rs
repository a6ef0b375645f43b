//! Sound of an answer, as it comes from a provider and goes to a caller: in both it is the same object, of which a stream
//! tells piece by piece.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::Text;
use crate::chat::Audio;
use crate::failure::{Class, Failure};

/// What a provider tells of sound.
#[derive(Debug, Deserialize)]
pub(super) struct Told<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    /// In base64, each piece by itself.
    data: Option<Text<'a>>,
    expires_at: Option<&'a RawValue>,
    transcript: Option<Text<'a>>,
}

impl Told<'_> {
    /// Reads it; nothing where it tells nothing.
    ///
    /// # Errors
    /// What should be sound is not base64.
    pub(super) fn read(self) -> Result<Option<Audio>, Failure> {
        let text = |text: Option<Text<'_>>| text.map(Text::into_string).unwrap_or_default();
        let data = self.data.as_ref().map_or("", Text::as_str);
        let data = STANDARD
            .decode(data)
            .map_err(|_| Failure::new(Class::Server, "sound of the answer cannot be read"))?;
        let audio = Audio {
            data: data.into(),
            // It is the one that was asked for, and not told.
            format: String::new(),
            id: self.id.map(Text::into_string).filter(|id| !id.is_empty()),
            expires_at: self.expires_at.and_then(|raw| raw.get().parse().ok()),
            transcript: text(self.transcript),
        };
        Ok((audio != Audio::default()).then_some(audio))
    }
}

/// What a caller is told of sound.
#[derive(Serialize)]
pub(super) struct Telling<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<&'a str>,
}

impl<'a> Telling<'a> {
    /// All of it. The format wants every field, also where the provider knows no more of it.
    pub(super) fn whole(audio: &'a Audio) -> Self {
        Self {
            id: Some(audio.id.as_deref().unwrap_or_default()),
            data: Some(STANDARD.encode(&audio.data)),
            expires_at: Some(audio.expires_at.unwrap_or_default()),
            transcript: Some(&audio.transcript),
        }
    }

    /// What a stream brought.
    pub(super) fn more(audio: &'a Audio) -> Self {
        Self {
            id: audio.id.as_deref(),
            data: (!audio.data.is_empty()).then(|| STANDARD.encode(&audio.data)),
            expires_at: audio.expires_at,
            transcript: Some(&*audio.transcript).filter(|text| !text.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests;
