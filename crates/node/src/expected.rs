//! How long a model's answers are, by this node's experience: what a limit holds that reserves the expected output, and
//! what pools reckon with that choose by speed or price.
//!
//! A running mean and a running mean deviation, by the gains that TCP uses for round-trip times (Jacobson and
//! Karels, "Congestion Avoidance and Control", 1988): `mean += error / 8`, `deviation += (|error| - deviation) / 4`.
//! The expectation is the mean and three deviations: nineteen of twenty answers stay below it where lengths are
//! spread exponentially, more where they are spread less. What goes beyond is settled as debt.

use parking_lot::Mutex;

/// Fractions of a token are kept in this many bits, so that the gains do not lose small errors.
const FRACTION: u32 = 8;
/// Longest answer that is told from longer ones: a trillion tokens.
const LONGEST: u64 = 1 << 40;
/// Answers before the experience is trusted; until then the worst case is expected.
const FEWEST: u32 = 8;
/// Output tokens of an answer, as long as there is no experience.
const UNKNOWN: u64 = 256;

/// The output of one model's answers.
#[derive(Debug, Default)]
pub(crate) struct Expected(Mutex<Experience>);

/// Both figures are tokens, shifted left by [`FRACTION`].
#[derive(Debug, Default, Clone, Copy)]
struct Experience {
    answers: u32,
    mean: i64,
    deviation: i64,
}

impl Expected {
    /// Takes an answer of so many output tokens into account.
    pub(crate) fn learn(&self, output: u64) {
        self.0.lock().learn(output);
    }

    /// The output tokens that a request has mostly which may have at most `worst`.
    pub(crate) fn typical(&self, worst: u64) -> u64 {
        let mean = self.0.lock().mean();
        mean.unwrap_or(UNKNOWN).min(worst)
    }

    /// The output tokens to hold for a request that may have at most `worst`.
    pub(crate) fn output(&self, worst: u64) -> u64 {
        self.0.lock().output().map_or(worst, |it| it.min(worst))
    }
}

impl Experience {
    fn learn(&mut self, output: u64) {
        let output = output.min(LONGEST).cast_signed() << FRACTION;
        if self.answers == 0 {
            self.mean = output;
            self.deviation = output / 2;
        } else {
            let error = output - self.mean;
            self.mean += error / 8;
            self.deviation += (error.abs() - self.deviation) / 4;
        }
        self.answers = self.answers.saturating_add(1);
    }

    fn mean(&self) -> Option<u64> {
        let mean = self.mean.max(0).cast_unsigned();
        (self.answers > 0).then_some(mean >> FRACTION)
    }

    fn output(&self) -> Option<u64> {
        let expected = (self.mean + 3 * self.deviation).max(0).cast_unsigned();
        (self.answers >= FEWEST).then(|| expected.div_ceil(1 << FRACTION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_expected_until_there_is_experience() {
        let expected = Expected::default();
        for _ in 0..FEWEST {
            assert_eq!(expected.output(4096), 4096);
            expected.learn(100);
        }
        assert!(expected.output(4096) < 200, "{}", expected.output(4096));
        assert_eq!(expected.output(50), 50, "never more than the worst case");
    }

    #[test]
    fn equal_answers_are_expected_as_they_are() {
        let expected = Expected::default();
        for _ in 0..100 {
            expected.learn(100);
        }
        // What remains of the deviation is a fraction of a token.
        assert_eq!(expected.output(4096), 101);
        assert_eq!(expected.typical(4096), 100);
        assert_eq!(expected.typical(10), 10);
        assert_eq!(Expected::default().typical(4096), UNKNOWN);
    }

    #[test]
    fn most_answers_stay_within_what_is_expected() {
        // Exponential lengths of mean 200, by the inverse of their distribution at evenly spread places that are
        // visited in the order of a golden-ratio sequence.
        let expected = Expected::default();
        let (mut place, mut within) = (0.0_f64, 0);
        for index in 0..1100 {
            place = (place + 0.618_033_988_75).fract();
            let output = (-200.0 * (1.0 - place).ln()) as u64;
            within += u32::from(index >= 100 && output <= expected.output(u64::MAX));
            expected.learn(output);
        }
        assert!((930..=990).contains(&within), "{within} of 1000");
    }

    #[test]
    fn any_lengths_are_taken() {
        let expected = Expected::default();
        for output in [u64::MAX, 0, u64::MAX, u64::MAX, 0, 1, 0, u64::MAX, 0, 0] {
            expected.learn(output);
        }
        assert_eq!(expected.output(77), 77);
    }
}
