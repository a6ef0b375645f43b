//! The store of a fleet: etcd, version 3.4 or later (in production 3.5.13 or later).
//!
//! What etcd's Rust client leaves to its user is done here: a time limit on every call (the transport's own
//! would surface as `Cancelled`), telling a failed write from one whose outcome is unknown, listing at one
//! revision page by page, noticing a watch that has gone silent, and keeping away from a member that does not answer
//! (`members`). Watches have a connection of their own: on a shared one, bulk traffic can starve them for seconds.
//!
//! Reads are linearizable, never served from a member's own state: a member that was paused may answer from
//! the past.

mod members;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{
    Compare as EtcdCompare, CompareOp, ConnectOptions, Event as EtcdEvent, GetOptions, GetResponse,
    KeyValue, KvClient, Txn as EtcdTxn, TxnOp, WatchOptions, WatchResponse, WatchStream,
};
use members::Members;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::{
    Batch, BoxFuture, Compare, Entry, Event, Feed, FeedEnd, Listing, Lookup, Outcome, Store, Txn,
};
use crate::error::{Error, Result};

/// For one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// For a write, where another member can be asked what became of it.
const WRITE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A connection that has said nothing for so long is asked for a sign of life.
const IDLE: Duration = Duration::from_secs(2);
/// A watch that has said nothing for so long is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(10);
/// A watch that has not even answered that is dead.
const SILENT: Duration = Duration::from_secs(20);
/// Records asked for at once.
const PAGE: i64 = 256;
/// Listings begun again because their revision was compacted in the middle.
const LISTING_ATTEMPTS: usize = 3;
/// Largest answer accepted. One page holds at most a few policy chunks of half a MiB each.
const MOST_ANSWER_BYTES: usize = 256 << 20;

/// A key to ask for where only the answer's header is of interest.
const ANY_KEY: &str = "/";

/// A client of an etcd cluster.
#[derive(Clone)]
pub struct Etcd {
    members: Members,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").finish_non_exhaustive()
    }
}

impl Etcd {
    /// Prepares connections to the members at `endpoints` (`HOST:PORT` or `http://HOST:PORT`). They are made
    /// when first used and again whenever they are lost, so that etcd may come up later than its clients.
    ///
    /// # Errors
    /// [`Error::StoreOpen`] where an endpoint is not an address.
    pub async fn connect(endpoints: &[String]) -> Result<Self> {
        let members = Members::connect(endpoints, &options(), MOST_ANSWER_BYTES).await;
        let open = |error| Error::StoreOpen(format!("etcd at {}: {error}", endpoints.join(",")));
        let members = members.map_err(open)?;
        Ok(Self { members })
    }

