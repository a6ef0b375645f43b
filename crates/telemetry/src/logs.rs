//! The subscriber: levels by a filter, one line per event on standard error, written by a thread of its own.
//!
//! Values can come from callers, so none of them may forge a line or drive a terminal: control characters
//! are written as escapes in both formats.

mod escape;
mod json;
mod writer;

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{JsonFields, debug_fn};

use crate::Error;
use escape::Escaped;
pub use writer::Logs;
pub(crate) use writer::describe;

/// The filter where none is given.
pub const DEFAULT_FILTER: &str = "info";

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [`Format::Text`] on a terminal, [`Format::Json`] elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected auto, text or json".to_owned()),
        }
    }
}

/// Sends the process's events to standard error from now on, until [`Logs`] is dropped: keep it until the end.
///
/// # Errors
/// [`Error::Filter`] if the filter cannot be read, [`Error::Installed`] if this was done before, [`Error::Thread`]
/// if the system gives no thread to write with.
pub fn install(filter: &str, format: Format) -> Result<Logs, Error> {
    let filter = parse_filter(filter)?;
    let (logs, writer) = Logs::start(std::io::stderr()).map_err(Error::Thread)?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(terminal);
    let as_json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let installed = if as_json {
        // JSON escapes control characters itself.
        let lines = lines.fmt_fields(JsonFields::new());
        lines.event_format(json::Json).try_init()
    } else {
        let fields = debug_fn(|writer, field, value| match field.name() {
            "message" => write!(writer, "{}", Escaped(value)),
            name => write!(writer, "{name}={}", Escaped(value)),
        });
        lines.fmt_fields(fields.delimited(" ")).try_init()
    };
    installed.map_err(|error| Error::Installed(error.to_string()))?;
    Ok(logs)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| Error::Filter {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        let error = parse_filter("tollgate_node=loud").unwrap_err().to_string();
        assert!(error.contains("`tollgate_node=loud`"), "{error}");
        assert!(error.contains("tollgate_node=debug"), "{error}");
        parse_filter("warn,tollgate_node=debug").unwrap();
    }

    #[test]
    fn formats_are_named() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().is_err());
    }
}
