//! The tokens of an encoding, found by their bytes.

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
    /// The ranks of tokens of two bytes, by these; `EMPTY` where there is none.
    pairs: Box<[u32]>,
    longest: usize,
}

const EMPTY: u32 = u32::MAX;
/// Of a slot, the bits of the rank: enough for 262,143 tokens.
const RANK_BITS: u32 = 18;
const TAG_BITS: u32 = u32::BITS - RANK_BITS;

impl Vocabulary {
    /// Reads a file: the number of tokens in four bytes, the length of each in one, and their bytes.
    pub(super) fn new(file: &'static [u8]) -> Self {
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
            pairs: vec![EMPTY; 1 << 16].into(),
            longest: lengths.iter().copied().max().unwrap_or(0).into(),
        };
        for rank in 0..u32::try_from(tokens).unwrap_or(0) {
            vocabulary.insert(rank);
        }
        vocabulary
    }

    fn insert(&mut self, rank: u32) {
        if let [first, second] = *self.token(rank) {
            self.pairs[usize::from(u16::from_be_bytes([first, second]))] = rank;
        }
        let hash = hash(self.token(rank));
        let mut at = self.slot(hash);
        while self.slots[at] != EMPTY {
            at = self.slot(at + 1);
        }
        self.slots[at] = tag(hash) | rank;
    }

    /// The rank of the token of these bytes.
    #[inline]
    pub(super) fn rank(&self, token: &[u8]) -> Option<u32> {
        if token.len() > self.longest {
            return None;
        }
        if let [first, second] = *token {
            let rank = self.pairs[usize::from(u16::from_be_bytes([first, second]))];
            return (rank != EMPTY).then_some(rank);
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

/// A hash of few bytes: eight at a time, each multiplied by an odd number and folded, as in the `wyhash` family. It
/// need not withstand anybody: the table's keys are fixed, and a search ends at the first slot that is empty.
#[inline]
fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        hash = fold(hash ^ word.try_into().map_or(0, u64::from_le_bytes), FACTOR);
    }
    let mut last = [0; 8];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    hash = fold(hash ^ u64::from_le_bytes(last), FACTOR);
    // The low bits choose the slot.
    (hash ^ (hash >> 29)) as usize
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}
