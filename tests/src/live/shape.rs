//! What answers look like on the wire: which fields there are, of which types, and never what they hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Objects whose fields are the caller's own, or a tool's: arguments, schemas and labels that come back.
const OWN: [&str; 6] = [
    "args",
    "input",
    "metadata",
    "parameters",
    "schema",
    "tool_output",
];

/// Longer names are no names.
const LONGEST_NAME: usize = 64;

/// The paths of JSON documents such as `choices[].delta.content`, each with the types met there. Events of streams have
/// their name in front, as in `message_start/message.id`, and stand by their name alone as well.
#[derive(Debug, Default)]
pub(super) struct Shape(BTreeMap<String, BTreeSet<&'static str>>);

/// In what a shape differs from what is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Paths that are not known, with their types.
    pub(super) unknown: Vec<String>,
    /// Paths that are known with other types.
    pub(super) others: Vec<String>,
    /// How many known paths were not met.
    pub(super) unseen: usize,
}

impl Shape {
    /// Adds a document.
    pub(super) fn add(&mut self, document: &Value) {
        self.walk("", document);
    }

    /// Adds a document as it came.
    ///
    /// # Errors
    /// It is no JSON.
    pub(super) fn read(&mut self, body: &[u8]) -> anyhow::Result<()> {
        // The parser's own words could quote what is in there.
        let document = serde_json::from_slice(body).ok().context("no JSON")?;
        self.add(&document);
        Ok(())
    }

    /// Adds an event. Without a name of its own it has that of its field `type`, if there is one.
    pub(super) fn add_event(&mut self, name: &str, payload: &Value) {
        let name = match (name, payload["type"].as_str()) {
            ("", None) => return self.add(payload),
            ("", Some(name)) | (name, _) => plain(name),
        };
        self.0.entry(name.to_owned()).or_default().insert("event");
        self.walk(&format!("{name}/"), payload);
    }

    /// Adds a body of server-sent events.
    ///
    /// # Errors
    /// One of them is no JSON.
    pub(super) fn read_events(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let body = String::from_utf8_lossy(body);
        let (mut name, mut data) = ("", String::new());
        for line in body.lines().chain([""]) {
            if let Some(it) = line.strip_prefix("event:") {
                name = it.trim();
            } else if let Some(it) = line.strip_prefix("data:") {
                data.push_str(it.trim());
            } else if line.is_empty() {
                if !data.is_empty() && data != "[DONE]" {
                    let payload = serde_json::from_str(&data).ok();
                    self.add_event(name, &payload.context("an event that is no JSON")?);
                }
                (name, data) = ("", String::new());
            }
        }
        Ok(())
    }

    /// Adds a body of messages of `application/vnd.amazon.eventstream`: lengths of it all and of the headers, a checksum,
    /// the headers, the payload, a checksum.
    ///
    /// # Errors
    /// It is something else, or a payload is no JSON.
    pub(super) fn read_binary_events(&mut self, mut body: &[u8]) -> anyhow::Result<()> {
        let number = |bytes: &[u8]| -> Option<usize> {
            let bytes = bytes.first_chunk::<4>()?;
            usize::try_from(u32::from_be_bytes(*bytes)).ok()
        };
        while !body.is_empty() {
            let lengths = number(body).zip(body.get(4..).and_then(number));
            let (whole, headers) = lengths.context("half an event")?;
            let payload = 12usize.saturating_add(headers);
            ensure!(
                payload.saturating_add(4) <= whole && whole <= body.len(),
                "half an event"
            );
            let (message, rest) = body.split_at(whole);
            let name = event_name(&message[12..payload]).context("an event without a name")?;
            let document = serde_json::from_slice(&message[payload..whole - 4]).ok();
            self.add_event(name, &document.context("an event that is no JSON")?);
            body = rest;
        }
        Ok(())
    }

    /// Holds it against what is known.
    pub(super) fn beside(&self, known: &Self) -> Difference {
        let (mut unknown, mut others) = (Vec::new(), Vec::new());
        for (path, types) in &self.0 {
            let Some(expected) = known.0.get(path) else {
                unknown.push(format!("{path}: {}", joined(types)));
                continue;
            };
            let new: BTreeSet<_> = types.difference(expected).copied().collect();
            if !new.is_empty() {
                let (new, expected) = (joined(&new), joined(expected));
                others.push(format!("{path}: {new}, not {expected}"));
            }
        }
        let unseen = known.0.keys().filter(|path| !self.0.contains_key(*path));
        Difference {
            unknown,
            others,
            unseen: unseen.count(),
        }
    }

    fn walk(&mut self, path: &str, value: &Value) {
        let (kind, within): (_, Vec<(String, &Value)>) = match value {
            Value::Null => ("null", Vec::new()),
            Value::Bool(_) => ("boolean", Vec::new()),
            Value::Number(_) => ("number", Vec::new()),
            Value::String(_) => ("string", Vec::new()),
            Value::Array(items) => {
                let within = items.iter().map(|it| (format!("{path}[]"), it));
                ("array", within.collect())
            }
            Value::Object(_) if is_own(path) => ("object", Vec::new()),
            Value::Object(fields) => {
                let dot = match path {
                    "" => "",
                    event if event.ends_with('/') => "",
                    _ => ".",
                };
                let within = fields
                    .iter()
                    .map(|(name, it)| (format!("{path}{dot}{}", plain(name)), it));
                ("object", within.collect())
            }
        };
        if !path.is_empty() && !path.ends_with('/') {
            self.0.entry(path.to_owned()).or_default().insert(kind);
        }
        for (path, value) in within {
            self.walk(&path, value);
        }
    }
}

/// The name of an event of the binary stream, which is one of its headers: length and name, a type, where that is 7
/// length and text.
fn event_name(mut headers: &[u8]) -> Option<&str> {
    loop {
        let (length, rest) = headers.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let rest = rest.strip_prefix(&[7])?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if [&b":event-type"[..], b":exception-type"].contains(&name) {
            return std::str::from_utf8(value).ok();
        }
        headers = rest;
    }
}

/// A name of a field or event, unless it is a text of whoever may have made it.
fn plain(name: &str) -> &str {
    let fine = |it: u8| it.is_ascii_alphanumeric() || b"_-.@$:".contains(&it);
    match name.len() <= LONGEST_NAME && name.bytes().all(fine) {
        true => name,
        false => "?",
    }
}

fn is_own(path: &str) -> bool {
    let name = path.rsplit(['.', '/']).next().unwrap_or_default();
    OWN.contains(&name)
}

fn joined(types: &BTreeSet<&'static str>) -> String {
    types.iter().copied().collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests;
