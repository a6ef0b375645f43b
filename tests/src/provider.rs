//! A fake provider: an HTTP/1.1 server that speaks the wire formats of the providers and behaves as it is told.
//!
//! It serves the completions of every [`Format`], unary and streamed, whatever path stands in front of the part that a
//! format is known by, embeds for those that have it, lists its models at `…/models`, and counts the tokens of a request where a format has that. What it does with a request is named by the request's model, or
//! overridden while it runs: see [`Behaviour`] for the whole grammar, which means the same in every format. Its ledger
//! says what really reached a provider, which is what a test of limits, settlement and cancellation has to compare with.
//!
//! | control endpoint | meaning |
//! |---|---|
//! | `POST /_behaviour` | `{"behaviour": "status-500"}` for every model, `{"model": "east@ok", "behaviour": …}` for one; `null` ends it |
//! | `GET /_ledger` | every request with its end, as a JSON list of [`Entry`]; `?from=N&most=M` for a part of them |
//! | `DELETE /_ledger` | forget entries and totals |
//! | `GET /_stats` | totals, as [`Stats`] |
//! | `GET /_health` | 200 once it listens |
//!
//! Its content is `NONCE:0 NONCE:1 …`, one word per chunk and per completion token, where the nonce
//! is what follows `nonce=` in the last user message. Prompt tokens are `⌈bytes of text / 4⌉ + 3` per
//! message, system instructions counting as one. The request's own limit cuts the content, with the finish reason for
//! that.
//!
//! It counts requests or tokens against a limit of its own where it is told to. It does NOT check keys, or speak TLS and HTTP/2.

mod behaviour;
mod body;
mod ceiling;
mod format;
mod inquiry;
mod ledger;
mod record;
mod reply;
mod request;
mod server;
mod vectors;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::sync::oneshot;

pub use behaviour::{Behaviour, Cut, EXAMPLES, Fault, Refusal, parse_duration};
pub use ceiling::Ceiling;
pub use format::Format;
pub(crate) use ledger::wall_ms;
pub use ledger::{Entry, Outcome, Stats, key_hash};
pub use reply::expected_content;
pub(crate) use reply::push_chunk;

pub use record::Recorded;
pub use vectors::expected_vector;

use server::State;

/// How to start a [`MockProvider`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Entries kept before the oldest are forgotten; 0 keeps totals only.
    pub ledger_capacity: usize,
    /// Threads that serve.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ledger_capacity: 200_000,
            threads: 1,
        }
    }
}

/// A fake provider running on threads of its own, so that a busy or blocked test does not slow it.
///
/// Dropping it closes the listener and every connection, as a provider's outage does.
#[derive(Debug)]
pub struct MockProvider {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockProvider {
    /// Starts on a free port of the loopback with a full ledger.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts as told; listens when this returns. Fails if the address is taken.
    pub fn start_with(options: Options) -> anyhow::Result<Self> {
        let mut runtime = match options.threads {
            0 | 1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime
            .worker_threads(options.threads.max(1))
            .enable_all()
            .build()
            .context("start the provider's runtime")?;
        let listener = TcpListener::bind(options.listen)
            .with_context(|| format!("listen on {}", options.listen))?;
        listener
            .set_nonblocking(true)
            .context("prepare the listener")?;
        let address = listener.local_addr().context("learn the port")?;
        let state = Arc::new(State::new(options.ledger_capacity));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("mock-provider".to_owned())
            .spawn({
                let state = Arc::clone(&state);
                move || {
                    runtime.block_on(async {
                        tokio::select! {
                            () = server::serve(listener, state) => {}
                            _ = stopped => {}
                        }
                    });
                }
            })
            .context("start the provider's thread")?;
        Ok(Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to write as `base_url` in a policy: `http://ADDRESS/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Makes every model behave alike, whatever its name says; `None` ends that.
    pub fn behave(&self, behaviour: Option<Behaviour>) {
        self.state.set_behaviour(None, behaviour);
    }

    /// The same for one model, named whole.
    pub fn behave_for(&self, model: &str, behaviour: Option<Behaviour>) {
        self.state.set_behaviour(Some(model), behaviour);
    }

    /// Lets no more for a model, named whole, through than that; the rest is refused with status 429 and `retry-after`.
    pub fn limit(&self, model: &str, ceiling: Ceiling) {
        self.state.set_ceiling(model, ceiling);
    }

    /// Every request since the start or the last [`Self::clear_ledger`], in order of arrival.
    pub fn ledger(&self) -> Vec<Entry> {
        self.state.ledger.entries(0, usize::MAX)
    }

    /// Keeps every request whole from now on.
    pub fn record(&self) {
        self.state.recorder.start();
    }

    /// The requests that came in since [`Self::record`], whole.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.state.recorder.recorded()
    }

    /// Totals over the same time.
    pub fn stats(&self) -> Stats {
        self.state.ledger.stats()
    }

    /// Forgets entries and totals.
    pub fn clear_ledger(&self) {
        self.state.ledger.clear();
    }

    /// Waits until it is stopped from elsewhere, which for the program is never.
    pub fn join(mut self) {
        // Kept alive until the end of this function: dropping it would stop the thread.
        let _stop = self.stop.take();
        self.join_thread();
    }

    fn join_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the thread itself; a destructor must not add one.
            let _reported_already = thread.join();
        }
    }
}

impl Drop for MockProvider {
    fn drop(&mut self) {
        self.stop = None;
        self.join_thread();
    }
}

#[cfg(test)]
mod tests;
