//! Writing names into the path of an address.

use std::borrow::Cow;
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

/// A name in which only letters, digits and those of `keep` occur: others are written as numbers, so that
/// different names stay different and the same name stays the same.
pub(crate) fn identifier<'a>(name: &'a str, keep: &str) -> Cow<'a, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte);
    if name.bytes().all(plain) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "_{byte:02x}");
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{encode, identifier};

    #[test]
    fn what_could_end_a_segment_is_encoded() {
        assert_eq!(encode("gpt-4.1_x~y", ""), "gpt-4.1_x~y");
        assert_eq!(encode("a/b?c#d%é e", ""), "a%2Fb%3Fc%23d%25%C3%A9%20e");
        assert_eq!(encode("a/b@c", "/@"), "a/b@c");
    }

    #[test]
    fn what_an_identifier_may_not_hold_is_written_as_numbers() {
        assert_eq!(identifier("call_1-b", "_-"), "call_1-b");
        assert_eq!(identifier("call:1/é", "_-"), "call_3a1_2f_c3_a9");
    }
}
