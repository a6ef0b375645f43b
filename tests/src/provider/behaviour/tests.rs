use super::*;

#[track_caller]
fn check(name: &str, expected: &Behaviour) {
    assert_eq!(&Behaviour::of_model(name).unwrap(), expected, "{name}");
}

fn fault(fault: Fault) -> Behaviour {
    Behaviour {
        fault,
        ..Behaviour::default()
    }
}

#[test]
fn names_map_to_behaviours() {
    let ms = Duration::from_millis;
    let default = Behaviour::default;
    check("ok", &default());
    check(
        "ok-50",
        &Behaviour {
            chunks: 50,
            ..default()
        },
    );
    check(
        "ok-50x20ms",
        &Behaviour {
            chunks: 50,
            gap: ms(20),
            ..default()
        },
    );
    check(
        "gpt-4o@slow-first-500ms",
        &Behaviour {
            first: ms(500),
            ..default()
        },
    );
    check(
        "status-500",
        &fault(Fault::Status {
            code: 500,
            retry_after: None,
        }),
    );
    check(
        "a@b@status-429-retry-2",
        &fault(Fault::Status {
            code: 429,
            retry_after: Some(2),
        }),
    );
    check(
        "hang-after-3",
        &fault(Fault::Cut {
            after: 3,
            how: Cut::Hang,
        }),
    );
    check(
        "error-in-stream-2",
        &fault(Fault::ErrorInStream { after: 2 }),
    );
    check("trickle-5ms", &fault(Fault::Trickle(ms(5))));
    check("giant-line-64", &fault(Fault::GiantLine { mebibytes: 64 }));
    let both = Behaviour {
        chunks: 5,
        gap: ms(1000),
        ..fault(Fault::NoUsage)
    };
    check("east@no-usage+ok-5x1s", &both);
}

#[test]
fn shapes_and_refusals_map_too() {
    check("refuse-quota", &fault(Fault::Refuse(Refusal::Quota)));
    check("truncate-at-100", &fault(Fault::TruncateAt { bytes: 100 }));
    check(
        "think-2+calls-3+cached-4",
        &Behaviour {
            thinking: 2,
            calls: 3,
            cached: 4,
            ..Behaviour::default()
        },
    );
}

#[test]
fn every_example_is_a_behaviour() {
    for name in EXAMPLES {
        Behaviour::of_model(name).unwrap();
    }
}

#[test]
fn a_typing_error_is_named_rather_than_taken_for_ok() {
    for name in [
        "",
        "okay",
        "gpt-4o",
        "hang+reset",
        "status-200",
        "ok-x20ms",
        "trickle",
        "ok-5x3h",
    ] {
        let error = Behaviour::of_model(name).unwrap_err();
        assert!(
            error.to_string().contains("no behaviour"),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_share_of_the_requests_meets_the_fault() {
    let behaviour: Behaviour = "percent-30+status-500".parse().unwrap();
    let met = (0..1000).filter(|seq| {
        let it = behaviour.clone().of_request(*seq);
        it.fault != Fault::None
    });
    let met = met.count();
    assert!((280..320).contains(&met), "{met}");
}
