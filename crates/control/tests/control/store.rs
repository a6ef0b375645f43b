//! The contract of a store, run over both stores.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tollgate_control::error::Error;
use tollgate_control::store::embedded::Embedded;
use tollgate_control::store::etcd::Etcd;
use tollgate_control::store::watch::{Change, Mirror, Watch};
use tollgate_control::store::{Event, Outcome, SharedStore, Txn};

use crate::etcd::Server;

/// Long enough for anything that is going to happen.
const LONG: Duration = Duration::from_secs(30);

async fn commit(store: &SharedStore, txn: Txn) -> u64 {
    match store.commit(txn).await.unwrap() {
        Outcome::Committed(revision) => revision,
        Outcome::Conflict => panic!("conflict"),
    }
}

async fn value(store: &SharedStore, key: &str) -> Option<String> {
    let lookup = store.get(key).await.unwrap();
    lookup
        .entry
        .map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// The keys of the next change, deletions marked by a dash.
async fn keys(watch: &mut Watch) -> Vec<String> {
    match timeout(LONG, watch.next()).await.expect("nothing happened") {
        Change::Events(events) => events.iter().map(shown).collect(),
        Change::Gap { .. } => vec!["gap".to_owned()],
    }
}

fn shown(event: &Event) -> String {
    match event {
        Event::Put(entry) => entry.key.clone(),
        Event::Delete { key, .. } => format!("-{key}"),
    }
}

/// Runs a case over both stores.
async fn on_both<F: Future<Output = ()>>(case: impl Fn(SharedStore) -> F) {
    let directory = tempfile::tempdir().unwrap();
    case(Arc::new(Embedded::open(directory.path()).unwrap())).await;
    let server = Server::start();
    case(Arc::new(server.client().await)).await;
}

#[tokio::test]
async fn a_guarded_write_happens_only_while_its_guard_holds() {
    on_both(|store| async move {
        let first = commit(&store, Txn::new().when_created("/a", 0).put("/a", "1")).await;
        let stale = Txn::new().when_created("/a", 0).put("/a", "lost");
        assert_eq!(store.commit(stale).await.unwrap(), Outcome::Conflict);
        assert_eq!(value(&store, "/a").await.as_deref(), Some("1"));

        let second = commit(&store, Txn::new().when_modified("/a", first).put("/a", "2")).await;
        assert!(second > first);
        let stale = Txn::new().when_modified("/a", first).put("/a", "lost");
        assert_eq!(store.commit(stale).await.unwrap(), Outcome::Conflict);

        let entry = store.get("/a").await.unwrap().entry.unwrap();
        assert_eq!((entry.create_revision, entry.mod_revision), (first, second));
        assert_eq!(&entry.value[..], b"2");

        commit(&store, Txn::new().when_created("/a", first).delete("/a")).await;
        assert_eq!(value(&store, "/a").await, None);
        let third = commit(&store, Txn::new().when_modified("/a", 0).put("/a", "3")).await;
        let entry = store.get("/a").await.unwrap().entry.unwrap();
        assert_eq!(
            entry.create_revision, third,
            "a key made again is a new record"
        );
    })
    .await;
}

#[tokio::test]
async fn a_transaction_writes_all_its_keys_or_none() {
    on_both(|store| async move {
        let both = Txn::new().put("/a", "1").put("/b", "1");
        let revision = commit(&store, both).await;
        let listing = store.range("/").await.unwrap();
        assert!(
            listing
                .entries
                .iter()
                .all(|entry| entry.mod_revision == revision)
        );

        let half = Txn::new()
            .when_modified("/a", revision)
            .when_modified("/b", revision + 1);
        let half = half.put("/a", "2").put("/b", "2").delete("/c");
        assert_eq!(store.commit(half).await.unwrap(), Outcome::Conflict);
        assert_eq!(value(&store, "/a").await.as_deref(), Some("1"));

        let swap = Txn::new()
            .when_modified("/b", revision)
            .put("/c", "3")
            .delete("/a");
        let later = commit(&store, swap).await;
        let listing = store.range("/").await.unwrap();
        let keys: Vec<_> = listing
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        assert_eq!(keys, ["/b", "/c"]);
        assert_eq!(listing.revision, later);
    })
    .await;
}

#[tokio::test]
async fn both_stores_refuse_what_one_cannot_take() {
    on_both(|store| async move {
        let twice = Txn::new().put("/a", "1").put("/a", "2");
        let error = store.commit(twice).await.unwrap_err();
        assert!(matches!(error, Error::StoreRefused(_)), "{error:?}");
        let full = (0..128).fold(Txn::new(), |txn, n| {
            txn.when_created(format!("/n/{n}"), 0)
                .put(format!("/n/{n}"), "x")
        });
        commit(&store, full).await;
        assert_eq!(store.range("/n/").await.unwrap().entries.len(), 128);
    })
    .await;
}

#[tokio::test]
async fn a_range_is_whole_and_of_one_revision_over_many_pages() {
    on_both(|store| async move {
        for hundred in 0..7 {
            let numbers = hundred * 100..hundred * 100 + 100;
            let txn = numbers.fold(Txn::new(), |txn, n| txn.put(format!("/r/{n:04}"), "x"));
            commit(&store, txn).await;
        }
        commit(&store, Txn::new().put("/r", "before").put("/s/0", "after")).await;
        let listing = store.range("/r/").await.unwrap();
        let expected: Vec<_> = (0..700).map(|n| format!("/r/{n:04}")).collect();
        let keys: Vec<_> = listing.entries.into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys, expected);
        assert!(!listing.more);

        let mut after = String::new();
        let mut pages = Vec::new();
        loop {
            let page = store.page("/r/", &after, 300).await.unwrap();
            pages.push(page.entries.len());
            after.clone_from(&page.entries.last().unwrap().key);
            if !page.more {
                break;
            }
        }
        assert_eq!(pages, [300, 300, 100]);
        assert_eq!(after, "/r/0699");
        assert!(store.range("/none/").await.unwrap().entries.is_empty());
    })
    .await;
}