    async fn read(&self, key: &str, options: GetOptions) -> Result<GetResponse, ReadError> {
        let question = |mut kv: KvClient| {
            let options = options.clone();
            async move { kv.get(key, Some(options)).await }
        };
        match timeout(CALL_TIMEOUT, self.members.ask(question)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if is_compacted(&error) => Err(ReadError::Compacted),
            Ok(Err(error)) => Err(ReadError::Other(Error::StoreUnavailable(error.to_string()))),
            Err(_) => {
                let reason = unanswered(CALL_TIMEOUT);
                Err(ReadError::Other(Error::StoreUnavailable(reason)))
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Lookup> {
        let response = self.read(key, GetOptions::new()).await?;
        let revision = revision(&response)?;
        let entry = response.kvs().first().map(entry).transpose()?;
        Ok(Lookup { entry, revision })
    }

    /// The cluster's number, which depends on the token that it was begun, or restored, with.
    async fn identity(&self) -> Result<u64> {
        let options = GetOptions::new().with_count_only();
        let response = self.read(ANY_KEY, options).await?;
        let header = response.header().ok_or_else(no_header)?;
        Ok(header.cluster_id())
    }

    async fn range(&self, prefix: &str) -> Result<Listing> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.list(prefix).await {
                Ok(listing) => return Ok(listing),
                Err(ReadError::Compacted) if attempts < LISTING_ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lists everything at the revision of the first page.
    async fn list(&self, prefix: &str) -> Result<Listing, ReadError> {
        let mut listing = Listing::default();
        let mut start = prefix.to_owned();
        loop {
            let at = i64::try_from(listing.revision).unwrap_or(i64::MAX);
            let options = GetOptions::new().with_range(prefix_end(prefix));
            let options = options.with_limit(PAGE).with_revision(at);
            let response = self.read(&start, options).await?;
            if listing.revision == 0 {
                listing.revision = revision(&response)?;
            }
            for kv in response.kvs() {
                listing.entries.push(entry(kv)?);
            }
            match listing.entries.last() {
                Some(last) if response.more() => start = after(&last.key),
                _ => return Ok(listing),
            }
        }
    }

    async fn page(&self, prefix: &str, after_key: &str, limit: usize) -> Result<Listing> {
        let start = after(after_key);
        let start = if after_key < prefix { prefix } else { &start };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = GetOptions::new()
            .with_range(prefix_end(prefix))
            .with_limit(limit);
        let response = self.read(start, options).await?;
        Ok(Listing {
            entries: response.kvs().iter().map(entry).collect::<Result<_>>()?,
            revision: revision(&response)?,
            more: response.more(),
        })
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome> {
        txn.check()?;
        let turn = self.members.turn();
        let limit = match self.members.are_many() {
            true => WRITE_TIMEOUT,
            false => CALL_TIMEOUT,
        };
        let committed = timeout(limit, self.members.kv(turn).txn(encode(txn)?)).await;
        let suspect = match &committed {
            Ok(outcome) => outcome.as_ref().is_err_and(members::is_the_members),
            Err(_) => true,
        };
        if suspect {
            self.members.pass(turn);
        }
        match committed {
            Ok(Ok(response)) if !response.succeeded() => Ok(Outcome::Conflict),
            Ok(Ok(response)) => {
                let header = response.header().map(|header| unsigned(header.revision()));
                header.map(Outcome::Committed).ok_or_else(no_header)
            }
            Ok(Err(error)) => Err(failed_write(&error)),
            Err(_) => Err(Error::OutcomeUnknown(unanswered(limit))),
        }
    }

    async fn feed(&self, prefix: &str, after: u64) -> Result<Box<dyn Feed>, FeedEnd> {
        let start = i64::try_from(after.saturating_add(1)).unwrap_or(i64::MAX);
        let options = WatchOptions::new()
            .with_range(prefix_end(prefix))
            .with_start_revision(start);
        let turn = self.members.turn();
        let mut client = self.members.watch(turn);
        let opened = timeout(CALL_TIMEOUT, client.watch(prefix, Some(options))).await;
        let opened = match opened {
            Ok(opened) => opened.map_err(|error| error.to_string()),
            Err(_) => Err(unanswered(CALL_TIMEOUT)),
        };
        let stream = opened.map_err(|reason| {
            self.members.pass(turn);
            lost(reason)
        })?;
        Ok(Box::new(EtcdFeed {
            stream,
            ready: VecDeque::new(),
            heard_at: Instant::now(),
            asked: false,
        }))
    }
}

impl Store for Etcd {
    fn identity(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.identity())
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Lookup>> {
        Box::pin(self.get(key))
    }

    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listing>> {
        Box::pin(self.range(prefix))
    }

    fn page<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listing>> {
        Box::pin(self.page(prefix, after, limit))
    }

    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(self.commit(txn))
    }

    fn feed<'a>(
        &'a self,
        prefix: &'a str,
        after: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Feed>, FeedEnd>> {
        Box::pin(self.feed(prefix, after))
    }
}

/// A watch on one prefix.
struct EtcdFeed {
    stream: WatchStream,
    ready: VecDeque<Batch>,
    heard_at: Instant,
    /// Whether a sign of life has been asked for since it was last heard of.
    asked: bool,
}

impl std::fmt::Debug for EtcdFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdFeed")
            .field("heard_at", &self.heard_at)
            .finish_non_exhaustive()
    }
}

impl EtcdFeed {
    async fn wait(&mut self) -> Result<Batch, FeedEnd> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            let patience = if self.asked { SILENT } else { QUIET };
            let deadline = self.heard_at + patience;
            match tokio::time::timeout_at(deadline, self.stream.message()).await {
                Ok(Ok(Some(response))) => {
                    self.heard_at = Instant::now();
                    self.asked = false;
                    self.take(&response)?;
                }
                Ok(Ok(None)) => return Err(lost("etcd closed the watch")),
                Ok(Err(error)) => return Err(lost(error.to_string())),
                Err(_) if self.asked => return Err(lost("the watch went silent")),
                Err(_) => self.ask().await?,
            }
        }
    }

    /// Asks for a sign of life. What it says is not used to move the position: in etcd 3.4 the answer can
    /// overtake events.
    async fn ask(&mut self) -> Result<(), FeedEnd> {
        self.asked = true;
        let asked = self.stream.request_progress().await;
        asked.map_err(|error| lost(error.to_string()))
    }

