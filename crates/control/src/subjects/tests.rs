use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::store::embedded::Embedded;

fn subjects() -> (tempfile::TempDir, Subjects) {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    (directory, Subjects::new(Arc::new(store)))
}

fn change(path: &str) -> admin::SetSubjectRequest {
    admin::SetSubjectRequest {
        path: path.to_owned(),
        ..Default::default()
    }
}

fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test]
async fn what_is_nearest_wins_and_blocked_anywhere_is_blocked() {
    let (_home, subjects) = subjects();
    let set = async |request: admin::SetSubjectRequest| subjects.set(&request).await.unwrap();
    set(admin::SetSubjectRequest {
        tier: Some("free".into()),
        set_labels: labels(&[("env", "prod"), ("region", "eu")]),
        ..change("acme")
    })
    .await;
    set(admin::SetSubjectRequest {
        tier: Some("premium".into()),
        set_labels: labels(&[("env", "test")]),
        ..change("acme/search/ada")
    })
    .await;
    let standing = async |path: &str| subjects.standing(&parse(path).unwrap()).await.unwrap();
    let team = standing("acme/search").await;
    assert_eq!((team.tier.as_str(), &*team.labels["env"]), ("free", "prod"));
    let ada = standing("acme/search/ada").await;
    assert_eq!((ada.tier.as_str(), ada.labels.len()), ("premium", 2));
    assert_eq!(
        (&*ada.labels["env"], &*ada.labels["region"]),
        ("test", "eu")
    );
    assert_eq!(standing("acmeta/search/ada").await, Standing::default());

    let block = |path, blocked| admin::SetSubjectRequest {
        blocked: Some(blocked),
        ..change(path)
    };
    set(block("acme/search", true)).await;
    assert_eq!(standing("acme/search/ada").await.blocked_by, "acme/search");
    assert_eq!(standing("acme").await.blocked_by, "");
    set(block("acme", true)).await;
    assert_eq!(standing("acme/search/ada").await.blocked_by, "acme");
    // Not to be blocked itself does not help below one that is.
    set(block("acme/search/ada", false)).await;
    assert_eq!(standing("acme/search/ada").await.blocked_by, "acme");
    subjects.delete(&parse("acme").unwrap()).await.unwrap();
    assert_eq!(standing("acme/search/ada").await.blocked_by, "acme/search");
    assert_eq!(standing("acme/search").await.tier, "");
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name() {
    let (_home, subjects) = subjects();
    let first = admin::SetSubjectRequest {
        tier: Some("free".into()),
        set_labels: labels(&[("a", "1"), ("b", "2")]),
        blocked: Some(true),
        ..change("acme")
    };
    let said = subjects.set(&first).await.unwrap();
    assert!(said.updated_ms > 0);
    let second = admin::SetSubjectRequest {
        set_labels: labels(&[("c", "3")]),
        remove_labels: vec!["a".into(), "none".into()],
        ..change("acme")
    };
    let said = subjects.set(&second).await.unwrap();
    assert_eq!((said.tier.as_str(), said.blocked), ("free", true));
    assert_eq!(said.labels.keys().collect::<Vec<_>>(), ["b", "c"]);
    let third = admin::SetSubjectRequest {
        tier: Some(String::new()),
        ..change("acme")
    };
    assert_eq!(subjects.set(&third).await.unwrap().tier, "");
    let read = subjects.get(&parse("acme").unwrap()).await.unwrap();
    assert_eq!(read.unwrap().labels, said.labels);
}

#[tokio::test]
async fn lists_are_paged_and_keep_to_a_subject() {
    let (_home, subjects) = subjects();
    for path in ["acme", "acme-x", "acme/a", "acme/a/b", "acme/ab", "other"] {
        subjects.set(&change(path)).await.unwrap();
    }
    let paths = |page: &[Said]| page.iter().map(|it| it.path.clone()).collect::<Vec<_>>();
    let (all, next) = subjects.list(None, "", 10).await.unwrap();
    assert_eq!((all.len(), next), (6, None));
    let (first, next) = subjects.list(None, "", 4).await.unwrap();
    let (rest, end) = subjects.list(None, &next.unwrap(), 4).await.unwrap();
    assert_eq!((first.len(), rest.len(), end), (4, 2, None));
    let above = parse("acme").unwrap();
    let (within, _) = subjects.list(Some(&above), "", 10).await.unwrap();
    assert_eq!(paths(&within), ["acme", "acme/a", "acme/a/b", "acme/ab"]);
}

#[tokio::test]
async fn wrong_changes_are_refused_by_field() {
    let (_home, subjects) = subjects();
    let many: Vec<_> = (0..17).map(|n| format!("l{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    for (request, field) in [
        (change("Acme"), "path"),
        (change(""), "path"),
        (
            admin::SetSubjectRequest {
                set_labels: labels(&[("A", "x")]),
                ..change("acme")
            },
            "set_labels",
        ),
        (
            admin::SetSubjectRequest {
                set_labels: labels(&[("a", "")]),
                ..change("acme")
            },
            "set_labels",
        ),
        (
            admin::SetSubjectRequest {
                set_labels: labels(&many),
                ..change("acme")
            },
            "set_labels",
        ),
    ] {
        let Error::Invalid(faults) = subjects.set(&request).await.unwrap_err() else {
            panic!("{request:?}");
        };
        assert_eq!(faults[0].path, field, "{request:?}");
    }
}
