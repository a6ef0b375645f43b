//! Counts the requests that the node works on, refuses those beyond the most it may, and knows when the last
//! one is done.
//!
//! A request is over when its response body is dropped, not when its handler returns: a stream is produced
//! after that. So the count is held by a guard that travels with the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The count of requests in flight.
#[derive(Debug)]
pub(crate) struct Gate {
    in_flight: AtomicUsize,
    most: usize,
    idle: Notify,
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Gate {
    /// Lets at most `most` requests in at once.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            most,
            idle: Notify::new(),
        }
    }

    /// Lets one more request in, unless there are as many as there may be.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let pass = Pass(Arc::clone(self));
        (before < self.most).then_some(pass)
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns once no request is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Release) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lets_in_so_many_and_reports_idle() {
        let gate = Arc::new(Gate::new(2));
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        assert_eq!(gate.in_flight(), 2);
        drop(first);
        let third = gate.enter();
        assert!(third.is_some());
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(5), async {
            tokio::join!(gate.idle(), async { drop((second, third)) });
        });
        waiting.await.unwrap();
        assert_eq!(gate.in_flight(), 0);
    }
}
