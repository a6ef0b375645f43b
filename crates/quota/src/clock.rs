//! The two clocks of the protocol, and the windows counted on one of them. This crate reads no
//! clock: every value here is handed in.

/// Milliseconds on a node's own monotonic clock that goes on during suspend (`CLOCK_BOOTTIME`). Only
/// differences mean anything, and only within one process of the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeTime(pub u64);

impl NodeTime {
    /// The time `ms` milliseconds later.
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds since the Unix epoch on an owner's clock, which never goes back within an epoch of
/// ownership: a monotonic clock plus an offset fixed when the epoch began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerTime(pub u64);

impl OwnerTime {
    /// The time `ms` milliseconds later.
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The label of a window: how many windows of that length lie between the Unix epoch and its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(pub u64);

impl Window {
    /// The window of length `window_ms` that `now` falls into.
    #[must_use]
    pub fn at(now: OwnerTime, window_ms: u64) -> Self {
        Self(now.0 / window_ms.max(1))
    }

    /// When a window of length `window_ms` with this label begins.
    #[must_use]
    pub fn start(self, window_ms: u64) -> OwnerTime {
        OwnerTime(self.0.saturating_mul(window_ms))
    }

    /// When a window of length `window_ms` with this label ends (exclusive).
    #[must_use]
    pub fn end(self, window_ms: u64) -> OwnerTime {
        OwnerTime(self.0.saturating_add(1).saturating_mul(window_ms))
    }
}