#[tokio::test]
async fn of_racing_guarded_writes_exactly_one_wins() {
    on_both(|store| async move {
        for round in 0..10 {
            let key = format!("/race/{round}");
            let racers = (0..8).map(|n| {
                let txn = Txn::new().when_created(&key, 0).put(&key, n.to_string());
                store.commit(txn)
            });
            let outcomes = futures_util::future::join_all(racers).await;
            let won = |outcome: &&_| !matches!(outcome, Ok(Outcome::Conflict));
            assert_eq!(outcomes.iter().filter(won).count(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_watch_sees_every_change_once_in_order_from_where_it_was() {
    on_both(|store| async move {
        let start = commit(&store, Txn::new().put("/w/a", "1")).await;
        commit(
            &store,
            Txn::new()
                .put("/w/b", "1")
                .put("/w/c", "1")
                .put("/other", "1"),
        )
        .await;
        commit(&store, Txn::new().delete("/w/a").put("/w/b", "2")).await;
        let mut watch = Watch::new(Arc::clone(&store), "/w/", start);
        let mut seen = keys(&mut watch).await;
        while seen.len() < 4 {
            seen.extend(keys(&mut watch).await);
        }
        assert_eq!(seen[..2], ["/w/b", "/w/c"]);
        assert!(
            seen[2..] == ["/w/b", "-/w/a"] || seen[2..] == ["-/w/a", "/w/b"],
            "{seen:?}"
        );

        let waiting = async { keys(&mut watch).await };
        let writing = async { commit(&store, Txn::new().put("/w/d", "1")).await };
        let (seen, _) = tokio::join!(waiting, writing);
        assert_eq!(seen, ["/w/d"]);
    })
    .await;
}

/// A mirror of what it held before a gap reports the differences and nothing else.
async fn survives_compaction(store: SharedStore, compact: impl AsyncFn(u64)) {
    commit(
        &store,
        Txn::new()
            .put("/m/keep", "1")
            .put("/m/gone", "1")
            .put("/m/new", "1"),
    )
    .await;
    let mut mirror = Mirror::open(Arc::clone(&store), "/m/").await.unwrap();
    let position = store.get("/m/").await.unwrap().revision;
    let mut watch = Watch::new(Arc::clone(&store), "/m/", position);
    commit(&store, Txn::new().delete("/m/gone").put("/m/new", "2")).await;
    let last = commit(&store, Txn::new().put("/m/more", "1")).await;
    compact(last).await;

    assert_eq!(keys(&mut watch).await, ["gap"]);
    let events = timeout(LONG, mirror.next()).await.unwrap();
    let shown: Vec<_> = events.iter().map(shown).collect();
    assert_eq!(shown, ["/m/more", "/m/new", "-/m/gone"]);
    let held: Vec<_> = mirror.entries().keys().map(String::as_str).collect();
    assert_eq!(held, ["/m/keep", "/m/more", "/m/new"]);

    commit(&store, Txn::new().put("/m/last", "1")).await;
    assert_eq!(keys(&mut watch).await, ["/m/last"]);
    let events = timeout(LONG, mirror.next()).await.unwrap();
    assert_eq!(events.len(), 1, "only the new one: {events:?}");

    mirror.reconcile();
    commit(&store, Txn::new().put("/m/last", "2")).await;
    let events = timeout(LONG, mirror.next()).await.unwrap();
    assert_eq!(
        events.len(),
        1,
        "a reconciliation reports what is new only: {events:?}"
    );
}

#[tokio::test]
async fn an_embedded_watch_survives_compaction() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Arc::new(Embedded::open(directory.path()).unwrap());
    let compact = async |revision| embedded.compact(revision);
    survives_compaction(Arc::clone(&embedded) as SharedStore, compact).await;
}

#[tokio::test]
async fn an_etcd_watch_survives_compaction() {
    let server = Server::start();
    let endpoint = server.endpoint();
    let compact = async |revision: u64| {
        let mut client = etcd_client::Client::connect([&endpoint], None)
            .await
            .unwrap();
        client.compact(revision.cast_signed(), None).await.unwrap();
    };
    survives_compaction(Arc::new(server.client().await), compact).await;
}

#[tokio::test]
async fn an_embedded_store_forgets_changes_beyond_its_bound_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(directory.path()).unwrap());
    let mut watch = Watch::new(Arc::clone(&store), "/big/", 0);
    for n in 0..12 {
        commit(
            &store,
            Txn::new().put(format!("/big/{n}"), vec![b'x'; 1 << 20]),
        )
        .await;
    }
    assert_eq!(keys(&mut watch).await, ["gap"]);
    commit(&store, Txn::new().put("/big/last", "1")).await;
    assert_eq!(keys(&mut watch).await, ["/big/last"]);
}

#[tokio::test]
async fn an_embedded_store_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(directory.path()).unwrap());
    let first = commit(&store, Txn::new().put("/a", "1")).await;
    let last = commit(&store, Txn::new().put("/b", "1")).await;
    // The bytes as a power cut would leave them: copied while the store is open.
    let copy = tempfile::tempdir().unwrap();
    let name = tollgate_control::store::embedded::FILE_NAME;
    std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();

    let store: SharedStore = Arc::new(Embedded::open(copy.path()).unwrap());
    let listing = store.range("/").await.unwrap();
    assert_eq!(listing.revision, last);
    assert_eq!(listing.entries[0].mod_revision, first);
    assert!(commit(&store, Txn::new().when_modified("/b", last).put("/b", "2")).await > last);
    let mut watch = Watch::new(Arc::clone(&store), "/", first);
    assert_eq!(
        keys(&mut watch).await,
        ["gap"],
        "changes before the restart are not known"
    );
}

#[tokio::test]
async fn an_embedded_store_belongs_to_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    let error = Embedded::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("is in use: stop the other tollgate"),
        "{error}"
    );
    drop(store);
    Embedded::open(directory.path()).unwrap();
}

