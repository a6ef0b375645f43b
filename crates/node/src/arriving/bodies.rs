//! The memory that the bodies of large requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body::SizeHint;

use crate::error::Error;
use crate::metrics;

/// What every request may send without asking: it is part of what each is reckoned to need.
const FREE: usize = 32 * 1024;

/// The memory for bodies, beyond what each may have anyway.
#[derive(Debug)]
pub(crate) struct Bodies {
    left: AtomicUsize,
}

/// What one request has of it, until it is over.
#[derive(Debug)]
pub(crate) struct Claim {
    bodies: Arc<Bodies>,
    bytes: AtomicUsize,
}

impl Bodies {
    /// So many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
        }
    }

    /// What a body of this size needs; nothing for a small one. One that does not say how large it is takes more as it
    /// comes.
    ///
    /// # Errors
    /// There is not so much left.
    pub(crate) fn claim(self: &Arc<Self>, size: &SizeHint) -> Result<Option<Arc<Claim>>, Error> {
        let declared = usize::try_from(size.lower()).unwrap_or(usize::MAX);
        if declared <= FREE && size.upper().is_some_and(|most| most <= FREE as u64) {
            return Ok(None);
        }
        let claim = Claim {
            bodies: Arc::clone(self),
            bytes: AtomicUsize::new(0),
        };
        if claim.covers(declared) {
            Ok(Some(Arc::new(claim)))
        } else {
            Err(Error::Overloaded)
        }
    }

    /// What is needed for so many bytes that can be done without, if there is so much.
    pub(crate) fn spare(self: &Arc<Self>, bytes: usize) -> Option<Claim> {
        let claim = Claim {
            bodies: Arc::clone(self),
            bytes: AtomicUsize::new(0),
        };
        claim.spares(bytes).then_some(claim)
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.has(bytes);
        if !taken {
            metrics::shed("large_body");
        }
        taken
    }

    fn has(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }
}

impl Claim {
    /// Whether there is memory for a body that is so long by now. Takes what is missing. To be called by whoever reads
    /// the body only.
    pub(crate) fn covers(&self, length: usize) -> bool {
        self.extend(length, Bodies::take)
    }

    /// The same for what can be done without: it is no request that is turned away.
    pub(crate) fn spares(&self, length: usize) -> bool {
        self.extend(length, Bodies::has)
    }

    fn extend(&self, length: usize, take: impl Fn(&Bodies, usize) -> bool) -> bool {
        let held = self.bytes.load(Ordering::Relaxed);
        let missing = length.saturating_sub(FREE).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let taken = take(&self.bodies, missing);
        if taken {
            self.bytes.store(held + missing, Ordering::Relaxed);
        }
        taken
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.bodies.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bytes: usize) -> SizeHint {
        SizeHint::with_exact(bytes as u64)
    }

    #[test]
    fn small_bodies_need_nothing_and_large_ones_what_they_are_beyond() {
        let bodies = Arc::new(Bodies::new(1000));
        assert!(bodies.claim(&size(FREE)).unwrap().is_none());
        let most = bodies.claim(&size(FREE + 900)).unwrap().unwrap();
        assert!(bodies.claim(&size(FREE + 101)).is_err());
        assert!(most.covers(FREE + 900) && most.covers(FREE + 1000));
        assert!(!most.covers(FREE + 1001), "nothing is left");
        assert!(bodies.claim(&size(FREE + 1)).is_err());
        drop(most);
        let spare = bodies.spare(FREE + 500).unwrap();
        assert!(bodies.spare(FREE + 501).is_none() && !spare.spares(FREE + 1001));
        assert!(spare.spares(FREE + 1000) && bodies.claim(&size(FREE + 1)).is_err());
        drop(spare);
        assert!(bodies.claim(&size(FREE + 1000)).is_ok());
    }
}
