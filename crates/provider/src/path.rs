//! Writing names into the path of an address.

use std::fmt::Write as _;

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3) and those of `keep`.
pub(crate) fn encode(name: &str, keep: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric()
            || b"-._~".contains(&byte)
            || keep.as_bytes().contains(&byte)
        {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn what_could_end_a_segment_is_encoded() {
        assert_eq!(encode("gpt-4.1_x~y", ""), "gpt-4.1_x~y");
        assert_eq!(encode("a/b?c#d%é e", ""), "a%2Fb%3Fc%23d%25%C3%A9%20e");
        assert_eq!(encode("a/b@c", "/@"), "a/b@c");
    }
}