#[tokio::test]
async fn etcd_killed_and_started_again_loses_nothing_and_watches_go_on() {
    let mut server = Server::start();
    let store: SharedStore = Arc::new(server.client().await);
    let first = commit(&store, Txn::new().put("/k/a", "1")).await;
    let mut watch = Watch::new(Arc::clone(&store), "/k/", first);
    commit(&store, Txn::new().put("/k/b", "1")).await;
    assert_eq!(keys(&mut watch).await, ["/k/b"]);

    server.kill();
    let error = store.get("/k/a").await.unwrap_err();
    assert!(matches!(error, Error::StoreUnavailable(_)), "{error:?}");
    let error = store.commit(Txn::new().put("/k/x", "1")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    server.restart();

    let back = async {
        while store.get("/k/b").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, back)
        .await
        .expect("the client did not find the server again");
    assert_eq!(value(&store, "/k/b").await.as_deref(), Some("1"));
    let guarded = Txn::new().when_modified("/k/a", first).put("/k/c", "1");
    commit(&store, guarded).await;
    assert_eq!(
        keys(&mut watch).await,
        ["/k/c"],
        "resumed, nothing repeated"
    );
}

#[tokio::test]
async fn a_write_that_etcd_does_not_answer_has_an_unknown_outcome() {
    let server = Server::start();
    let store: SharedStore = Arc::new(server.client().await);
    let first = commit(&store, Txn::new().put("/u", "1")).await;
    server.signal("STOP");
    let write = Txn::new().when_modified("/u", first).put("/u", "2");
    let error = store.commit(write.clone()).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    let error = store.get("/u").await.unwrap_err();
    assert!(matches!(error, Error::StoreUnavailable(_)), "{error:?}");
    server.signal("CONT");
    let back = async {
        while store.get("/u").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, back)
        .await
        .expect("the client did not find the server again");
    // Reading again settles it: either it is there, or the same write can be made.
    let entry = store.get("/u").await.unwrap().entry.unwrap();
    if entry.mod_revision == first {
        commit(&store, write).await;
    }
    assert_eq!(value(&store, "/u").await.as_deref(), Some("2"));
}

/// A member that stands still: connections are made, and nothing answers on them.
fn still() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    (listener, endpoint)
}

