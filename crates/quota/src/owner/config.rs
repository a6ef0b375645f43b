/// What an owner may be tuned by. The defaults are those of the design.
#[derive(Debug, Clone)]
pub struct Config {
    /// The high-water mark of a window is raised in at most this many steps.
    pub steps: u64,
    /// No step is smaller than this (or than what is left), so that small limits need few writes.
    pub smallest_step: u64,
    /// How far ahead of demand blocks reach while units are plentiful, in milliseconds.
    pub ahead_ms: u64,
    /// The same while units are scarce.
    pub ahead_scarce_ms: u64,
    /// How long a recall waits for holders to answer, in milliseconds.
    pub recall_ms: u64,
    /// A node not heard of for this long is no longer asked for its units, in milliseconds.
    pub silent_ms: u64,
    /// The wait before a failed read is tried again, in milliseconds.
    pub retry_ms: u64,
    /// Without a sign of life for so long, a node loses what it holds of limits without windows, in
    /// milliseconds. At least 1,000, at most [`crate::LONGEST_LEASE_MS`].
    pub lease_ms: u64,
    /// How far ahead the horizon is written, in milliseconds.
    pub horizon_ms: u64,
    /// It is written anew once so much of that has passed, in milliseconds.
    pub renew_ms: u64,
    /// The clocks of two owners differ by at most this, in milliseconds.
    pub clock_skew_ms: u64,
    /// Counters kept at once; demand for further ones is not answered.
    pub max_counters: usize,
    /// What nodes have spent and returned of a counter that is kept by rows is written this long after they said
    /// so, or with the next grant, in milliseconds.
    pub settle_ms: u64,
    /// No block of such a counter is larger, unless one request needs more: five dollars in billionths. No limit
    /// on anything else is large enough for it to matter.
    pub largest_block: u64,
    /// Units of windows are promised so far ahead, in milliseconds, and two windows at least.
    pub promised_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            steps: 16,
            smallest_step: 16,
            ahead_ms: 2_000,
            ahead_scarce_ms: 250,
            recall_ms: 30,
            silent_ms: 3_500,
            retry_ms: 50,
            lease_ms: 2_000,
            horizon_ms: 3_000,
            renew_ms: 1_000,
            clock_skew_ms: 500,
            max_counters: 1_000_000,
            settle_ms: 2_000,
            largest_block: 5_000_000_000,
            promised_ms: 600_000,
        }
    }
}
