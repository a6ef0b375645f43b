//! Bytes as text that people can read to each other: Crockford's base 32, lower-case.

/// No `i`, `l`, `o` and `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Writes bytes, five bits a character; the last character is filled up with zero bits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(character(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(character(held << (5 - bits)));
    }
    text
}

fn character(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_bits_make_a_character() {
        for (bytes, text) in [
            (&b""[..], ""),
            (&[0], "00"),
            (&[0xff], "zw"),
            (&[0x08, 0x86, 0x42, 0x98, 0xe8], "12345678"),
            (&[0xff; 5], "zzzzzzzz"),
        ] {
            assert_eq!(encode(bytes), text);
        }
    }
}
