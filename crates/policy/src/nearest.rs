//! The name that was probably meant.

/// Returns the known name nearest to `name`, if it is near enough to be a slip of the finger: by optimal string
/// alignment (insertions, deletions, replacements and swaps of neighbours), at most a third of the name's
/// length, and always one.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance takes time in the product of the lengths, and nothing far longer than a name is near one.
    if name.len() > 128 {
        return None;
    }
    let reach = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns a hint: the nearest known name, or else the known names where they are few.
pub(crate) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    if let Some(near) = nearest(name, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match known.len() {
        0 => None,
        1..=12 => Some(format!("known here: {}", list(&known))),
        _ => None,
    }
}

/// Names in backquotes, with commas.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
