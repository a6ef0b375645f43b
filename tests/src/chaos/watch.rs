//! Looks at every process's metrics a few times a second: who hands out quota, which policy each replica runs,
//! and whether nodes are connected to all owners.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::member::Member;
use crate::process::get;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
/// Shards of counters.
const SHARDS: u64 = 256;
/// A process that does not answer within this time is stopped, dead or overloaded.
const PATIENCE: Duration = Duration::from_millis(150);

/// What one look found.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    pub(super) at_ms: u64,
    /// By replica, of those that answered: of how many shards it hands out quota.
    pub(super) shards: BTreeMap<Member, u64>,
    /// By node, of those that answered: whether it has streams to the owners of all shards.
    pub(super) connected: BTreeMap<Member, bool>,
}

/// All looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    looks: Vec<Look>,
    /// By replica and node: policy revisions, and when each was first seen to run.
    revisions: BTreeMap<Member, Vec<(u64, u64)>>,
}

impl Watch {
    /// Looks until it is dropped.
    pub(super) async fn run(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let mut asked = JoinSet::new();
        for member in Member::controls().chain(Member::nodes()) {
            asked.spawn(async move { (member, metrics(member).await) });
        }
        let mut look = Look::default();
        let mut revisions = Vec::new();
        while let Some(answer) = asked.join_next().await {
            let Ok((member, Some(text))) = answer else {
                continue;
            };
            let value = |name: &str| value(&text, name).unwrap_or(0.0) as u64;
            if let Member::Control(_) = member {
                let shards = value("tollgate_control_quota_shards");
                look.shards.insert(member, shards);
                revisions.push((member, value("tollgate_control_policy_revision")));
            } else {
                let connected = value("tollgate_control_connected{stream=\"quota\"}") == 1;
                look.connected.insert(member, connected);
                revisions.push((member, value("tollgate_policy_revision")));
            }
        }
        look.at_ms = super::now_ms();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (member, revision) in revisions {
            let of_member = seen.revisions.entry(member).or_default();
            if of_member.last().is_none_or(|(last, _)| *last < revision) {
                of_member.push((revision, look.at_ms));
            }
        }
        seen.looks.push(look);
    }

    /// The replica that hands out quota of the most shards, as far as the last look knows.
    pub(super) fn owner(&self) -> Option<Member> {
        self.last()?.owner()
    }

    /// Whether all is well: every process answers, every shard has one owner, every node hears it.
    pub(super) fn is_well(&self) -> bool {
        self.last().is_some_and(|look| {
            let owned: u64 = look.shards.values().sum();
            let all = look.shards.len() == Member::controls().count()
                && look.connected.len() == Member::nodes().count();
            all && owned == SHARDS && look.connected.values().all(|connected| *connected)
        })
    }

    fn last(&self) -> Option<Look> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.looks.last().cloned()
    }

    /// When the last replica or node was first seen to run this revision or a later one; none if one never was.
    pub(super) fn everywhere_since(&self, revision: u64) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let all = Member::controls().chain(Member::nodes());
        let since = all.map(|member| {
            let mut of_member = seen.revisions.get(&member)?.iter();
            let found = of_member.find(|(running, _)| *running >= revision)?;
            Some(found.1)
        });
        since.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// Everything seen.
    pub(super) fn looks(&self) -> Vec<Look> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.looks.clone()
    }
}

impl Look {
    fn owner(&self) -> Option<Member> {
        let owners = self.shards.iter().filter(|(_, shards)| **shards > 0);
        owners
            .max_by_key(|(_, shards)| **shards)
            .map(|(member, _)| *member)
    }

    /// Whether replicas that answer hand out quota of every shard. One that does not know yet that it has been replaced
    /// counts as well.
    pub(super) fn is_owned(&self) -> bool {
        self.shards.values().sum::<u64>() >= SHARDS
    }
}

/// The etcd member that leads, if one says so.
pub(super) async fn leader() -> Option<Member> {
    for member in Member::etcds() {
        let text = metrics(member).await;
        if text.and_then(|text| value(&text, "etcd_server_is_leader")) == Some(1.0) {
            return Some(member);
        }
    }
    None
}

/// Units that the owners know to be lost or invented; none where one of them does not say.
pub(super) async fn imbalance() -> Option<f64> {
    let mut lost = 0.0;
    for member in Member::controls() {
        lost += sum(
            &metrics(member).await?,
            "tollgate_control_ledger_imbalance{",
        );
    }
    Some(lost)
}

async fn metrics(member: Member) -> Option<String> {
    let url = format!("http://{}/metrics", member.observed_at());
    match timeout(PATIENCE, get(&url)).await {
        Ok(Ok((200, text))) => Some(text),
        Ok(Ok(_) | Err(_)) | Err(_) => None,
    }
}

/// A metric's value, by its name and labels.
fn value(text: &str, name: &str) -> Option<f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let mut values = lines.filter_map(|rest| rest.strip_prefix(' ')?.trim().parse().ok());
    values.next()
}

/// The sum of a metric over its labels.
fn sum(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_whole_names() {
        let text = "# TYPE a gauge\na_total 3\na 17\nb{stream=\"quota\"} 1\n";
        assert_eq!(value(text, "a"), Some(17.0));
        assert_eq!(value(text, "b{stream=\"quota\"}"), Some(1.0));
        assert_eq!(value(text, "b"), None);
        let text = "a{l=\"x\"} 3\na{l=\"y\"} 4\nab 5\n";
        assert!((sum(text, "a{") - 7.0).abs() < 1e-9);
    }

    #[test]
    fn the_owner_is_the_one_of_the_most_shards() {
        let look = |shards: [u64; 3]| Look {
            shards: (0..).map(Member::Control).zip(shards).collect(),
            ..Look::default()
        };
        assert_eq!(look([70, 0, 90]).owner(), Some(Member::Control(2)));
        assert_eq!(look([0, 0, 0]).owner(), None);
        assert!(look([80, 86, 90]).is_owned());
        assert!(!look([80, 85, 90]).is_owned());
    }
}
