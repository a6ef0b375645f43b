//! Events as JSON, one object on a line: time, level, the event's fields, the spans around it, where it is from.
//!
//! Written straight into the line. The subscriber's own JSON goes through a serialiser and two adapters for each
//! name and value, which for the line of a request took six times as long.

use std::fmt::{self, Debug, Display, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON. Spans' fields must be kept by [`JsonFields`].
#[derive(Debug)]
pub(super) struct Json;

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        out.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut out)?;
        out.write_str("\",\"level\":\"")?;
        out.write_str(metadata.level().as_str())?;
        out.write_str("\"")?;
        let mut fields = Fields {
            out: &mut out,
            written: Ok(()),
        };
        event.record(&mut fields);
        fields.written?;
        write_spans(context, &mut out)?;
        out.write_str(",\"target\":\"")?;
        write_escaped(metadata.target(), &mut out)?;
        out.write_str("\"}\n")
    }
}

/// Writes the spans from the outermost, as `"spans":[{"name":{fields}},…]`, where there are any.
fn write_spans<S, N>(context: &FmtContext<'_, S, N>, out: &mut Writer<'_>) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let Some(scope) = context.event_scope() else {
        return Ok(());
    };
    let mut before = ",\"spans\":[{\"";
    for span in scope.from_root() {
        out.write_str(before)?;
        write_escaped(span.name(), out)?;
        out.write_str("\":")?;
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>();
        let fields = fields.map_or("", |fields| fields.fields.as_str());
        out.write_str(if fields.is_empty() { "{}" } else { fields })?;
        before = "},{\"";
    }
    out.write_str("}]")
}

/// Writes an event's fields, each with a comma before it.
struct Fields<'a, 'b> {
    out: &'a mut Writer<'b>,
    written: fmt::Result,
}

impl Fields<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = write_name(field.name(), self.out).and_then(|()| value(self.out));
        }
    }

    fn write_quoted(&mut self, field: &Field, value: &dyn Display) {
        self.write(field, |out| {
            out.write_char('"')?;
            write!(Escaper(out), "{value}")?;
            out.write_char('"')
        });
    }
}

impl Visit for Fields<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.write(field, |out| write!(out, "{value:?}"));
        } else {
            self.write(field, |out| out.write_str("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |out| {
            out.write_str(if value { "true" } else { "false" })
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |out| {
            out.write_char('"')?;
            write_escaped(value, out)?;
            out.write_char('"')
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.write_quoted(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write_quoted(field, &format_args!("{value:?}"));
    }
}

fn write_name(name: &str, out: &mut Writer<'_>) -> fmt::Result {
    out.write_str(",\"")?;
    // Fields whose names are words of Rust.
    write_escaped(name.strip_prefix("r#").unwrap_or(name), out)?;
    out.write_str("\":")
}

/// Escapes what passes through it for the inside of a JSON string.
struct Escaper<'a, W>(&'a mut W);

impl<W: Write> Write for Escaper<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_escaped(text, self.0)
    }
}

/// Writes a text for the inside of a JSON string, control characters of any kind as escapes.
fn write_escaped(text: &str, out: &mut impl Write) -> fmt::Result {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        return out.write_str(text);
    }
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            // All of them are below U+00A0.
            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
