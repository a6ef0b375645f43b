//! Joining the bytes of a piece.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::joints::NONE;
use super::vocabulary::Vocabulary;

/// Longest piece whose pairs are looked at in groups, which is faster than keeping them in order.
pub(super) const SHORT: usize = 256;
/// Pairs of a group: as many as the processor looks at in a few steps.
const GROUP: usize = 16;
const GROUPS: usize = SHORT / GROUP;

/// Joins the bytes of pieces, one piece after the other. A part is known by the byte at which it begins.
#[derive(Debug)]
pub(super) struct Joiner {
    /// The token that each part is.
    tokens: [u32; SHORT],
    /// Where the parts after and before it begin.
    afters: [u16; SHORT],
    befores: [u16; SHORT],
    /// What each part and the one after it are joined to, and below that where it begins: the lowest of these is the
    /// pair that is joined next. `NONE` for what is no part and for pairs that are not joined.
    pairs: [[u32; GROUP]; GROUPS],
    /// The lowest of each group.
    lowest: [u32; GROUPS],
}

/// Bits of a place in a short piece.
const PLACE_BITS: u32 = SHORT.ilog2();

impl Joiner {
    pub(super) fn new() -> Self {
        Self {
            tokens: [NONE; SHORT],
            afters: [0; SHORT],
            befores: [0; SHORT],
            pairs: [[NONE; GROUP]; GROUPS],
            lowest: [NONE; GROUPS],
        }
    }

    /// The number of tokens that the bytes of a piece are joined to.
    pub(super) fn count(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
        if piece.len() <= SHORT {
            self.count_short(vocabulary, piece)
        } else {
            count_long(vocabulary, piece)
        }
    }

    fn count_short(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
        self.begin(vocabulary, piece);
        let groups = piece.len().div_ceil(GROUP);
        let mut parts = piece.len() as u64;
        loop {
            let first = lowest(&self.lowest[..groups]);
            if first == NONE {
                return parts;
            }
            self.join(vocabulary, first, piece.len());
            parts -= 1;
        }
    }

    /// Makes a part of each byte.
    fn begin(&mut self, vocabulary: &Vocabulary, piece: &[u8]) {
        let groups = piece.len().div_ceil(GROUP);
        self.pairs[..groups].fill([NONE; GROUP]);
        for (at, byte) in piece.iter().enumerate() {
            self.tokens[at] = vocabulary.byte(*byte);
            self.afters[at] = at as u16 + 1;
            self.befores[at] = (at as u16).wrapping_sub(1);
        }
        for (at, two) in piece.windows(2).enumerate() {
            self.set(at, vocabulary.pair(two[0], two[1]));
        }
        for group in 0..groups {
            self.lowest[group] = lowest(&self.pairs[group]);
        }
    }

    /// Joins a pair in a piece of that length.
    fn join(&mut self, vocabulary: &Vocabulary, pair: u32, length: usize) {
        let at = pair as usize % SHORT;
        let joint = pair >> PLACE_BITS;
        let gone = usize::from(self.afters[at]);
        let after = usize::from(self.afters[gone]);
        self.tokens[at] = joint;
        self.afters[at] = after as u16;
        self.set(gone, NONE);
        if after < length {
            self.befores[after] = at as u16;
            self.set(at, vocabulary.joint(joint, self.tokens[after]));
        } else {
            self.set(at, NONE);
        }
        let before = usize::from(self.befores[at]);
        if before < length {
            self.set(before, vocabulary.joint(self.tokens[before], joint));
            self.look(before / GROUP);
        }
        self.look(at / GROUP);
        if gone / GROUP != at / GROUP {
            self.look(gone / GROUP);
        }
    }

    /// Notes what the part that begins there and the one after it are joined to.
    #[inline]
    fn set(&mut self, at: usize, joint: u32) {
        let pair = match joint {
            NONE => NONE,
            joint => joint << PLACE_BITS | at as u32,
        };
        self.pairs[at / GROUP][at % GROUP] = pair;
    }

    #[inline]
    fn look(&mut self, group: usize) {
        self.lowest[group] = lowest(&self.pairs[group]);
    }
}

#[inline]
fn lowest(pairs: &[u32]) -> u32 {
    pairs.iter().copied().fold(NONE, u32::min)
}

/// A pair that can be joined, in the order in which pairs are.
type Pair = Reverse<(u32, u32, u32)>;

/// In the length times its logarithm.
fn count_long(vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
    // Of the part that begins at a byte: its token, where it ends, and where the one before it begins. A part that was
    // joined to the one before it ends nowhere.
    let length = piece.len() as u32;
    let mut tokens: Vec<u32> = piece.iter().map(|byte| vocabulary.byte(*byte)).collect();
    let mut ends: Vec<u32> = (1..=length).collect();
    let mut befores: Vec<u32> = (0..=length).map(|at| at.wrapping_sub(1)).collect();
    let first = |(at, two): (usize, &[u8])| {
        let joint = vocabulary.pair(two[0], two[1]);
        (joint != NONE).then_some(Reverse((joint, at as u32, at as u32 + 2)))
    };
    let mut pairs: BinaryHeap<Pair> = piece.windows(2).enumerate().filter_map(first).collect();
    let mut parts = u64::from(length);
    while let Some(Reverse((joint, from, end))) = pairs.pop() {
        let middle = ends[from as usize];
        // Both parts must still be what they were when the pair was found.
        if middle == NONE || middle >= end || ends[middle as usize] != end {
            continue;
        }
        ends[middle as usize] = NONE;
        ends[from as usize] = end;
        tokens[from as usize] = joint;
        befores[end as usize] = from;
        parts -= 1;
        let pair = |left: u32, right: u32, end: u32| {
            let joint = vocabulary.joint(tokens[left as usize], tokens[right as usize]);
            (joint != NONE).then_some(Reverse((joint, left, end)))
        };
        if let Some(&after) = ends.get(end as usize) {
            pairs.extend(pair(from, end, after));
        }
        if from > 0 {
            pairs.extend(pair(befores[from as usize], from, end));
        }
    }
    parts
}

#[cfg(test)]
pub(super) fn both_ways(vocabulary: &Vocabulary, piece: &[u8]) -> (u64, u64) {
    (
        Joiner::new().count_short(vocabulary, piece),
        count_long(vocabulary, piece),
    )
}
