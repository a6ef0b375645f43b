//! Accepts connections and serves them, HTTP/1.1 and HTTP/2 on one port.
//!
//! hyper is driven directly, as tonic's own server ends when accepting fails, buffers 400 KiB for each stream,
//! and cannot be told otherwise.

use std::io;
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Bounds;
use crate::edge::Edge;
use crate::executor::{Bounded, StreamExecutor};
use crate::metrics;
use crate::patient::Patient;
use crate::workers::Workers;

/// From accepting a connection, or its last answer, to the next complete request head.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// How long to leave off after accepting failed, as when descriptors are used up.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a connection may take to close after it was told to at once.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The connections of callers.
#[derive(Debug)]
pub(crate) struct Connections {
    builder: Builder<StreamExecutor>,
    graceful: Mutex<Option<GracefulShutdown>>,
    tasks: TaskTracker,
    /// Ends every connection at once.
    abort: CancellationToken,
    places: Arc<Semaphore>,
    most: usize,
}

// === impl Connections ===

impl Connections {
    /// No connections yet.
    pub(crate) fn new(bounds: &Bounds) -> Self {
        let most = bounds.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            builder: builder(),
            graceful: Mutex::new(Some(GracefulShutdown::new())),
            tasks: TaskTracker::new(),
            abort: CancellationToken::new(),
            places: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// Accepts connections until `stop`. A failure to accept is waited out.
    pub(crate) async fn accept(
        &self,
        listener: TcpListener,
        service: impl Edge,
        workers: &Workers,
        stop: CancellationToken,
    ) {
        let mut pause = FIRST_PAUSE;
        loop {
            let next = async {
                let place = Arc::clone(&self.places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = stop.cancelled() => return,
            };
            match accepted.and_then(|(stream, _)| prepare(stream)) {
                Ok(stream) => {
                    pause = FIRST_PAUSE;
                    self.serve(stream, service.clone(), workers, place.ok());
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Gives a connection to a worker.
    fn serve(
        &self,
        stream: StdStream,
        service: impl Edge,
        workers: &Workers,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let watcher = self.graceful.lock().as_ref().map(GracefulShutdown::watcher);
        let (Some(watcher), Some((handle, seat))) = (watcher, workers.seat()) else {
            return;
        };
        metrics::connections(self.most - self.places.available_permits());
        let (builder, abort) = (self.builder.clone(), self.abort.clone());
        let serving = async move {
            // Registered here, with the input and the timers of the worker.
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => TokioIo::new(Patient::new(stream)),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be waited for");
                    return;
                }
            };
            let connection = builder.serve_connection(stream, TowerToHyperService::new(service));
            let connection = watcher.watch(connection.into_owned());
            let served = Bounded::new(async {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection broke");
                }
            });
            tokio::select! {
                () = served => {}
                () = abort.cancelled() => {}
            }
            drop((place, seat));
        };
        self.tasks.spawn_on(serving, handle);
    }

    /// Lets requests in flight finish, then closes every connection. Those that are not done in time are cut.
    pub(crate) async fn finish(&self, within: Duration) {
        let graceful = self.graceful.lock().take();
        self.tasks.close();
        if let Some(graceful) = graceful
            && timeout(within, graceful.shutdown()).await.is_err()
        {
            tracing::warn!("cutting connections that did not finish in time");
        }
        self.abort.cancel();
        if timeout(LAST_MOMENT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not close");
        }
        metrics::connections(0);
    }
}

fn builder() -> Builder<StreamExecutor> {
    let mut builder = Builder::new(StreamExecutor);
    builder
        .http1()
        // Without a timer the time-out below does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(32 * 1024)
        .max_concurrent_streams(200)
        // What comes for a request that was refused by its head is no fault of the caller, and h2 counts it as one: after a
        // thousand it would close the connection, with all that is under way on it. Whatever is reset is dropped.
        .max_local_error_reset_streams(None)
        // What a reader that does not read may make the node hold, for each stream.
        .max_send_buf_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

fn prepare(stream: TcpStream) -> io::Result<StdStream> {
    // Small pieces of a stream must not wait for each other.
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Whether an error of `accept` concerns only a connection that is gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
