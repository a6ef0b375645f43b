use super::*;

fn keys() -> (Arc<Keys>, mpsc::Receiver<Hash>) {
    let (keys, asked) = Keys::new(2);
    (Arc::new(keys), asked)
}

fn update(text: &str, id: &str) -> KeyUpdate {
    KeyUpdate {
        hash: bytes::Bytes::copy_from_slice(blake3::hash(text.as_bytes()).as_bytes()),
        key: (!id.is_empty()).then(|| Key {
            id: id.to_owned(),
            subject: "acme/search".to_owned(),
            ..Key::default()
        }),
    }
}

#[test]
fn only_a_bearer_token_is_a_key() {
    assert_eq!(bearer(Some(b"Bearer tg_1")), Some(&b"tg_1"[..]));
    assert_eq!(bearer(Some(b"bearer  tg_1 ")), Some(&b"tg_1"[..]));
    for other in [&b"Basic tg_1"[..], b"Bearer ", b"Bearer", b"tg_1", b""] {
        assert_eq!(bearer(Some(other)), None);
    }
    assert_eq!(bearer(None), None);
}

#[tokio::test]
async fn an_unmet_key_is_asked_for_once_and_then_known() {
    let (keys, mut asked) = keys();
    let answer = async {
        let hash = asked.recv().await.unwrap();
        assert_eq!(hash, *blake3::hash(b"tg_1").as_bytes());
        assert!(keys.update(&update("tg_1", "k1")));
    };
    let (first, second, ()) = tokio::join!(
        keys.authenticate(Some(b"Bearer tg_1")),
        keys.authenticate(Some(b"Bearer tg_1")),
        answer
    );
    assert_eq!(&*first.unwrap().id, "k1");
    assert_eq!(&*second.unwrap().id, "k1");
    assert!(asked.try_recv().is_err());
    assert!(keys.authenticate(Some(b"Bearer tg_1")).await.is_ok());
}

#[tokio::test]
async fn a_revoked_key_stops_working_at_once() {
    let (keys, _asked) = keys();
    keys.update(&update("tg_1", "k1"));
    assert!(keys.authenticate(Some(b"Bearer tg_1")).await.is_ok());
    assert!(keys.update(&update("tg_1", "")));
    let refused = keys.authenticate(Some(b"Bearer tg_1")).await;
    assert_eq!(refused.err(), Some(Error::KeyInvalid));
}

#[tokio::test]
async fn a_changed_key_is_another_and_a_blocked_one_is_not_admitted() {
    let (keys, _asked) = keys();
    let change = |change: fn(&mut Key)| {
        let mut update = update("tg_1", "k1");
        change(update.key.as_mut().unwrap());
        update
    };
    let known = async || keys.authenticate(Some(b"Bearer tg_1")).await.unwrap();
    assert!(keys.update(&update("tg_1", "k1")));
    let first = known().await;
    assert!(!keys.update(&update("tg_1", "k1")), "nothing is new");
    assert!(Arc::ptr_eq(&first, &known().await));
    assert_eq!(first.admit(), Ok(()));
    let changes: [fn(&mut Key); 3] = [
        |key| key.tier = "free".into(),
        |key| key.labels = [("env".into(), "prod".into())].into(),
        |key| key.blocked_by = "acme".into(),
    ];
    for step in changes {
        let before = known().await;
        assert!(keys.update(&change(step)));
        assert!(!Arc::ptr_eq(&before, &known().await));
        assert_eq!(keys.to_updates(), [change(step)]);
    }
    let blocked = known().await.admit().unwrap_err();
    assert!(blocked.to_string().contains("`acme`"), "{blocked}");
}

#[tokio::test(start_paused = true)]
async fn an_unmet_key_without_a_control_plane_is_not_called_invalid() {
    let (keys, _asked) = keys();
    let refused = keys.authenticate(Some(b"Bearer tg_1")).await;
    assert!(matches!(refused, Err(Error::NotReady { .. })));
    assert!(keys.pending.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_exist_is_asked_for_again_later() {
    let (keys, mut asked) = keys();
    keys.update(&update("tg_1", ""));
    let refused = keys.authenticate(Some(b"Bearer tg_1")).await;
    assert_eq!(refused.err(), Some(Error::KeyInvalid));
    tokio::time::advance(NEGATIVE_TIME).await;
    let (found, ()) = tokio::join!(keys.authenticate(Some(b"Bearer tg_1")), async {
        asked.recv().await.unwrap();
        keys.update(&update("tg_1", "k1"));
    });
    assert!(found.is_ok());
}

#[test]
fn the_memory_is_bounded() {
    let (keys, _asked) = keys();
    for number in 0..10 {
        keys.update(&update(&format!("tg_{number}"), "k"));
    }
    assert_eq!(keys.hashes().0.len(), 2);
    for number in 0..MOST_NEGATIVE + 10 {
        keys.update(&update(&format!("tg_no{number}"), ""));
    }
    assert_eq!(keys.unknown.lock().len(), MOST_NEGATIVE);
}

#[test]
fn what_is_no_key_is_refused_without_asking() {
    let (keys, mut asked) = keys();
    let refuse = |value: &'static [u8]| {
        let result = futures_util::FutureExt::now_or_never(keys.authenticate(Some(value)));
        assert_eq!(result.expect("no wait").err(), Some(Error::KeyInvalid));
    };
    refuse(b"Bearer sk-123");
    assert!(asked.try_recv().is_err());
}

#[test]
fn a_refusal_by_a_limit_is_remembered_until_it_is_over_or_another_is_admitted() {
    let (keys, _asked) = keys();
    keys.update(&update("tg_1", "k1"));
    let Caller::Known(key) = keys.recognise(Some(b"Bearer tg_1")) else {
        panic!("it is known");
    };
    assert!(!key.is_over_quota());
    let refusal = |retry_after| Error::LimitExceeded {
        limit: "per-key".to_owned(),
        counter: "per-key/key=k1".to_owned(),
        admits: table::Amount {
            unit: table::Unit::Requests,
            units: 1,
        },
        per: String::new(),
        retry_after,
    };
    key.note_room(Some(&refusal(Duration::ZERO)));
    assert!(!key.is_over_quota());
    key.note_room(Some(&refusal(Duration::from_secs(3600))));
    assert!(key.is_over_quota());
    key.note_room(Some(&Error::DeadlineExceeded));
    assert!(!key.is_over_quota());
    key.note_room(Some(&refusal(Duration::from_secs(3600))));
    key.note_room(None);
    assert!(!key.is_over_quota());
}
