use tollgate_proto::admin::v1 as admin;

use super::*;
use crate::store::embedded::Embedded;

#[tokio::test]
async fn a_followed_key_is_answered_once_and_its_revocation_pushed() {
    let home = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
    let directory = Directory::new(Arc::clone(&store));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(&directory).run());

    let keys = Keys::new(store);
    let (key, _) = keys.create("acme", "", "").await.unwrap();
    let inbox = Arc::new(Inbox::default());
    assert_eq!(directory.follow(&inbox, key.hash), Follow::New);
    assert_eq!(directory.follow(&inbox, key.hash), Follow::Known);
    directory.resolve(&inbox, &key.hash).await.unwrap();
    directory.reconcile().await;
    let updates = inbox.take().await;
    assert_eq!(updates.len(), 1, "{updates:?}");
    assert_eq!(updates[0].key.as_ref().unwrap().id, key.id);

    keys.revoke(&key.id).await.unwrap();
    let updates = inbox.take().await;
    assert_eq!(updates, [update(&key.hash, None)]);
    assert!(
        directory.followed.lock().by_hash.is_empty(),
        "a revoked key is not followed"
    );
}

#[tokio::test]
async fn unknown_keys_are_answered_and_leave_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
    let directory = Directory::new(store);
    let inbox = Arc::new(Inbox::default());
    for n in 0..100 {
        let hash = [n; 32];
        assert_eq!(directory.follow(&inbox, hash), Follow::New);
        directory.resolve(&inbox, &hash).await.unwrap();
    }
    assert_eq!(inbox.take().await.len(), 100);
    assert!(directory.followed.lock().by_hash.is_empty());
    assert!(inbox.state.lock().known.is_empty());
}

#[test]
fn an_old_reading_never_undoes_newer_news() {
    let inbox = Inbox::default();
    let hash = [7; 32];
    let key = |tier: &str| NodeKey {
        tier: tier.into(),
        labels: HashMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]),
        ..NodeKey::default()
    };
    let offer = |revision, key: Option<NodeKey>| {
        inbox.offer(&hash, &State { key, revision });
        let waiting = std::mem::take(&mut inbox.state.lock().waiting);
        waiting.len()
    };
    assert_eq!(offer(3, Some(key("free"))), 0, "it is not followed");
    inbox.state.lock().known.insert(hash, None);
    for (revision, key, told) in [
        (3, Some(key("free")), 1),
        (3, Some(key("other")), 0),
        (2, None, 0),
        (5, Some(key("free")), 0),
        (4, None, 0),
        (6, Some(key("premium")), 1),
        (9, None, 1),
        (8, Some(key("free")), 0),
    ] {
        assert_eq!(offer(revision, key.clone()), told, "{revision} {key:?}");
    }
}

fn set(path: &str) -> admin::SetSubjectRequest {
    admin::SetSubjectRequest {
        path: path.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_is_said_of_subjects_reaches_the_keys_below_and_no_others() {
    let home = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(Embedded::open(home.path()).unwrap());
    let directory = Directory::new(Arc::clone(&store));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(&directory).run());
    let (keys, subjects) = (Keys::new(Arc::clone(&store)), Subjects::new(store));
    let inbox = Arc::new(Inbox::default());
    let mut made = Vec::new();
    for (subject, tier) in [("acme/search/ada", ""), ("acme-x", ""), ("acme", "own")] {
        let (key, _) = keys.create(subject, "", tier).await.unwrap();
        directory.follow(&inbox, key.hash);
        directory.resolve(&inbox, &key.hash).await.unwrap();
        made.push(key);
    }
    assert_eq!(inbox.take().await.len(), 3);

    let tier = admin::SetSubjectRequest {
        tier: Some("free".into()),
        ..set("acme")
    };
    subjects.set(&tier).await.unwrap();
    // The key with a tier of its own keeps it, so there is no news of it.
    let [update] = &inbox.take().await[..] else {
        panic!("news of one key");
    };
    let key = update.key.as_ref().unwrap();
    assert_eq!((key.id.as_str(), key.tier.as_str()), (&*made[0].id, "free"));

    let block = admin::SetSubjectRequest {
        blocked: Some(true),
        ..set("acme/search")
    };
    subjects.set(&block).await.unwrap();
    let [update] = &inbox.take().await[..] else {
        panic!("news of one key");
    };
    assert_eq!(update.key.as_ref().unwrap().blocked_by, "acme/search");
    subjects
        .delete(&subjects::parse("acme/search").unwrap())
        .await
        .unwrap();
    let updates = inbox.take().await;
    assert_eq!(updates[0].key.as_ref().unwrap().blocked_by, "");
    directory.leave(&inbox);
    let followed = directory.followed.lock();
    assert!(followed.by_hash.is_empty() && followed.by_subject.is_empty());
}
