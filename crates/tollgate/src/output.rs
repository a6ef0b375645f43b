//! What a verb prints: a table for people, JSON or YAML for programs.

use std::io::Write;

use serde_json::Value;

use crate::error::Error;

/// Form of a verb's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs, and for people with much to read.
    Yaml,
}

/// Prints `value` in the wanted form; `table` makes the one for people.
///
/// # Errors
/// [`Error::Output`] if standard output cannot be written.
pub(crate) fn show(
    format: Format,
    value: impl FnOnce() -> Result<Value, Error>,
    table: impl FnOnce() -> String,
) -> Result<(), Error> {
    match format {
        Format::Table => print(&table()),
        Format::Json => print(&json(&value()?)),
        Format::Yaml => print(&yaml(&value()?)?),
    }
}

/// A value as indented JSON with a line end.
pub(crate) fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A value as YAML.
///
/// # Errors
/// [`Error::Failed`] if the value has no YAML form, which JSON values have.
pub(crate) fn yaml(value: &Value) -> Result<String, Error> {
    serde_saphyr::to_string(value)
        .map_err(|error| Error::Failed(format!("cannot write YAML: {error}")))
}

/// Writes `text` to standard output, at once.
///
/// # Errors
/// [`Error::Output`] if that fails.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes `text` and a line end to standard error. A closed standard error is no reason to fail.
pub(crate) fn note(text: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "{text}");
}
