//! What is wrong with a policy, told so that it can be mended.

use std::fmt;
use std::sync::Arc;

/// One thing that is wrong (or, among [`warnings`](crate::warnings), probably not meant).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the policy, such as `limits[2].window` or `models.chat.routes[0].pools[1]`. Empty for the whole.
    /// Limits count over all merged files.
    pub path: String,
    /// What is wrong. Never holds the value of a credential or an address.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the text. Known only where the policy was read from text.
    pub place: Option<Place>,
    /// Path of the other part that this one is at odds with, for its place in the text.
    pub(crate) other: Option<Box<str>>,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: problem.into(),
            hint: None,
            place: None,
            other: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub(crate) fn other(mut self, path: impl Into<Box<str>>) -> Self {
        self.other = Some(path.into());
        self
    }

    /// Returns the problem and, after a semicolon, the hint: the text beside the path in an error's details.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.problem),
            None => self.problem.clone(),
        }
    }
}

/// Writes `policy.yaml:12:5: limits[2].window: problem; hint`, leaving out what is not known.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.description())
    }
}

/// Writes `policy.yaml:12:5`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
