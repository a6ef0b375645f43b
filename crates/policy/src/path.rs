//! Paths into a policy, as faults name them.

/// Longest part of a path that is written out. Longer ones are cut: they are somebody's mistake.
const LONGEST: usize = 80;

/// The path of a field.
pub(crate) fn field(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The path of a map's entry. Keys that are not names are quoted, so that a path has one meaning.
pub(crate) fn entry(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.len() <= LONGEST && key.chars().all(plain) {
        return field(path, key);
    }
    format!("{path}[{:?}]", shorten(key))
}

/// The path of a list's item.
pub(crate) fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Cuts a text that is too long to repeat in a message.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}
