//! Which two tokens are joined to which.

/// A token that there is none of.
pub(super) const NONE: u32 = u32::MAX;

/// The joints of an encoding, found by the two tokens that they join.
///
/// A token of several bytes comes of one pair of tokens only, whatever stands around it: its bytes are joined in the
/// order in which they would be if they stood alone, or else one of them is joined to a neighbour and the token never
/// comes to be. So there are no more joints than tokens, and one number says what a look at bytes would.
#[derive(Debug)]
pub(super) struct Joints {
    /// A hash table with open addressing: both tokens and, in the lowest bits, what they are joined to; or `EMPTY`.
    slots: Box<[u64]>,
    /// A bit for each of many more places than there are joints, set where a pair is that joins: most pairs join to
    /// nothing, and that is known from here, near in memory.
    joining: Box<[u64]>,
    /// The hash has so many bits more than a slot's number, and than a bit's.
    shifts: (u32, u32),
}

const EMPTY: u64 = u64::MAX;
/// Bits of a token's number: enough for 262,143 tokens.
const TOKEN_BITS: u32 = 18;

impl Joints {
    /// Makes room for so many joints.
    pub(super) fn with_room(joints: usize) -> Self {
        // Never full, so that a search ends.
        let slots = (joints + joints / 4).next_power_of_two().max(2);
        let bits = (8 * slots).max(64);
        Self {
            slots: vec![EMPTY; slots].into(),
            joining: vec![0; bits / 64].into(),
            shifts: (u64::BITS - slots.ilog2(), u64::BITS - bits.ilog2()),
        }
    }

    /// Adds that `left` and `right` are joined to `joint`.
    pub(super) fn add(&mut self, left: u32, right: u32, joint: u32) {
        let pair = pair(left, right);
        let hash = hash(pair);
        let (word, bit) = self.bit(hash);
        self.joining[word] |= bit;
        let mut at = self.first(hash);
        while self.slots[at] != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = pair << TOKEN_BITS | u64::from(joint);
    }

    /// What the two tokens are joined to, or `NONE`.
    #[inline]
    pub(super) fn joint(&self, left: u32, right: u32) -> u32 {
        let pair = pair(left, right);
        let hash = hash(pair);
        let (word, bit) = self.bit(hash);
        if self.joining[word] & bit == 0 {
            return NONE;
        }
        let mut at = self.first(hash);
        loop {
            let slot = self.slots[at];
            if slot >> TOKEN_BITS == pair {
                return (slot & ((1 << TOKEN_BITS) - 1)) as u32;
            }
            if slot == EMPTY {
                return NONE;
            }
            at = self.next(at);
        }
    }

    /// Where a pair is looked for first.
    #[inline]
    fn first(&self, hash: u64) -> usize {
        (hash >> self.shifts.0) as usize
    }

    /// The bit of a pair, and the word that it is in.
    #[inline]
    fn bit(&self, hash: u64) -> (usize, u64) {
        let at = hash >> self.shifts.1;
        ((at / 64) as usize, 1 << (at % 64))
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        // Their number is a power of two.
        (at + 1) & (self.slots.len() - 1)
    }
}

/// The product with an odd number, of which the highest bits count (Knuth, "The Art of Computer Programming", volume 3,
/// section 6.4).
#[inline]
fn hash(pair: u64) -> u64 {
    pair.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << TOKEN_BITS | u64::from(right)
}
