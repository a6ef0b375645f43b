//! Labels of subjects: what operators tell callers apart by, beside who they are.

use crate::Error;
use crate::subject::MAX_PART;
use crate::table::Labels;

/// Most labels that one subject is given. It may inherit others.
pub const MAX_LABELS: usize = 16;
/// Longest value of a label, in characters.
pub const MAX_VALUE: usize = 63;

/// Looks at the name of a label: 1 to 63 lower-case letters, digits, dashes, underscores and dots.
///
/// # Errors
/// [`Error::Label`] with what is wrong.
pub fn check_name(name: &str) -> Result<(), Error> {
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_PART {
        return Err(Error::Label(format!(
            "a label's name has 1 to {MAX_PART} characters"
        )));
    }
    match name.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(bad) => Err(Error::Label(format!(
            "the label's name holds {bad:?}: use lower-case letters, digits, dashes, underscores and dots"
        ))),
    }
}

/// Looks at labels: their number, names, and values of 1 to 63 characters without control characters.
///
/// # Errors
/// [`Error::Label`] with the first thing that is wrong.
pub fn check(labels: &Labels) -> Result<(), Error> {
    if labels.len() > MAX_LABELS {
        return Err(Error::Label(format!(
            "there are more than {MAX_LABELS} labels"
        )));
    }
    for (name, value) in labels {
        check_name(name)?;
        if value.is_empty() || value.chars().count() > MAX_VALUE {
            return Err(Error::Label(format!(
                "the value of label `{name}` has 1 to {MAX_VALUE} characters"
            )));
        }
        if value.chars().any(char::is_control) {
            return Err(Error::Label(format!(
                "the value of label `{name}` holds control characters"
            )));
        }
    }
    Ok(())
}
