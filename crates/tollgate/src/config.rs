//! The configuration of the process: flags, then environment variables, then the lines of `--config FILE`,
//! then defaults; the first that says something wins.
//!
//! A line of the file has the name of a flag without its dashes: `listen = "127.0.0.1:8080"`. The file's
//! values become the defaults of the flags, so that there is one description of every setting.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::cli::Cli;

/// Why there is no configuration.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is wrong, or asks for help.
    Usage(Box<clap::Error>),
    /// The configuration file is wrong.
    File(String),
}

impl From<clap::Error> for Error {
    fn from(error: clap::Error) -> Self {
        Self::Usage(Box::new(error))
    }
}

/// Reads the arguments, and the configuration file they name.
///
/// # Errors
/// See [`Error`].
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = Cli::command();
    if let Some((verb, path)) = named_file(&command, &arguments)? {
        command = with_file(command, &verb, &path).map_err(Error::File)?;
    }
    let matches = command.try_get_matches_from(arguments)?;
    Ok(Cli::from_arg_matches(&matches)?)
}

/// The verb and the file that the arguments or the environment name, before anything is required.
fn named_file(
    command: &Command,
    arguments: &[OsString],
) -> Result<Option<(String, PathBuf)>, clap::Error> {
    let lenient = command.clone().ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments)?;
    let named = matches
        .subcommand()
        .and_then(|(verb, matches)| Some((verb.to_owned(), config_of(matches)?)));
    Ok(named)
}

fn config_of(matches: &ArgMatches) -> Option<PathBuf> {
    let found = matches.try_get_one::<PathBuf>("config");
    found.ok().flatten().cloned()
}

/// Makes each line of the file the default of its flag.
fn with_file(mut command: Command, verb: &str, path: &Path) -> Result<Command, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|error| format!("{shown}: {}", error.message()))?;
    for (key, value) in &table {
        let values = values_of(value).ok_or_else(|| {
            format!("{shown}: `{key}` is a text, a number, true or false, or a list of texts")
        })?;
        let flag = key.replace('_', "-");
        check(&command, verb, &flag, &values).map_err(|why| format!("{shown}: {why}"))?;
        command = command.mut_subcommand(verb, |verb| {
            let id = id_of(&verb, &flag).unwrap_or_default();
            verb.mut_arg(id, |arg| arg.required(false).default_values(values))
        });
    }
    Ok(command)
}

/// Says what is wrong with a line by trying it as a flag.
fn check(command: &Command, verb: &str, flag: &str, values: &[String]) -> Result<(), String> {
    let found = command.find_subcommand(verb);
    let known: Vec<&str> = found.map(flags_of).unwrap_or_default();
    if !known.contains(&flag) {
        return Err(format!(
            "there is no setting `{flag}` for `tollgate {verb}`; there are {}",
            known.join(", ")
        ));
    }
    let pairs = values.iter().map(|value| format!("--{flag}={value}"));
    let arguments = ["tollgate".to_owned(), verb.to_owned()]
        .into_iter()
        .chain(pairs);
    match command.clone().try_get_matches_from(arguments) {
        Err(error) if is_bad_value(error.kind()) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").to_owned())
        }
        // What else is missing is for the whole command line to say.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_bad_value(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::ArgumentConflict
    )
}

fn flags_of(verb: &Command) -> Vec<&str> {
    let flags = verb.get_arguments().filter_map(|arg| arg.get_long());
    flags
        .filter(|flag| !matches!(*flag, "config" | "help" | "version"))
        .collect()
}

fn id_of(verb: &Command, flag: &str) -> Option<clap::Id> {
    let mut arguments = verb.get_arguments();
    let found = arguments.find(|arg| arg.get_long() == Some(flag));
    found.map(|arg| arg.get_id().clone())
}

fn values_of(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(vec![text.clone()]),
        toml::Value::Integer(number) => Some(vec![number.to_string()]),
        toml::Value::Boolean(truth) => Some(vec![truth.to_string()]),
        toml::Value::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect()
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests;
