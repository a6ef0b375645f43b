//! Requests kept whole, for tests of what is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;

use super::format::Format;

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The wire format that its address stands for.
    pub format: Format,
    /// Path and query.
    pub path: String,
    /// Names and values of the headers that are text, as received; credentials among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Keeps requests once it is told to.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    started: AtomicBool,
    recorded: Mutex<Vec<Recorded>>,
}

impl Recorder {
    pub(super) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(super) fn recorded(&self) -> Vec<Recorded> {
        let recorded = self.recorded.lock();
        recorded.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn keep(&self, format: Format, parts: &Parts, body: &Bytes) {
        if !self.started.load(Ordering::Acquire) {
            return;
        }
        let path = parts.uri.path_and_query();
        let headers = parts.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        let request = Recorded {
            format,
            path: path.map_or_else(String::new, ToString::to_string),
            headers: headers.collect(),
            body: body.clone(),
        };
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.push(request);
    }
}
