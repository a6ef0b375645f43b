//! Joining the bytes of a piece.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocabulary::Vocabulary;

/// Longest piece for which looking at all pairs is faster than keeping them in order.
const SHORT: usize = 64;
const NONE: u32 = u32::MAX;

/// The number of tokens that the bytes of a piece are joined to.
pub(super) fn count(vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
    if piece.len() <= SHORT {
        count_short(vocabulary, piece)
    } else {
        count_long(vocabulary, piece)
    }
}

/// In the square of the length, without any memory but a few hundred bytes.
fn count_short(vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
    // Where each part begins, and the rank of what it and the next one are together.
    let mut starts = [0_usize; SHORT + 1];
    let mut ranks = [NONE; SHORT + 1];
    let mut parts = piece.len();
    let rank = |from: usize, to: usize| vocabulary.rank(&piece[from..to]).unwrap_or(NONE);
    for at in 0..=parts {
        starts[at] = at;
        if at + 2 <= parts {
            ranks[at] = rank(at, at + 2);
        }
    }
    while let Some(at) = lowest(&ranks[..parts.saturating_sub(1)]) {
        // The part after it goes, and the one after that moves up.
        starts.copy_within(at + 2..=parts, at + 1);
        ranks.copy_within(at + 1..parts, at);
        parts -= 1;
        let pair = |at: usize| {
            let end = if at + 2 <= parts {
                starts[at + 2]
            } else {
                return NONE;
            };
            rank(starts[at], end)
        };
        ranks[at] = pair(at);
        if at > 0 {
            ranks[at - 1] = pair(at - 1);
        }
    }
    parts as u64
}

/// The first of the lowest ranks.
fn lowest(ranks: &[u32]) -> Option<usize> {
    // Two loops over plain numbers, which the processor does several at a time.
    let lowest = ranks.iter().copied().min().filter(|rank| *rank != NONE)?;
    ranks.iter().position(|rank| *rank == lowest)
}

/// A pair that can be joined, in the order in which pairs are.
type Pair = Reverse<(u32, u32, u32)>;

/// In the length times its logarithm.
fn count_long(vocabulary: &Vocabulary, piece: &[u8]) -> u64 {
    // Of the part that begins at a byte: where it ends, and where the one before it begins. A part that was joined to
    // the one before it ends nowhere.
    let length = piece.len();
    let mut ends: Vec<u32> = (1..=length as u32).collect();
    let mut befores: Vec<u32> = (0..=length as u32).map(|at| at.wrapping_sub(1)).collect();
    let pair = |from: u32, end: u32| -> Option<Pair> {
        let bytes = piece.get(from as usize..end as usize)?;
        Some(Reverse((vocabulary.rank(bytes)?, from, end)))
    };
    let mut pairs: BinaryHeap<Pair> = (0..length as u32)
        .filter_map(|at| pair(at, at + 2))
        .collect();
    let mut parts = length as u64;
    while let Some(Reverse((_, from, end))) = pairs.pop() {
        let middle = ends[from as usize];
        // Both parts must still be what they were when the pair was found.
        if middle == NONE || middle >= end || ends[middle as usize] != end {
            continue;
        }
        ends[middle as usize] = NONE;
        ends[from as usize] = end;
        befores[end as usize] = from;
        parts -= 1;
        if let Some(&after) = ends.get(end as usize) {
            pairs.extend(pair(from, after));
        }
        if from > 0 {
            pairs.extend(pair(befores[from as usize], end));
        }
    }
    parts
}

#[cfg(test)]
pub(super) fn both_ways(vocabulary: &Vocabulary, piece: &[u8]) -> (u64, u64) {
    (
        count_short(vocabulary, piece),
        count_long(vocabulary, piece),
    )
}
