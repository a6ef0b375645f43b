//! Which shards this replica is to own: it looks into the store a few times a second, and does what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_quota::owner::{Config, Owner};
use tollgate_quota::{Epoch, OwnerTime, Shard};
use tracing::{error, info, warn};

use super::handle::Standing;
use super::write::{Desk, MOST_OPERATIONS};
use super::{Done, Shell};
use crate::clock;
use crate::error::Result;
use crate::metrics;
use crate::origin::{self, Origin};
use crate::ownership::{Process, Replica, Sighting};
use crate::placement::{Census, LOOK, Plan};

/// The pause before a look that something has called for.
const SOON: Duration = Duration::from_millis(10);
/// Counters kept at once in one shard; demand for further ones is not answered.
const MOST_COUNTERS: usize = 20_000;

/// What is known of shards and replicas.
#[derive(Debug, Default)]
pub(super) struct Placing {
    census: Census,
    /// When to look again; none while a look or what follows from it is under way, or where there is nothing to see.
    pub(super) look_at: Option<Instant>,
    /// A look, or what follows from it, is under way.
    busy: bool,
    /// Look again as soon as it is over.
    again: bool,
    /// Everything has been looked at, and done what followed, once.
    settled: bool,
    /// Who else owns which shards.
    others: BTreeMap<Shard, Arc<Replica>>,
    /// Shards whose last term ended because its clock was wrong.
    distrusted: BTreeSet<Shard>,
    /// How often nodes have known a later epoch than the store.
    overtaken: u64,
    /// When the last look was, however it ended.
    looked_at: Option<Instant>,
    /// Another process has this one's name.
    superseded: bool,
    stopped: bool,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Acted {
    gained: Vec<(Shard, u64)>,
    origin: Option<Origin>,
    /// Something did not come about.
    failed: bool,
}

impl Placing {
    /// A node has spoken of a later epoch than the shard's. It will not listen to an earlier one, so the epoch is
    /// raised, claim by claim, until it is beyond the node's: that serves it again without its restart.
    pub(super) fn overtaken(&mut self, epoch: Epoch) {
        self.overtaken += 1;
        if self.overtaken.is_power_of_two() {
            let times = self.overtaken;
            error!(
                epoch = epoch.0,
                times, "nodes know a later epoch than the store: was it replaced by an older copy?"
            );
        }
    }

    /// The next terms of those shards begin as if others had handed out until then.
    pub(super) fn distrust(&mut self, shards: Vec<Shard>) {
        self.distrusted.extend(shards);
    }

    /// Whatever look was under way is given up.
    pub(super) fn give_up(&mut self) {
        self.busy = false;
    }

    /// Whether shards may still be gained.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Nothing is claimed any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }
}

impl Shell {
    pub(super) fn look(&mut self) {
        self.placing.look_at = None;
        (self.placing.busy, self.placing.again) = (true, false);
        let (desk, frozen) = (self.desk.clone(), self.origin.is_frozen());
        self.jobs.spawn(async move {
            let looked = async {
                let sighting = desk.ownership.look().await?;
                let origin = match frozen {
                    true => Some(origin::settle(&desk.store).await?),
                    false => None,
                };
                Ok((sighting, origin))
            };
            Done::Looked(looked.await)
        });
    }

    pub(super) fn look_soon(&mut self) {
        match self.placing.busy {
            true => self.placing.again = true,
            false => self.look_in(SOON),
        }
    }