    fn take(&mut self, response: &WatchResponse) -> Result<(), FeedEnd> {
        if response.compact_revision() > 0 {
            return Err(FeedEnd::Compacted);
        }
        if response.canceled() {
            let reason = response.cancel_reason();
            return Err(lost(format!("etcd cancelled the watch: {reason}")));
        }
        let events = response.events().iter().map(event);
        let events = events.collect::<Result<Vec<_>>>().map_err(FeedEnd::Lost)?;
        // The header may name a later revision, whose events are still to come: only the events count.
        if let Some(revision) = events.iter().map(Event::revision).max() {
            self.ready.push_back(Batch { events, revision });
        }
        Ok(())
    }
}

impl Feed for EtcdFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, FeedEnd>> {
        Box::pin(self.wait())
    }
}

/// Why a read failed.
enum ReadError {
    Compacted,
    Other(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Compacted => {
                Self::StoreUnavailable("etcd compacts faster than it can be listed".to_owned())
            }
            ReadError::Other(error) => error,
        }
    }
}

fn options() -> ConnectOptions {
    ConnectOptions::new()
        .with_require_leader(true)
        .with_connect_timeout(CALL_TIMEOUT)
        .with_keep_alive(IDLE, CALL_TIMEOUT)
        .with_keep_alive_while_idle(true)
}

fn encode(txn: Txn) -> Result<EtcdTxn> {
    let compares: Vec<_> = txn.compares.into_iter().map(encode_compare).collect();
    let puts = txn.puts.into_iter();
    let puts = puts.map(|(key, value)| TxnOp::put(key, Vec::from(value), None));
    let deletes = txn.deletes.into_iter().map(|key| TxnOp::delete(key, None));
    let writes: Vec<_> = puts.chain(deletes).collect();
    Ok(EtcdTxn::new().when(compares).and_then(writes))
}

fn encode_compare(compare: Compare) -> EtcdCompare {
    let signed = |revision| i64::try_from(revision).unwrap_or(i64::MAX);
    match compare {
        Compare::Created { key, revision } => {
            EtcdCompare::create_revision(key, CompareOp::Equal, signed(revision))
        }
        Compare::Modified { key, revision } => {
            EtcdCompare::mod_revision(key, CompareOp::Equal, signed(revision))
        }
    }
}

/// Tells a write that surely did not happen from one that may have.
///
/// etcd answers `RESOURCE_EXHAUSTED` when its space runs out, and may have applied the write all the same.
fn failed_write(error: &etcd_client::Error) -> Error {
    let etcd_client::Error::GRpcStatus(status) = error else {
        return Error::OutcomeUnknown(error.to_string());
    };
    let reason = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Error::StoreRefused(reason),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Error::OutcomeUnknown(reason),
    }
}

fn is_compacted(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status)
        if status.code() == Code::OutOfRange && status.message().contains("compacted"))
}

fn event(event: &EtcdEvent) -> Result<Event> {
    let kv = event.kv().ok_or_else(no_header)?;
    // A deletion carries the key and its revision only; asking the client for the event's type would panic
    // on one that it does not know.
    if kv.version() == 0 {
        return Ok(Event::Delete {
            key: key(kv)?,
            revision: unsigned(kv.mod_revision()),
        });
    }
    Ok(Event::Put(entry(kv)?))
}

fn entry(kv: &KeyValue) -> Result<Entry> {
    Ok(Entry {
        key: key(kv)?,
        value: Bytes::copy_from_slice(kv.value()),
        create_revision: unsigned(kv.create_revision()),
        mod_revision: unsigned(kv.mod_revision()),
    })
}

fn key(kv: &KeyValue) -> Result<String> {
    let key = kv.key_str().map_err(|error| Error::Damaged {
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        reason: error.to_string(),
    })?;
    Ok(key.to_owned())
}

fn revision(response: &GetResponse) -> Result<u64> {
    let header = response.header().ok_or_else(no_header)?;
    Ok(unsigned(header.revision()))
}

/// Revisions are never negative.
fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

fn no_header() -> Error {
    Error::OutcomeUnknown("etcd sent an answer without its header".to_owned())
}

fn unanswered(within: Duration) -> String {
    format!("etcd did not answer within {within:?}")
}

fn lost(reason: impl Into<String>) -> FeedEnd {
    FeedEnd::Lost(Error::StoreUnavailable(reason.into()))
}

/// The first key after all those that start with the prefix.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // No byte of UTF-8 is 0xff, so that the last one can always be raised.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The first key after this one.
fn after(key: &str) -> String {
    format!("{key}\0")
}
