use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is written of the events of `work`, without the time.
#[track_caller]
fn written(work: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .fmt_fields(JsonFields::new())
        .event_format(Json)
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    let values = text.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        let time = value.as_object_mut().unwrap().remove("timestamp").unwrap();
        let time = time.as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        value
    });
    values.collect()
}

#[test]
fn values_keep_their_types() {
    let lines = written(|| {
        let missing: Option<u64> = None;
        let error = io::Error::other("broken \"pipe\"");
        tracing::info!(
            text = "a",
            count = 7_u64,
            below = -7_i64,
            ratio = 0.25,
            whole = 1.0,
            none = f64::NAN,
            yes = true,
            missing,
            shown = %"b",
            debugged = ?Some("c"),
            error = &error as &dyn std::error::Error,
            "request"
        );
    });
    let expected = json!({
        "level": "INFO", "message": "request", "text": "a", "count": 7, "below": -7, "ratio": 0.25,
        "whole": 1.0, "none": null, "yes": true, "shown": "b", "debugged": "Some(\"c\")",
        "error": "broken \"pipe\"", "target": "tollgate_telemetry::logs::json::tests",
    });
    assert_eq!(lines, [expected]);
}

#[test]
fn no_value_ends_its_line_or_its_string() {
    let wild = "\"}\n{\"level\":\"ERROR\"}\r\t\\ \u{1b}[31m\u{7f}\u{9b} naïve 🦀";
    let lines = written(|| {
        tracing::warn!(wild, shown = %wild, debugged = ?wild, "{wild}");
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["wild"], wild);
    assert_eq!(lines[0]["shown"], wild);
    assert_eq!(lines[0]["debugged"], format!("{wild:?}"));
    assert_eq!(lines[0]["message"], wild);
}

#[test]
fn control_characters_become_escapes() {
    let mut out = String::new();
    write_escaped("a\u{1b}\u{7f}\u{9b}\u{0}b", &mut out).unwrap();
    assert_eq!(out, "a\\u001b\\u007f\\u009b\\u0000b");
}

#[test]
fn spans_are_told_from_the_outermost() {
    let lines = written(|| {
        let _outer = tracing::info_span!("node", name = "n1", incarnation = 7).entered();
        let _inner = tracing::info_span!("stream").entered();
        tracing::info!("hello");
    });
    let spans = json!([{ "node": { "name": "n1", "incarnation": 7 } }, { "stream": {} }]);
    assert_eq!(lines[0]["spans"], spans);
}
