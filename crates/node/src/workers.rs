//! Threads that serve connections, one for each processor.
//!
//! Each has a runtime of its own that steals no work, and a connection stays on the thread it was given to, its
//! requests and their connections to providers included. A request then never wakes another thread: on the
//! runtime that shares its work, waking and looking for work took a third of the time of a small request. What
//! is given up is that a single connection can use several processors.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Most threads, whatever the machine has.
pub(crate) const MOST: usize = 64;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The number of the worker thread that this runs on, below [`MOST`]; 0 on any other thread.
pub(crate) fn current() -> usize {
    NUMBER.get()
}

/// How many threads this machine deserves.
pub(crate) fn deserved() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST)
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// Connections that it serves.
    load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// A connection's place at a worker; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Workers {
    /// Starts the threads. On each runs, beside its connections, what `watch` gives, until it stops.
    ///
    /// # Errors
    /// The system gives no thread, or no means to wait for input.
    pub(crate) fn start<W>(watch: impl Fn() -> W) -> io::Result<Self>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let workers: io::Result<_> = (0..deserved())
            .map(|number| Worker::start(number, &stop, watch()))
            .collect();
        Ok(Self {
            workers: workers?,
            stop,
        })
    }

    /// The thread with the fewest connections.
    pub(crate) fn seat(&self) -> Option<(&Handle, Seat)> {
        let worker = self
            .workers
            .iter()
            .min_by_key(|worker| worker.load.load(Ordering::Relaxed))?;
        worker.load.fetch_add(1, Ordering::Relaxed);
        Some((&worker.handle, Seat(Arc::clone(&worker.load))))
    }

    /// Ends the threads, and whatever still runs on them.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                if worker.thread.join().is_err() {
                    tracing::error!("a worker thread panicked: this is a defect");
                }
            }
        });
        // Fails only where the process is ending anyway.
        let _ = ended.await;
    }
}

impl Worker {
    fn start(
        number: usize,
        stop: &CancellationToken,
        watch: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // A task among the others, so that it is as late as they are. It ends with the runtime.
        runtime.spawn(watch);
        let handle = runtime.handle().clone();
        let stop = stop.clone();
        let thread = thread::Builder::new()
            .name(format!("callers-{number}"))
            .spawn(move || {
                NUMBER.set(number);
                runtime.block_on(stop.cancelled());
            })?;
        Ok(Self {
            handle,
            load: Arc::default(),
            thread,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_evenly() {
        let workers = Workers::start(std::future::pending).unwrap();
        let count = workers.workers.len();
        let mut seats = Vec::new();
        for _ in 0..count * 3 {
            let (handle, seat) = workers.seat().unwrap();
            let number = handle.spawn(async { current() }).await.unwrap();
            assert!(number < count);
            seats.push(seat);
        }
        let loads = || {
            workers
                .workers
                .iter()
                .map(|worker| worker.load.load(Ordering::Relaxed))
        };
        assert!(loads().all(|load| load == 3));
        drop(seats);
        assert!(loads().all(|load| load == 0));
        workers.stop().await;
    }
}
