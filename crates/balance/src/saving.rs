//! What the prompt cache of a target saves, by experience.

/// What is left of the weight of earlier requests with each further one: about the last fifty count.
const KEPT: f64 = 0.98;
/// Before so many requests nothing is known.
const FEWEST: u32 = 20;

/// The share of its input that requests had not to pay for, weighted by their input.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Saving {
    requests: u32,
    input: f64,
    saved: f64,
}

impl Saving {
    /// A request had so many tokens of input, of which it had not to pay for so many.
    pub(crate) fn observe(&mut self, input: f64, saved: f64) {
        self.requests = self.requests.saturating_add(1);
        self.input = self.input * KEPT + input;
        self.saved = self.saved * KEPT + saved.clamp(0.0, input);
    }

    /// From 0 to 1; none while nothing is known.
    pub(crate) fn share(&self) -> Option<f64> {
        (self.requests >= FEWEST && self.input > 0.0).then(|| self.saved / self.input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: u32, saved: f64) -> Saving {
        let mut saving = Saving::default();
        (0..times).for_each(|_| saving.observe(1_000.0, saved));
        saving
    }

    #[test]
    fn it_is_the_share_of_all_input_once_there_was_some() {
        assert_eq!(after(FEWEST - 1, 500.0).share(), None);
        let share = |saving: Saving| saving.share().unwrap();
        assert!((share(after(FEWEST, 500.0)) - 0.5).abs() < 1e-9);
        assert_eq!(share(after(FEWEST, 0.0)), 0.0);
        // A long prompt weighs more, and nothing saves more than there was.
        let mut saving = after(FEWEST, 0.0);
        saving.observe(1e9, 2e9);
        assert!(share(saving) > 0.99 && share(saving) <= 1.0);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut saving = after(1_000, 900.0);
        (0..200).for_each(|_| saving.observe(1_000.0, 0.0));
        assert!(saving.share().unwrap() < 0.05);
    }
}