#[tokio::test]
async fn a_member_of_etcd_that_stands_still_is_felt_once() {
    let server = Server::start();
    let (_still, silent) = still();
    let members = [silent, server.endpoint()];
    let calls = 20;

    // A read is asked of the other one as well.
    let store: SharedStore = Arc::new(Etcd::connect(&members).await.unwrap());
    for _ in 0..calls {
        store.get("/k").await.unwrap();
    }
    for _ in 0..calls {
        commit(&store, Txn::new().put("/k", "1")).await;
    }

    // What became of a write nobody knows, but the next call goes elsewhere.
    let store: SharedStore = Arc::new(Etcd::connect(&members).await.unwrap());
    let error = store.commit(Txn::new().put("/k", "2")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    for _ in 0..calls {
        commit(&store, Txn::new().put("/k", "3")).await;
    }
    let mut watch = Watch::new(Arc::clone(&store), "/w/", 0);
    commit(&store, Txn::new().put("/w/a", "1")).await;
    assert_eq!(keys(&mut watch).await, ["/w/a"]);
}

#[tokio::test]
async fn a_member_of_etcd_that_is_gone_is_left_at_once() {
    let server = Server::start();
    let gone = still().1;
    let members = [gone, server.endpoint()];
    let store: SharedStore = Arc::new(Etcd::connect(&members).await.unwrap());
    let error = store.commit(Txn::new().put("/k", "1")).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
    commit(&store, Txn::new().put("/k", "1")).await;
    let store: SharedStore = Arc::new(Etcd::connect(&members).await.unwrap());
    assert_eq!(value(&store, "/k").await.as_deref(), Some("1"));
}
