//! What nodes tell each other through the control plane: whom each leaves out, and how many they are.
//!
//! Every node has a stream to every replica, so each replica hears all of it and tells all of it, and replicas need not
//! speak to each other. What a node says holds as long as its stream does. It is passed on, never acted upon: a node that
//! hears it finds out for itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tollgate_proto::node::v1::sighting::Whom;
use tollgate_proto::node::v1::{Fleet, LeftOut, RefusedKey, Sighting};

/// Whom a node may name at once. More than that are left out of what is passed on.
const MOST_OF_NODE: usize = 64;
/// Of how many a node is told.
const MOST_TOLD: usize = 256;
/// A node is told no more often: many changes at once are told together.
const QUIET: Duration = Duration::from_millis(200);
/// Longest name of a deployment or provider, in bytes.
const MOST_NAME: usize = 63;
/// Longest reason why a key was refused, in bytes.
const MOST_REASON: usize = 64;

/// What all nodes with a stream to this replica say.
#[derive(Debug)]
pub(crate) struct Sightings {
    by_stream: Mutex<HashMap<u64, Said>>,
    /// Changes whenever there is something else to tell.
    changed: watch::Sender<u64>,
}

/// What a node said last.
#[derive(Debug)]
struct Said {
    node: String,
    left_out: BTreeMap<Subject, Seen>,
}

/// Somebody, in an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Deployment(String),
    Provider(String),
    /// A provider's key, by its fingerprint.
    Key(String, u64),
}

/// What a node has seen of somebody.
#[derive(Debug, Clone)]
struct Seen {
    /// Since when it is left out.
    since: Instant,
    /// Why a key was refused.
    reason: String,
}

/// A node's stream among those of others. Dropped, what the node said holds no more.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    sightings: &'a Sightings,
    stream: u64,
    news: watch::Receiver<u64>,
    /// Until when the node is told nothing.
    quiet_until: Instant,
}

