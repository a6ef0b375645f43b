//! The parts that counters are divided into, so that many owners can share the work.

use crate::Counter;

/// One of [`Shard::COUNT`] parts. Each has one owner at a time, with an epoch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u8);

impl Shard {
    /// So many there are. It can never change: where a counter's owner is found depends on it.
    pub const COUNT: usize = 256;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    /// As an index into a table of [`Shard::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Counter {
    /// The shard that the counter is in, with all its parts: the same in every process and release.
    ///
    /// Source: Fowler, Noll, Vo, FNV-1a of 64 bits, over the text form; folded, as its low bits alone depend on the
    /// low bits of the text.
    #[must_use]
    pub fn shard(&self) -> Shard {
        let hash = self.pool().as_str().bytes().fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
        Shard(
            hash.to_le_bytes()
                .into_iter()
                .fold(0, |all, byte| all ^ byte),
        )
    }
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn counter(subject: &str) -> Counter {
        let kind = Kind::Fixed { window_ms: 60_000 };
        Counter::new("per-key", kind, subject).unwrap()
    }

    #[test]
    fn a_counter_stays_where_it_is() {
        assert_eq!(counter("requests=60s/key=k1").shard(), Shard(3));
        assert_eq!(counter("requests=60s/key=k2").shard(), Shard(85));
    }

    #[test]
    fn counters_spread_evenly() {
        let mut counts = [0_u32; Shard::COUNT];
        for n in 0..25_600 {
            let counter = counter(&format!("requests=60s/key=k{n}"));
            counts[counter.shard().index()] += 1;
        }
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(least >= Some(&60) && most <= Some(&150), "{counts:?}");
    }
}
