//! The signals that end a service: the first asks it to drain, the second to stop at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Listens for SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Takes both signals over from now on.
    ///
    /// # Errors
    /// [`Error::Failed`] if the system does not allow that.
    pub(crate) fn install() -> Result<Self, Error> {
        let take = |kind| {
            signal(kind).map_err(|error| Error::Failed(format!("cannot take signals: {error}")))
        };
        Ok(Self {
            term: take(SignalKind::terminate())?,
            int: take(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Runs `service` until it ends. The first signal cancels `drain`; the second gives up on the service.
    ///
    /// # Errors
    /// Those of the service; [`Error::Failed`] where it was given up.
    pub(crate) async fn supervise(
        mut self,
        drain: CancellationToken,
        service: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        tokio::pin!(service);
        tokio::select! {
            outcome = &mut service => return outcome,
            () = self.next() => {}
        }
        tracing::info!("draining: requests under way are finished; a second signal stops at once");
        drain.cancel();
        tokio::select! {
            outcome = service => outcome,
            () = self.next() => Err(Error::Failed("stopped before all requests were finished".to_owned())),
        }
    }
}
