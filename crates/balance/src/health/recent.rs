//! How the attempts of the last seconds ended.

use std::time::Duration;

/// Half of the time that is looked back on: what is known covers one to two of it.
const HALF: Duration = Duration::from_secs(5);

/// Attempts of the half that runs and of the one before, as in a sliding window of two parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    /// Number of the half that runs, since the origin of time.
    half: u64,
    runs: Count,
    before: Count,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: u32,
    failed: u32,
}

impl Recent {
    /// An attempt ended.
    pub(super) fn note(&mut self, failed: bool, now: Duration) {
        *self = self.at(now);
        self.runs.all = self.runs.all.saturating_add(1);
        self.runs.failed = self.runs.failed.saturating_add(u32::from(failed));
    }

    /// How many of a hundred attempts failed; none where there were fewer than `least` or none.
    pub(super) fn failed_percent(&self, least: u32, now: Duration) -> Option<u32> {
        let now = self.at(now);
        let all = now.runs.all.saturating_add(now.before.all);
        let failed = now.runs.failed.saturating_add(now.before.failed);
        let percent = u64::from(failed) * 100 / u64::from(all.max(1));
        (all >= least.max(1)).then(|| u32::try_from(percent).unwrap_or(100))
    }

    /// As it is now. Time that runs backwards changes nothing.
    fn at(self, now: Duration) -> Self {
        let half = now.as_secs() / HALF.as_secs();
        match half.saturating_sub(self.half) {
            0 => self,
            1 => Self {
                half,
                runs: Count::default(),
                before: self.runs,
            },
            _ => Self {
                half,
                ..Self::default()
            },
        }
    }
}
