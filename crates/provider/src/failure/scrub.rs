//! Making a provider's words safe to log.

/// The longest detail kept, in bytes.
pub(crate) const MAX_DETAIL: usize = 300;
/// The longest code kept, in bytes.
pub(crate) const MAX_CODE: usize = 64;

/// What stands for something that was taken out.
const REMOVED: &str = "[removed]";

/// Reduces `text` to at most `limit` bytes of one line in which nothing looks like a credential.
///
/// Providers quote the offending key in their error texts, partly masked or not at all, so every
/// word that could be one is replaced. Angle brackets are cut out, since some answer with a web
/// page.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut after_bearer = false;
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if out.len() == limit {
            return out;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let secret = after_bearer || looks_secret(word);
        after_bearer = word.eq_ignore_ascii_case("bearer");
        let shown = if secret { REMOVED } else { word };
        for c in shown.chars().filter(|c| !matches!(c, '<' | '>')) {
            if out.len() + c.len_utf8() > limit {
                return out;
            }
            out.push(c);
        }
    }
    out
}

/// Whether a word could be a credential: something in it starts as the keys of known providers do,
/// is masked by stars, or is one long run of both letters and digits.
fn looks_secret(word: &str) -> bool {
    const PREFIXES: [&str; 7] = ["sk-", "tg_", "AIza", "gsk_", "xai-", "eyJ", "AKIA"];
    let of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let starts_like_a_key = word
        .split(|c| !of_key(c))
        .any(|piece| PREFIXES.iter().any(|prefix| piece.starts_with(prefix)));
    let is_long_mix = |run: &str| {
        let digit = run.bytes().any(|byte| byte.is_ascii_digit());
        let letter = run.bytes().any(|byte| byte.is_ascii_alphabetic());
        run.len() >= 20 && digit && letter
    };
    starts_like_a_key
        || word.contains("***")
        || word
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_long_mix)
}

#[cfg(test)]
mod tests {
    use super::{MAX_DETAIL, clean};

    #[test]
    fn credentials_are_removed_and_the_rest_is_kept() {
        for (text, expect) in [
            (
                "Incorrect API key provided: sk-proj-abc123. You can find it",
                "Incorrect API key provided: [removed] You can find it",
            ),
            (
                "Incorrect key ab****************cd.",
                "Incorrect key [removed]",
            ),
            (
                "disk-full at gpt-4o-mini-realtime-preview-2024-12-17",
                "disk-full at gpt-4o-mini-realtime-preview-2024-12-17",
            ),
            (
                "header Bearer abc was bad",
                "header Bearer [removed] was bad",
            ),
            ("{\"key\":\"sk-abc\"}, x", "[removed] x"),
            (
                "token=9f8e7d6c5b4a39281706f5e4d3c2b1a0 bad",
                "[removed] bad",
            ),
            (
                "rate limit reached for gpt-4o-2024-08-06",
                "rate limit reached for gpt-4o-2024-08-06",
            ),
            ("line one\r\nline two\0\x1b[31m", "line one line two [31m"),
            (
                "<html><body>502 Bad Gateway</body></html>",
                "htmlbody502 Bad Gateway/body/html",
            ),
        ] {
            assert_eq!(clean(text, MAX_DETAIL), expect);
        }
    }

    #[test]
    fn length_is_bounded_on_a_character_border() {
        assert_eq!(clean("ééééé", 5), "éé");
        for limit in 0..40 {
            assert!(clean(&"word <p> é ".repeat(9), limit).len() <= limit);
        }
    }
}
