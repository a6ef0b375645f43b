//! Which store the state of quota was written in.
//!
//! A store that is restored from an older copy does not know what was handed out since. It tells itself from the one
//! that the copy was taken of: an etcd cluster has another number when it is restored with another token. So the replica
//! that finds another number than the one written down freezes quota: nothing is handed out, every process of a node
//! gives up what it holds and closes its share with all it has used, and an operator thaws it.

use std::time::Duration;

use prost::Message;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, error};

use crate::audit::Asker;
use crate::clock;
use crate::error::{Error, Result};
use crate::store::{Entry, Outcome, SharedStore, Txn};

/// Where the record is.
const PATH: &str = "/q/store";
/// A replica looks so often whether its store is still the one it began with.
const LOOK: Duration = Duration::from_secs(1);

/// The record.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Origin {
    /// The store. 0 where stores cannot be told apart.
    #[prost(fixed64, tag = "1")]
    pub(crate) store: u64,
    /// Since when quota is frozen; 0 while it is not.
    #[prost(uint64, tag = "2")]
    pub(crate) frozen_ms: u64,
    /// When it was last thawed; 0 if it never was frozen.
    #[prost(uint64, tag = "3")]
    pub(crate) thawed_ms: u64,
}

impl Origin {
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen_ms > 0
    }
}

/// Finds out whether quota may be handed out in this store, and writes down what is new about it.
///
/// # Errors
/// [`Error::Busy`] where another replica writes it down at this moment, and those of the store.
pub(crate) async fn settle(store: &SharedStore) -> Result<Origin> {
    let identity = store.identity().await?;
    if identity == 0 {
        return Ok(Origin::default());
    }
    let entry = store.get(PATH).await?.entry;
    let known = entry.as_ref().map(|entry| {
        Origin::decode(entry.value.clone()).map_err(|error| Error::Damaged {
            key: entry.key.clone(),
            reason: error.to_string(),
        })
    });
    let txn = Txn::new().when_modified(PATH, revision(entry.as_ref()));
    let (origin, txn) = match known.transpose()? {
        Some(known) if known.store == identity => return Ok(known),
        None => {
            let new = Origin {
                store: identity,
                ..Origin::default()
            };
            (new, txn)
        }
        Some(known) => {
            error!(
                was = format!("{:x}", known.store),
                is = format!("{identity:x}"),
                "the store was restored from an older copy: nothing is handed out until `tollgate limits thaw`"
            );
            let frozen = Origin {
                store: identity,
                frozen_ms: clock::wall_ms(),
                ..known
            };
            let asker = Asker::new("the control plane", "the store was restored from a copy")?;
            let record = asker.record("freeze", "", String::new())?;
            (frozen, record.put_done(txn))
        }
    };
    commit(store, txn.put(PATH, origin.encode_to_vec())).await?;
    Ok(origin)
}

/// Writes down that quota is handed out again, with what the transaction already holds.
///
/// # Errors
/// As [`settle`].
pub(crate) async fn thaw(store: &SharedStore, origin: Origin, txn: Txn) -> Result<()> {
    let entry = store.get(PATH).await?.entry;
    let now = entry.as_ref().map(|entry| entry.value.as_ref());
    if now != Some(origin.encode_to_vec().as_slice()) {
        return Err(changed_meanwhile());
    }
    let txn = txn.when_modified(PATH, revision(entry.as_ref()));
    let thawed = Origin {
        frozen_ms: 0,
        thawed_ms: clock::wall_ms(),
        ..origin
    };
    commit(store, txn.put(PATH, thawed.encode_to_vec())).await
}

async fn commit(store: &SharedStore, txn: Txn) -> Result<()> {
    match store.commit(txn).await? {
        Outcome::Committed(_) => Ok(()),
        Outcome::Conflict => Err(changed_meanwhile()),
    }
}

fn revision(entry: Option<&Entry>) -> u64 {
    entry.map_or(0, |entry| entry.mod_revision)
}

fn changed_meanwhile() -> Error {
    Error::Busy("another replica has just noted which store this is")
}

/// Ends when the store is not the one any more that this replica began with. What the replica has in memory is of the
/// other one, so it has to begin anew.
pub(crate) async fn changed(store: SharedStore) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        looks.tick().await;
        match store.identity().await {
            Ok(identity) if *known.get_or_insert(identity) != identity => {
                error!("the store was replaced by another one, perhaps a restored copy");
                return;
            }
            Ok(_) => {}
            Err(unreachable) => debug!(error = %unreachable, "cannot look which store this is"),
        }
    }
}