    pub(super) fn looked(&mut self, looked: Result<(Sighting, Option<Origin>)>) {
        if self.placing.stopped {
            self.placing.busy = false;
            return;
        }
        let before = self.placing.looked_at.replace(Instant::now());
        let passed = before.map_or(Duration::ZERO, |at| at.elapsed().min(LOOK));
        let (sighting, origin) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                // Nothing is known of the others; it is not held against them.
                warn!(%error, "cannot look who hands out quota");
                return self.look_in(LOOK);
            }
        };
        if origin.is_some_and(|origin| !origin.is_frozen()) {
            info!("quota was thawed, beginning new terms");
            self.origin = Origin::default();
            return self.begin_anew();
        }
        let Self {
            placing,
            terms,
            desk,
            ..
        } = self;
        let me = desk.ownership.me().clone();
        let alone = desk.store.is_exclusive();
        let plan = placing
            .census
            .plan(&me, (&sighting, clock::millis(passed)), alone, |shard| {
                terms.held(shard)
            });
        let superseded = placing.census.is_superseded(&me);
        if superseded && !std::mem::replace(&mut placing.superseded, superseded) {
            let name = &me.replica.name;
            error!(
                name,
                "another process of this name has registered: each replica needs a name of its own"
            );
        }
        placing.superseded = superseded;
        let others = sighting.owners.iter();
        // What a former process of this name owned has nobody until this one claims it.
        let mine = |owner: &Process| owner.replica.name == me.replica.name && !superseded;
        let others =
            others.filter(|(_, (owner, _))| placing.census.is_alive(owner) && !mine(owner));
        let mut replicas: BTreeMap<u64, Arc<Replica>> = BTreeMap::new();
        placing.others = others
            .map(|(shard, (owner, _))| {
                let replica = replicas.entry(owner.number);
                let replica = replica.or_insert_with(|| Arc::new(owner.replica.clone()));
                (*shard, Arc::clone(replica))
            })
            .collect();
        self.act(plan);
    }

    fn act(&mut self, plan: Plan) {
        if !plan.lost.is_empty() {
            warn!(shards = plan.lost.len(), "another replica has taken over");
            self.end_terms(&plan.lost);
        }
        for shard in &plan.leaves {
            self.leave(*shard);
        }
        if plan.register.is_none() && plan.claims.is_empty() {
            return self.acted(Acted::default());
        }
        let desk = self.desk.clone();
        self.jobs
            .spawn(async move { Done::Acted(desk.act(plan).await) });
    }

    pub(super) fn acted(&mut self, acted: Acted) {
        let Acted {
            gained,
            origin,
            failed,
        } = acted;
        if let Some(origin) = origin {
            self.origin = origin;
            self.streams.store = origin.store;
            metrics::quota_frozen(origin.is_frozen());
        }
        let shards: Vec<_> = gained.iter().map(|(shard, _)| *shard).collect();
        for (shard, epoch) in gained {
            self.begin(shard, epoch);
        }
        if self.placing.stopped {
            self.placing.busy = false;
            shards.into_iter().for_each(|shard| self.leave(shard));
            return;
        }
        if !shards.is_empty() {
            info!(shards = shards.len(), "handing out quota of more shards");
            self.load_raises(shards);
            self.search();
        }
        let registers = !self.placing.settled && !self.desk.store.is_exclusive();
        let complete = self.terms.shards().len() == Shard::COUNT;
        // The first look of one that is not alone finds that it has to register.
        self.placing.settled |= !failed && (complete || !self.placing.others.is_empty());
        self.tell_standing();
        if failed || self.placing.again || (registers && !self.placing.settled) {
            self.look_in(SOON);
        } else if complete && self.desk.store.is_exclusive() {
            self.placing.busy = false;
        } else {
            self.look_in(LOOK);
        }
    }

    fn look_in(&mut self, wait: Duration) {
        self.placing.busy = false;
        self.placing.look_at = Some(Instant::now() + wait);
    }

    fn begin(&mut self, shard: Shard, epoch: u64) {
        let limits = self.current.borrow();
        let limits = limits.as_ref().map(|snapshot| Arc::clone(&snapshot.limits));
        let number = Epoch(i64::try_from(epoch).unwrap_or(i64::MAX));
        let config = Config {
            max_counters: MOST_COUNTERS,
            ..Config::default()
        };
        let mut machine = Owner::new(number, config, limits.unwrap_or_default());
        if self.placing.distrusted.remove(&shard) {
            machine.distrust_horizon(self.clock.now());
        }
        if self.origin.thawed_ms > 0 {
            machine.restored(OwnerTime(self.origin.thawed_ms));
        }
        if self.origin.is_frozen() {
            machine.freeze();
        }
        self.terms.begin(shard, epoch, machine);
    }

    /// Ends terms at once: nothing is handed out of those shards by this replica from now on.
    pub(super) fn end_terms(&mut self, shards: &[Shard]) {
        for shard in shards {
            self.terms.end(*shard);
            self.streams.forget(*shard);
        }
        self.tell_standing();
    }

    /// Tells everyone who asks, and the nodes, what this replica owns.
    pub(super) fn tell_standing(&mut self) {
        let served = self.terms.served();
        metrics::quota_epoch(served.values().copied().max().unwrap_or(0));
        metrics::quota_shards(served.len());
        self.streams.own(&served);
        let frozen_ms = self.origin.is_frozen().then_some(self.origin.frozen_ms);
        let standing = Standing {
            settled: self.placing.settled,
            frozen_ms,
            held: served.into_keys().collect(),
            others: self.placing.others.clone(),
        };
        self.standing.send_replace(Arc::new(standing));
    }
}

impl Desk {
    /// Registers, and claims what is to be claimed. Nothing that was claimed counts where it cannot be said which store
    /// this is: the next look finds it, and it is claimed again.
    async fn act(&self, plan: Plan) -> Acted {
        let mut acted = Acted::default();
        let registered = match plan.register {
            Some(over) => self.ownership.register(over).await,
            None => Ok(true),
        };
        acted.failed |= self.note(registered).is_none_or(|registered| !registered);
        for shards in plan.claims.chunks(MOST_OPERATIONS) {
            let claimed = self.ownership.claim(shards).await;
            match self.note(claimed).flatten() {
                Some(epoch) => {
                    let gained = shards.iter().map(|(shard, _)| (*shard, epoch));
                    acted.gained.extend(gained);
                }
                None => acted.failed = true,
            }
        }
        if !acted.gained.is_empty() {
            acted.origin = self.note(origin::settle(&self.store).await);
            if acted.origin.is_none() {
                acted.gained.clear();
                acted.failed = true;
            }
        }
        acted
    }

    fn note<T>(&self, outcome: Result<T>) -> Option<T> {
        let failed = |error: &_| warn!(%error, "cannot become the owner of quota yet");
        outcome.inspect_err(failed).ok()
    }
}
