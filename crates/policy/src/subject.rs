//! To whom a key belongs.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Most parts of a subject.
pub const MAX_PARTS: usize = 8;
/// Longest part of a subject, in characters.
pub const MAX_PART: usize = 63;

/// A path of 1 to 8 parts such as `acme/search/ada`. The first part is the organisation, the first two are the
/// team, the whole is the user.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    path: Box<str>,
    /// Length of the first part.
    org: usize,
    /// Length of the first two parts, or of the only one.
    team: usize,
}

impl Subject {
    /// Parses a subject.
    ///
    /// # Errors
    /// [`Error::Subject`] where it has no part or more than [`MAX_PARTS`], or where a part is empty, longer than
    /// [`MAX_PART`], or holds anything but lower-case letters, digits, dashes, underscores and dots.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let fail = |problem: String| Err(Error::Subject { problem });
        if path.is_empty() {
            return fail("it is empty".to_owned());
        }
        // The whole is bounded first, so that a hostile one costs nothing to refuse.
        if path.len() > MAX_PARTS * (MAX_PART + 1) || path.split('/').count() > MAX_PARTS {
            return fail(format!("it has more than {MAX_PARTS} parts"));
        }
        for (number, part) in path.split('/').enumerate() {
            let number = number + 1;
            if part.is_empty() {
                return fail(format!("part {number} is empty"));
            }
            if part.len() > MAX_PART {
                return fail(format!(
                    "part {number} is longer than {MAX_PART} characters"
                ));
            }
            if let Some(bad) = part.chars().find(|c| !allowed(*c)) {
                return fail(format!("part {number} holds {bad:?}"));
            }
        }
        let mut slashes = path.match_indices('/').map(|(at, _)| at);
        let org = slashes.next().unwrap_or(path.len());
        let team = slashes.next().unwrap_or(path.len());
        Ok(Self {
            path: path.into(),
            org,
            team,
        })
    }

    /// Returns the whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Returns the organisation: the first part.
    #[must_use]
    pub fn org(&self) -> &str {
        self.path.get(..self.org).unwrap_or(&self.path)
    }

    /// Returns the team: the first two parts, such as `acme/search`. A subject of one part is its own team, so
    /// that a limit per team holds for every key and a shallow subject is never counted with a deeper one.
    #[must_use]
    pub fn team(&self) -> &str {
        self.path.get(..self.team).unwrap_or(&self.path)
    }

    /// Returns the user: the whole path, however deep. A subject of one part is organisation, team and user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.path
    }

    /// The paths of this subject and of all above it, from the top down: `acme`, `acme/search`, `acme/search/ada`.
    pub fn and_above(&self) -> impl Iterator<Item = &str> {
        let slashes = self.path.match_indices('/').map(|(at, _)| at);
        let ends = slashes.chain([self.path.len()]);
        ends.filter_map(|end| self.path.get(..end))
    }

    /// Whether this subject is `above` or lies below it: `acme/search` is within `acme`, `acmeta` is not.
    #[must_use]
    pub fn is_within(&self, above: &Self) -> bool {
        self.path
            .strip_prefix(above.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self, Error> {
        Self::parse(path)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.path, f)
    }
}

#[cfg(test)]
mod tests;
