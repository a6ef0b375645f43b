//! Writes a value so that it stays on its line and leaves the terminal alone.

use std::fmt::{self, Debug, Write};

/// Shows what it holds with every control character as an escape such as `\n` or `\u{1b}`.
pub(super) struct Escaped<'a>(pub(super) &'a dyn Debug);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{:?}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(char::is_control) {
            self.0.write_str(&rest[..at])?;
            let mut tail = rest[at..].chars();
            for character in tail.by_ref().take(1) {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = tail.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(Escaped(&format_args!("{value}")).to_string(), expected);
    }

    #[test]
    fn control_characters_become_escapes_and_the_rest_stays() {
        check("naïve 🦀 text", "naïve 🦀 text");
        check("one\nlevel=ERROR two\r", "one\\nlevel=ERROR two\\r");
        check("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}");
        check("\u{9b}31m", "\\u{9b}31m");
    }
}
