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
    /// The hash has so many bits more than a slot's number.
    shift: u32,
}

const EMPTY: u64 = u64::MAX;
/// Bits of a token's number: enough for 262,143 tokens.
const TOKEN_BITS: u32 = 18;

impl Joints {
    /// Makes room for so many joints.
    pub(super) fn with_room(joints: usize) -> Self {
        // At most half full, so that what is not there is soon missed.
        let slots = (2 * joints).next_power_of_two().max(2);
        Self {
            slots: vec![EMPTY; slots].into(),
            shift: u64::BITS - slots.ilog2(),
        }
    }

    /// Adds that `left` and `right` are joined to `joint`.
    pub(super) fn add(&mut self, left: u32, right: u32, joint: u32) {
        let pair = pair(left, right);
        let mut at = self.first(pair);
        while self.slots[at] != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = pair << TOKEN_BITS | u64::from(joint);
    }

    /// What the two tokens are joined to, or `NONE`.
    #[inline]
    pub(super) fn joint(&self, left: u32, right: u32) -> u32 {
        let pair = pair(left, right);
        let mut at = self.first(pair);
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

    /// Where a pair is looked for first: the highest bits of its product with an odd number (Knuth, "The Art of Computer
    /// Programming", volume 3, section 6.4).
    #[inline]
    fn first(&self, pair: u64) -> usize {
        (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        // Their number is a power of two.
        (at + 1) & (self.slots.len() - 1)
    }
}

#[inline]
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << TOKEN_BITS | u64::from(right)
}
