//! The tokens of an encoding, found by their bytes.

use super::joints::{Joints, NONE};

/// Length of the file's head: the number of tokens.
const HEAD: usize = 4;

/// All tokens. A token's rank is its place in the published list.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The bytes of all tokens, one after the other.
    bytes: &'static [u8],
    /// Where each token ends in `bytes`, after a zero.
    ends: Box<[u32]>,
    /// A hash table with open addressing: ranks with `TAG_BITS` of the hash above them, or `EMPTY`. What is not there is
    /// mostly known by those bits alone, without a look at any token, which is far away in memory.
    slots: Box<[u32]>,
    /// The ranks of tokens of one byte, and of two, by these; `NONE` where there is none.
    singles: [u32; 256],
    pairs: Box<[u32]>,
    joints: Joints,
    longest: usize,
}

const EMPTY: u32 = u32::MAX;
/// Of a slot, the bits of the rank: enough for 262,143 tokens.
const RANK_BITS: u32 = 18;
const TAG_BITS: u32 = u32::BITS - RANK_BITS;

impl Vocabulary {
    /// Reads two files. The one is the number of tokens in four bytes, the length of each in one, and their bytes. The
    /// other tells in one byte for each how many bytes the first of the two tokens has of which it is joined; zero for what
    /// is never joined: single bytes, and words that are looked up as a whole.
    pub(super) fn new(file: &'static [u8], cuts: &[u8]) -> Self {
        let (head, rest) = file.split_at_checked(HEAD).unwrap_or_default();
        let tokens = head.try_into().map_or(0, u32::from_le_bytes) as usize;
        let (lengths, bytes) = rest.split_at_checked(tokens).unwrap_or_default();
        let mut end = 0;
        let ends = std::iter::once(0).chain(lengths.iter().map(|length| {
            end += u32::from(*length);
            end
        }));
        let mut vocabulary = Self {
            bytes,
            ends: ends.collect(),
            // At most half full, so that what is not there is soon missed.
            slots: vec![EMPTY; (2 * tokens).next_power_of_two()].into(),
            singles: [NONE; 256],
            pairs: vec![NONE; 1 << 16].into(),
            joints: Joints::with_room(tokens),
            longest: lengths.iter().copied().max().unwrap_or(0).into(),
        };
        for rank in 0..u32::try_from(tokens).unwrap_or(0) {
            vocabulary.insert(rank);
        }
        for (rank, cut) in (0..).zip(cuts).filter(|(_, cut)| **cut > 0) {
            vocabulary.add_joint(rank, usize::from(*cut));
        }
        vocabulary
    }

    fn insert(&mut self, rank: u32) {
        match *self.token(rank) {
            [byte] => self.singles[usize::from(byte)] = rank,
            [first, second] => self.pairs[usize::from(u16::from_be_bytes([first, second]))] = rank,
            _ => {}
        }
        let hash = hash(self.token(rank));
        let mut at = self.slot(hash);
        while self.slots[at] != EMPTY {
            at = self.slot(at + 1);
        }
        self.slots[at] = tag(hash) | rank;
    }

    fn add_joint(&mut self, rank: u32, cut: usize) {
        let parts = self.token(rank).split_at_checked(cut);
        let parts = parts.and_then(|(left, right)| self.rank(left).zip(self.rank(right)));
        if let Some((left, right)) = parts {
            self.joints.add(left, right, rank);
        }
    }

    /// The token of a byte.
    #[inline]
    pub(super) fn byte(&self, byte: u8) -> u32 {
        self.singles[usize::from(byte)]
    }

    /// The token of two bytes, or `NONE`.
    #[inline]
    pub(super) fn pair(&self, first: u8, second: u8) -> u32 {
        self.pairs[usize::from(u16::from_be_bytes([first, second]))]
    }

    /// What two tokens are joined to, or `NONE`.
    #[inline]
    pub(super) fn joint(&self, left: u32, right: u32) -> u32 {
        self.joints.joint(left, right)
    }

    /// The rank of the token of these bytes.
    #[inline]
    pub(super) fn rank(&self, token: &[u8]) -> Option<u32> {
        if token.len() > self.longest {
            return None;
        }
        if let [first, second] = *token {
            let rank = self.pair(first, second);
            return (rank != NONE).then_some(rank);
        }
        let hash = hash(token);
        let tag = tag(hash);
        let mut at = self.slot(hash);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            let rank = slot ^ tag;
            if rank >> RANK_BITS == 0 && self.token(rank) == token {
                return Some(rank);
            }
            at = self.slot(at + 1);
        }
    }

    #[inline]
    fn token(&self, rank: u32) -> &[u8] {
        let at = rank as usize;
        &self.bytes[self.ends[at] as usize..self.ends[at + 1] as usize]
    }

    #[inline]
    fn slot(&self, hash: usize) -> usize {
        // Their number is a power of two.
        hash & (self.slots.len() - 1)
    }

    /// All tokens, by rank.
    #[cfg(test)]
    pub(super) fn tokens(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() - 1).map(|rank| self.token(rank as u32))
    }
}

/// The bits of a hash that stand beside a rank: not those that choose the slot.
#[inline]
fn tag(hash: usize) -> u32 {
    ((hash as u64 >> (u64::BITS - TAG_BITS)) as u32) << RANK_BITS
}

/// A hash of few bytes: eight at a time, the last of which may be the same again, each multiplied by an odd number and
/// folded, as in the `wyhash` family. It need not withstand anybody: the table's keys are fixed, and a search ends at the
/// first slot that is empty.
#[inline]
fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    if let Some(last) = bytes.last_chunk::<8>() {
        let (words, _) = bytes[..bytes.len() - 1].as_chunks::<8>();
        for word in words {
            hash = fold(hash ^ u64::from_le_bytes(*word), FACTOR);
        }
        hash = fold(hash ^ u64::from_le_bytes(*last), FACTOR);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        hash = fold(hash ^ (u64::from(first) << 32 | u64::from(last)), FACTOR);
    } else {
        let word = bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = fold(hash ^ word, FACTOR);
    }
    // The low bits choose the slot.
    (hash ^ (hash >> 29)) as usize
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}
