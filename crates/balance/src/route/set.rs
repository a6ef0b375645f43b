//! A set of small numbers.

/// Numbers up to here take no memory of their own.
const FEW: usize = 128;

/// A set of numbers that are mostly small.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    few: u128,
    more: Vec<usize>,
}

impl Set {
    pub(super) fn insert(&mut self, number: usize) {
        if number < FEW {
            self.few |= 1 << number;
        } else if !self.more.contains(&number) {
            self.more.push(number);
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        if number < FEW {
            self.few & (1 << number) != 0
        } else {
            self.more.contains(&number)
        }
    }
}
