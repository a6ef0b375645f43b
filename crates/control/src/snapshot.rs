//! The current policy in memory, kept current from the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tollgate_policy::{Table, counter};
use tollgate_proto::node::v1::stream_config_response::Message as ToNode;
use tollgate_proto::node::v1::{PolicyUpdate, StreamConfigResponse};
use tollgate_proto::policy::v1::Policy;
use tollgate_quota::{LimitSpec, Limits};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::error::{Error, Result};
use crate::metrics;
use crate::revisions::{CURRENT, Revisions};
use crate::store::SharedStore;
use crate::store::watch::Watch;

/// After one change is out, further ones wait so long and then go out as one.
const SETTLE: Duration = Duration::from_millis(100);
/// The pointer is read again so often, in case an event was lost.
const RECONCILE: Duration = Duration::from_secs(30);

/// One revision, ready to be used and sent.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Its number; 0 stands for "nothing has been applied yet".
    pub(crate) revision: u64,
    /// What nodes are sent of it, encoded once for all of them.
    pub(crate) encoded: Bytes,
    pub(crate) table: Table,
    pub(crate) limits: Arc<Limits>,
}

/// The current snapshot; none until the store has been read for the first time.
pub(crate) type Current = watch::Receiver<Option<Arc<Snapshot>>>;

impl Snapshot {
    fn new(revision: u64, policy: Policy) -> Result<Self, String> {
        let table = tollgate_policy::compile(&policy, revision).map_err(|faults| {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            lines.join("; ")
        })?;
        let specs = table.limits().iter().map(|limit| {
            let spec = LimitSpec {
                kind: limit.kind,
                units: limit.amount,
                burst: limit.at_once(),
                revision,
            };
            (Arc::clone(&limit.name), spec)
        });
        let shared = table.limits().iter().filter_map(|limit| {
            let shares = counter::shares(limit);
            (!shares.is_empty()).then(|| (Arc::clone(&limit.name), shares.into()))
        });
        let limits = Limits::new(specs).map_err(|error| error.to_string())?;
        let promised = table.limits().iter().filter_map(|limit| {
            let percent = limit.unreachable.promised_percent();
            (percent > 0).then(|| (Arc::clone(&limit.name), percent))
        });
        let limits = limits.with_shares(shared).with_promises(promised);
        Ok(Self {
            revision,
            encoded: encode(revision, policy),
            table,
            limits: Arc::new(limits),
        })
    }
}

fn encode(revision: u64, policy: Policy) -> Bytes {
    let update = PolicyUpdate {
        revision,
        policy: Some(policy),
    };
    let message = Some(ToNode::Policy(update));
    Bytes::from(StreamConfigResponse { message }.encode_to_vec())
}

/// Looks whether a tier that somebody is to be of is one of the current policy's. Empty stands for none.
///
/// # Errors
/// [`Error::Invalid`] where there is no such tier, and those of [`now`].
pub(crate) fn check_tier(current: &Current, tier: &str) -> Result<()> {
    if tier.is_empty() || now(current)?.table.has_tier(tier) {
        return Ok(());
    }
    let tier: String = tier.chars().take(80).collect();
    let message = format!("there is no tier `{tier}` in the current policy; apply one that has it");
    Err(Error::field("tier", message))
}

/// Keeps the snapshot current.
#[derive(Debug)]
pub(crate) struct Follower {
    store: SharedStore,
    revisions: Revisions,
    current: watch::Sender<Option<Arc<Snapshot>>>,
}

impl Follower {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self {
            revisions: Revisions::new(SharedStore::clone(&store)),
            store,
            current: watch::Sender::new(None),
        }
    }

    pub(crate) fn subscribe(&self) -> Current {
        self.current.subscribe()
    }

    /// Runs for ever. Whatever fails, the last good snapshot stays.
    pub(crate) async fn run(self) {
        let read_at = self.refresh().await;
        let mut watch = Watch::new(SharedStore::clone(&self.store), CURRENT, read_at);
        let mut reconcile = interval(RECONCILE);
        reconcile.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = watch.next() => {}
                _ = reconcile.tick() => {}
            }
            self.refresh().await;
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Reads the pointer until that works, and publishes what it points to. Returns the store's revision.
    async fn refresh(&self) -> u64 {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            match self.read().await {
                Ok(read_at) => return read_at,
                Err(error) => {
                    let wait = backoff.fail();
                    warn!(%error, ?wait, "cannot read the current policy, keeping the last one");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn read(&self) -> Result<u64> {
        let head = self.revisions.head().await?;
        let number = head.number();
        let known = self
            .current
            .borrow()
            .as_ref()
            .map(|snapshot| snapshot.revision);
        if known == Some(number) {
            return Ok(head.read_at);
        }
        let policy = match &head.revision {
            Some(revision) => match self.revisions.policy(revision).await {
                Err(damaged @ Error::Damaged { .. }) => {
                    error!(error = %damaged, revision = number, "cannot use a policy revision, keeping the last one");
                    return Ok(head.read_at);
                }
                other => other?,
            },
            None => Policy::default(),
        };
        self.publish(number, policy);
        Ok(head.read_at)
    }

    fn publish(&self, revision: u64, policy: Policy) {
        match Snapshot::new(revision, policy) {
            Ok(snapshot) => {
                info!(revision, "policy revision is current");
                metrics::policy_revision(revision);
                self.current.send_replace(Some(Arc::new(snapshot)));
            }
            Err(reason) => {
                error!(
                    revision,
                    reason, "cannot use a policy revision, keeping the last one"
                );
            }
        }
    }
}

/// The snapshot as it is now.
///
/// # Errors
/// [`Error::StoreUnavailable`] before the store has been read for the first time.
pub(crate) fn now(current: &Current) -> Result<Arc<Snapshot>> {
    let snapshot = current.borrow().clone();
    snapshot.ok_or_else(|| Error::StoreUnavailable("the policy has not been read yet".to_owned()))
}
