/// SplitMix64 (Steele, Lea, Flood 2014): one number is the whole state, so a seed names a run. Where nothing is left
/// to chance, always the same number.
#[derive(Debug, Clone)]
pub(crate) enum Random {
    Seeded(u64),
    Fixed(u64),
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self::Seeded(seed)
    }

    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    fn next(&mut self) -> u64 {
        let state = match self {
            Self::Seeded(state) => state,
            Self::Fixed(number) => return *number,
        };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True `percent` times in a hundred; never where nothing is left to chance.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        matches!(self, Self::Seeded(_)) && self.within(0, 99) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.within(0, from.len() as u64 - 1)).unwrap()]
    }
}
