use tollgate_provider::Failure;
use tollgate_provider::chat::UsageSource;

use super::*;
use crate::revision::Revision;
use crate::upstream::Fingerprint;

#[test]
fn each_end_speaks_of_the_key_the_deployment_or_the_provider() {
    let of = |class, reached| {
        outcome(&Ended {
            outcome: AttemptOutcome::TransportError,
            failure: Arc::new(Failure::new(class, "")),
            reached,
            field: None,
            usage: None,
            key: None,
            readable: None,
        })
    };
    for (class, reached, expect) in [
        (
            Class::KeyDead,
            Reached::Refusal,
            Outcome::KeyRefused(DEAD_KEY_COOL_DOWN),
        ),
        (
            Class::KeyLimited,
            Reached::Refusal,
            Outcome::Limited(None, Return::Whole),
        ),
        (
            Class::Ramping,
            Reached::Refusal,
            Outcome::Limited(None, Return::Gradual),
        ),
        (
            Class::Overloaded,
            Reached::Refusal,
            Outcome::Overloaded(None),
        ),
        (Class::Server, Reached::Refusal, Outcome::Failed),
        (Class::Transport, Reached::Perhaps, Outcome::Failed),
        (Class::Transport, Reached::Nobody, Outcome::Unreachable),
        (Class::CallerError, Reached::Refusal, Outcome::Nothing),
        (Class::ContextTooLong, Reached::Refusal, Outcome::Nothing),
    ] {
        assert_eq!(of(class, reached), expect, "{class:?}");
    }
}

/// A revision whose one provider has its key in this file.
fn revision(file: &std::path::Path, before: Option<&Revision>) -> Revision {
    let text = format!(
        r#"
providers:
  p: {{ kind: openai, credential: {{ file: "{}" }} }}
deployments: {{ d: {{ provider: p, model: m }} }}
pools: {{ a: {{ targets: [ {{ deployment: d }} ] }} }}
models: {{ chat: {{ routes: [ {{ pools: [a] }} ] }} }}
"#,
        file.display()
    );
    let source = tollgate_policy::yaml::Source {
        name: "p",
        text: text.as_bytes(),
    };
    let policy = tollgate_policy::yaml::load(&[source]).unwrap();
    Revision::new(&policy, 1, before).unwrap()
}

/// The provider refused this key.
fn refusal(key: Option<Fingerprint>) -> Ended {
    let failure = Failure {
        code: Some("invalid_api_key".to_owned()),
        status: Some(401),
        ..Failure::new(Class::KeyDead, "")
    };
    Ended {
        outcome: AttemptOutcome::KeyRefused,
        failure: Arc::new(failure),
        reached: Reached::Refusal,
        field: None,
        usage: None,
        key,
        readable: None,
    }
}

fn key_of(revision: &Revision) -> Option<Fingerprint> {
    let (_, upstream) = revision.deployment(0).unwrap();
    upstream.key().look_again()
}

fn whom(traffic: &Traffic) -> Vec<Whom> {
    traffic
        .left_out()
        .into_iter()
        .map(|(whom, _)| whom)
        .collect()
}

#[test]
fn what_was_said_of_a_key_does_not_hold_for_another() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "one").unwrap();
    let before = revision(file.path(), None);
    let one = key_of(&before);
    let traffic = before.traffic();
    let [mut first, mut second] = [(); 2].map(|()| traffic.begin(0, Load::default()).unwrap());
    first.failed(&refusal(one));
    assert_eq!(whom(traffic), [Whom::Key(0)]);
    let known = traffic.refused_key(0).unwrap();
    assert_eq!(
        (known.fingerprint, &*known.reason),
        (one, "invalid_api_key")
    );
    traffic.look_at_keys();
    assert_eq!(whom(traffic), [Whom::Key(0)], "it is the same still");
    // A revision that has the provider as it was knows it, too.
    let after = revision(file.path(), Some(&before));
    assert_eq!(after.traffic().refused_key(0), Some(known.clone()));

    std::fs::write(file.path(), "two").unwrap();
    // It went out with the first key.
    second.failed(&refusal(one));
    for traffic in [traffic, after.traffic()] {
        traffic.look_at_keys();
        assert_eq!(whom(traffic), []);
    }
    let mut third = traffic.begin(0, Load::default()).unwrap();
    third.failed(&refusal(key_of(&before)));
    assert_eq!(whom(traffic), [Whom::Key(0)]);

    // What others say of the first is nothing to this node, and what they say of its own is.
    let other = revision(file.path(), None);
    let told = |it: RefusedKey| other.traffic().suspect_key(0, it, Duration::ZERO);
    assert!(!told(known));
    assert!(told(traffic.refused_key(0).unwrap()));
    std::fs::write(file.path(), "three").unwrap();
    key_of(&other);
    other.traffic().look_at_keys();
    assert_eq!(other.traffic().refused_key(0), None);
}

#[test]
fn a_key_that_is_missing_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let revision = revision(&file, None);
    let traffic = revision.traffic();
    let mut attempt = traffic.begin(0, Load::default()).unwrap();
    attempt.failed(&refusal(None));
    assert_eq!(whom(traffic), [Whom::Key(0)]);
    assert!(
        revision.left_out().is_empty(),
        "it is this node's own trouble"
    );
    std::fs::write(&file, "late").unwrap();
    key_of(&revision);
    traffic.look_at_keys();
    assert_eq!(whom(traffic), []);
}

#[test]
fn what_a_cache_saves_is_measured_at_the_prices_of_the_deployment() {
    let revision = Revision::of_text(
        r#"
providers: { mock: { kind: openai_compatible, base_url: "http://127.0.0.1:1", internal: true } }
deployments:
  half: { provider: mock, model: a, price: { input: 2, cached_input: 1, output: 1 } }
  none: { provider: mock, model: b, price: { input: 2, output: 1 } }
  free: { provider: mock, model: c, price: { input: 0, output: 0 } }
pools: { all: { targets: [ { deployment: half }, { deployment: none }, { deployment: free } ] } }
models: { m: { routes: [ { pools: [all] } ] } }
"#,
    );
    let traffic = revision.traffic();
    let usage = Usage {
        cache_read: 800,
        ..Usage::of(1_000, 5, UsageSource::Provider)
    };
    for (target, deployment) in revision.table.deployments().iter().enumerate() {
        for _ in 0..20 {
            let under_way = traffic.begin(target, Load::default()).unwrap();
            under_way.used(Some(usage));
            under_way.used(None);
        }
        let report = traffic.fleet.lock();
        let report = report.report(target, Load::default(), clock::boot_time());
        let expected = match &*deployment.name {
            "half" | "free" => Some(400),
            _ => None,
        };
        let saving = report.unwrap().saving;
        assert_eq!(saving.map(|it| (it * 1e3).round() as u64), expected);
    }
}
