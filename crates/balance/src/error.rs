//! What can be wrong with a route.

/// A route that cannot be balanced over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A pool without targets, or a route without pools.
    #[error("nothing to choose from: a pool needs at least one target and a route one pool")]
    Empty,
    /// A target of weight zero, which would never be chosen.
    #[error("target {position} of the pool has weight 0; remove it or give it a weight")]
    ZeroWeight {
        /// The target's place in the pool, from 0.
        position: usize,
    },
    /// The same target twice in one pool.
    #[error("target {position} of the pool was named before; give one target one weight")]
    Duplicate {
        /// The place of the second naming, from 0.
        position: usize,
    },
}