impl Sightings {
    pub(crate) fn new() -> Self {
        Self {
            by_stream: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// A node has opened a stream.
    pub(crate) fn enter(&self, stream: u64, node: &str) -> Listener<'_> {
        let said = Said {
            node: node.to_owned(),
            left_out: BTreeMap::new(),
        };
        self.by_stream.lock().insert(stream, said);
        let mut news = self.changed.subscribe();
        news.mark_changed();
        self.touch();
        Listener {
            sightings: self,
            stream,
            news,
            quiet_until: Instant::now(),
        }
    }

    fn hear(&self, stream: u64, said: LeftOut) {
        let now = Instant::now();
        let known = said.sightings.into_iter().filter_map(|it| {
            let since = now.checked_sub(Duration::from_millis(it.for_ms));
            let (subject, reason) = subject(it.whom?)?;
            let since = since.unwrap_or(now);
            Some((subject, Seen { since, reason }))
        });
        let left_out: BTreeMap<_, _> = known.take(MOST_OF_NODE).collect();
        let mut by_stream = self.by_stream.lock();
        let Some(before) = by_stream.get_mut(&stream) else {
            return;
        };
        let is_news = !left_out.keys().eq(before.left_out.keys());
        before.left_out = left_out;
        drop(by_stream);
        if is_news {
            self.touch();
        }
    }

    /// What the node of a stream is told.
    fn tell(&self, stream: u64) -> Fleet {
        let by_stream = self.by_stream.lock();
        let mut all: BTreeMap<&Subject, (&Seen, &str)> = BTreeMap::new();
        for (_, said) in by_stream.iter().filter(|(other, _)| **other != stream) {
            for (subject, seen) in &said.left_out {
                let told = (seen, said.node.as_str());
                let known = all.entry(subject).or_insert(told);
                if subject.prefers(seen.since, known.0.since) {
                    *known = told;
                }
            }
        }
        let sighting = |(subject, (seen, node)): (&Subject, (&Seen, &str))| Sighting {
            whom: Some(subject.whom(seen)),
            for_ms: u64::try_from(seen.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            node: node.to_owned(),
        };
        Fleet {
            nodes: u32::try_from(by_stream.len()).unwrap_or(u32::MAX),
            left_out: all.into_iter().take(MOST_TOLD).map(sighting).collect(),
        }
    }

    fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

impl Listener<'_> {
    /// Takes in whom the node leaves out.
    pub(crate) fn hear(&self, said: LeftOut) {
        self.sightings.hear(self.stream, said);
    }

    /// What is to be told, once it has changed.
    pub(crate) async fn news(&mut self) -> Fleet {
        tokio::time::sleep_until(self.quiet_until).await;
        // The sender lives as long as this borrows it.
        let _ = self.news.changed().await;
        self.quiet_until = Instant::now() + QUIET;
        self.sightings.tell(self.stream)
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.sightings.by_stream.lock().remove(&self.stream);
        self.sightings.touch();
    }
}

impl Subject {
    /// Whether what was seen at one time is told rather than what was at another: whoever has left somebody out for longest
    /// knows most, but of a key whoever was refused last.
    fn prefers(&self, one: Instant, other: Instant) -> bool {
        match self {
            Self::Deployment(_) | Self::Provider(_) => one < other,
            Self::Key(..) => one > other,
        }
    }

    fn whom(&self, seen: &Seen) -> Whom {
        match self.clone() {
            Self::Deployment(name) => Whom::Deployment(name),
            Self::Provider(name) => Whom::Provider(name),
            Self::Key(provider, fingerprint) => Whom::Key(RefusedKey {
                provider,
                fingerprint,
                reason: seen.reason.clone(),
            }),
        }
    }
}

/// Who is meant, and why a key was refused; none where that is not to be passed on.
fn subject(whom: Whom) -> Option<(Subject, String)> {
    let named = |name: &str| !name.is_empty() && name.len() <= MOST_NAME;
    let (subject, reason) = match whom {
        Whom::Deployment(name) if named(&name) => (Subject::Deployment(name), String::new()),
        Whom::Provider(name) if named(&name) => (Subject::Provider(name), String::new()),
        Whom::Key(it) if named(&it.provider) => {
            (Subject::Key(it.provider, it.fingerprint), it.reason)
        }
        Whom::Deployment(_) | Whom::Provider(_) | Whom::Key(_) => return None,
    };
    (reason.len() <= MOST_REASON).then_some((subject, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(names: &[&str]) -> LeftOut {
        let sighting = |name: &&str| Sighting {
            whom: Some(Whom::Deployment((*name).to_owned())),
            for_ms: 5,
            node: "not told by nodes".to_owned(),
        };
        LeftOut {
            sightings: names.iter().map(sighting).collect(),
        }
    }

    fn names(fleet: &Fleet) -> Vec<(&str, &str)> {
        let name = |it: &'_ Sighting| match it.whom.as_ref() {
            Some(Whom::Deployment(name) | Whom::Provider(name)) => name.clone(),
            Some(Whom::Key(key)) => {
                format!("{} {} {}", key.provider, key.fingerprint, key.reason)
            }
            None => String::new(),
        };
        let all = fleet.left_out.iter();
        all.map(|it| (name(it).leak() as &str, it.node.as_str()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_hears_of_the_others_as_long_as_they_are_there() {
        let sightings = Sightings::new();
        let mut a = sightings.enter(1, "a");
        assert_eq!(a.news().await.nodes, 1);
        let mut b = sightings.enter(2, "b");
        a.hear(left_out(&["gpt", "gpt-eu"]));
        b.hear(left_out(&["gpt"]));
        let told = b.news().await;
        assert_eq!(
            (told.nodes, names(&told)),
            (2, vec![("gpt", "a"), ("gpt-eu", "a")])
        );
        assert_eq!(names(&a.news().await), [("gpt", "b")]);
        // The same again is no news.
        tokio::time::advance(Duration::from_secs(1)).await;
        b.hear(left_out(&["gpt"]));
        let quiet = tokio::time::timeout(Duration::from_secs(1), a.news()).await;
        assert!(quiet.is_err());
        let mut c = sightings.enter(3, "c");
        let told = c.news().await;
        assert_eq!(names(&told)[0], ("gpt", "a"), "who has seen it for longest");
        drop(a);
        let told = c.news().await;
        assert_eq!((told.nodes, names(&told)), (2, vec![("gpt", "b")]));
        b.hear(LeftOut::default());
        assert_eq!(names(&c.news().await), []);
    }

    fn refused(fingerprint: u64, reason: &str, for_ms: u64) -> LeftOut {
        let key = RefusedKey {
            provider: "openai".to_owned(),
            fingerprint,
            reason: reason.to_owned(),
        };
        LeftOut {
            sightings: vec![Sighting {
                whom: Some(Whom::Key(key)),
                for_ms,
                node: String::new(),
            }],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_key_is_told_who_was_refused_last_and_why() {
        let sightings = Sightings::new();
        let (a, b) = (sightings.enter(1, "a"), sightings.enter(2, "b"));
        let mut c = sightings.enter(3, "c");
        a.hear(refused(7, "invalid_api_key", 20_000));
        b.hear(refused(7, "billing_not_active", 500));
        let told = c.news().await;
        assert_eq!(names(&told), [("openai 7 billing_not_active", "b")]);
        assert_eq!(told.left_out[0].for_ms, 500);
        // Another key of the same provider is another matter.
        b.hear(refused(8, "status 401", 0));
        let told = c.news().await;
        let both = [
            ("openai 7 invalid_api_key", "a"),
            ("openai 8 status 401", "b"),
        ];
        assert_eq!(names(&told), both);
        b.hear(refused(8, &"x".repeat(MOST_REASON + 1), 0));
        assert_eq!(names(&c.news().await), [both[0]]);
    }

    #[tokio::test]
    async fn what_a_node_says_is_bounded() {
        let sightings = Sightings::new();
        let (a, mut b) = (sightings.enter(1, "a"), sightings.enter(2, "b"));
        let long = "x".repeat(MOST_NAME + 1);
        let mut many: Vec<_> = (0..200).map(|it| format!("d{it:03}")).collect();
        many.extend([String::new(), long]);
        let many: Vec<_> = many.iter().map(String::as_str).rev().collect();
        a.hear(left_out(&many));
        assert_eq!(b.news().await.left_out.len(), MOST_OF_NODE);
        a.hear(LeftOut {
            sightings: vec![Sighting {
                for_ms: u64::MAX,
                ..left_out(&["old"]).sightings[0].clone()
            }],
        });
        assert_eq!(names(&b.news().await), [("old", "a")]);
    }
}
