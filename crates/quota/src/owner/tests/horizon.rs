//! What the horizon keeps: brief windows, sliding limits and buckets; what is written down of the last two is in
//! `recorded`.

use super::*;
use crate::owner::HorizonRecord;

const W: u64 = 4_000;
const BRIEF: Kind = Kind::Fixed { window_ms: W };
const SLIDING: Kind = Kind::Sliding { window_ms: W };
const BUCKET: Kind = Kind::Bucket { window_ms: W };

/// A limit of 8 in 4 s; a bucket holds 6 of them.
fn spec(kind: Kind, revision: u64) -> Arc<Limits> {
    let spec = LimitSpec {
        kind,
        units: 8,
        burst: 6,
        revision,
    };
    Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap())
}

/// An owner of one limit, whose store is empty.
fn desk(kind: Kind) -> Desk {
    Desk {
        owner: Owner::new(EPOCH, Config::default(), spec(kind, 1)),
        ..Desk::new(8)
    }
}

/// Written by an owner that left no word, and no records.
fn horizon(until: OwnerTime, revision: u64) -> HorizonRecord {
    HorizonRecord {
        until,
        revision,
        epoch: Epoch(6),
        unrecorded: until,
        untold: until,
        left: Arc::default(),
    }
}

/// The same after an owner that wrote this horizon.
fn heir(kind: Kind, until: OwnerTime) -> Desk {
    Desk {
        horizon: Some((horizon(until, 1), 3)),
        ..desk(kind)
    }
}

/// What a node says that has heard of `told`, and has spent `spent` of what it got.
pub(super) fn word(kind: Kind, told: Option<&OwnerAccount>, spent: u64, need: u64) -> NodeAccount {
    NodeAccount {
        counter: Counter::new("limit", kind, "k").unwrap(),
        window: told.map_or(Window(0), |told| told.window),
        generation: told.map_or(Generation::FIRST, |told| told.generation),
        epoch: told.map_or(Epoch(0), |_| EPOCH),
        spent,
        ..account(told.map_or(0, |told| told.granted), need)
    }
}

/// What a node has been granted that asks for `need` for the first time.
pub(super) fn granted(desk: &mut Desk, node: u64, kind: Kind, need: u64) -> u64 {
    let told = desk.report(node, word(kind, None, 0, need));
    let told = told.iter().rev().find(|(to, _)| *to == node);
    told.map_or(0, |(_, told)| told.granted)
}

/// Whether units go out.
pub(super) fn grants(effects: &[Effect]) -> bool {
    let grant =
        |e: &Effect| matches!(e, Effect::Send(m) if m.accounts.iter().any(|a| a.granted > 0));
    effects.iter().any(grant)
}

#[test]
fn nothing_is_handed_out_before_the_horizon_is_durable_or_after_it() {
    for kind in [BRIEF, SLIDING, BUCKET] {
        let mut owner = Owner::new(EPOCH, Config::default(), spec(kind, 1));
        let message = Desk::new(8).message(1, word(kind, None, 0, 1));
        let effects = owner.step(NOW, Event::Node(message));
        assert!(effects.contains(&Effect::LoadHorizon), "{effects:?}");
        let (counter, outcome) = (word(kind, None, 0, 1).counter, Load::Absent);
        owner.step(NOW, Event::Loaded { counter, outcome });
        let effects = owner.step(NOW, Event::HorizonLoaded(Load::Absent));
        let Some(Effect::PersistHorizon { record, .. }) = effects.last() else {
            panic!("{effects:?}")
        };
        assert!(record.until > NOW && record.epoch == EPOCH);
        assert!(!grants(&effects), "{kind}: {effects:?}");
        let mut effects = owner.step(NOW, Event::HorizonPersisted(Commit::Committed(1)));
        if let [Effect::Persist { counter, .. }] = &effects[..] {
            assert!(!kind.is_windowed(), "{kind}: of those that is written down");
            let (counter, outcome) = (counter.clone(), Commit::Committed(1));
            effects = owner.step(NOW, Event::Persisted { counter, outcome });
        }
        assert!(grants(&effects), "{kind}: {effects:?}");

        // The store is away from here on. A window that began before the horizon can be used to its end.
        let late = record.until.after(if kind == BRIEF { W } else { 0 });
        let message = NodeMessage {
            t_node: NodeTime(9_000),
            ..Desk::new(8).message(2, word(kind, None, 0, 1))
        };
        assert!(!grants(&owner.step(late, Event::Node(message))), "{kind}");
    }
}

#[test]
fn an_heir_waits_until_nothing_that_others_granted_is_alive_or_counts() {
    let Config {
        lease_ms,
        clock_skew_ms,
        ..
    } = Config::default();
    let dead = lease_ms + clock_skew_ms;
    // Two units come into the bucket per second.
    for (kind, wait) in [(SLIDING, dead + W), (BUCKET, dead + 500)] {
        let until = NOW.after(700);
        for (now, expected) in [(until.after(wait - 1), false), (until.after(wait), true)] {
            let mut desk = Desk {
                now,
                ..heir(kind, until)
            };
            assert_eq!(granted(&mut desk, 1, kind, 1) > 0, expected, "{kind}");
        }
    }
}

#[test]
fn an_heirs_bucket_is_empty_until_all_leases_are_over_and_its_windows_begin_after_the_horizon() {
    let until = NOW.after(700);
    // 2 units come in per second: five in 2.5 s.
    let mut desk = Desk {
        now: until.after(2_500 + 2_500),
        ..heir(BUCKET, until)
    };
    assert_eq!(granted(&mut desk, 1, BUCKET, 6), 0);
    assert_eq!(granted(&mut desk, 2, BUCKET, 5), 5);

    let first = Window::at(until, W).end(W);
    for (now, expected) in [(OwnerTime(first.0 - 1), false), (first, true)] {
        let mut desk = Desk {
            now,
            ..heir(BRIEF, until)
        };
        assert_eq!(granted(&mut desk, 1, BRIEF, 1) > 0, expected);
    }
}

#[test]
fn an_owner_whose_policy_lags_hands_out_nothing_by_it() {
    let mut desk = Desk {
        horizon: Some((horizon(OwnerTime(1), 2), 3)),
        ..desk(BUCKET)
    };
    assert_eq!(granted(&mut desk, 1, BUCKET, 1), 0);
    let told = desk.step(Event::Limits(spec(BUCKET, 2)));
    assert_eq!(Desk::last(&told, 1).granted, 1);
}

#[test]
fn a_sliding_limit_counts_what_is_out_and_what_was_spent_within_the_window() {
    let mut desk = desk(SLIDING);
    let told = desk.report(1, word(SLIDING, None, 0, 8));
    let told = Desk::last(&told, 1).clone();
    assert_eq!(told.granted, 8);
    assert_eq!(granted(&mut desk, 2, SLIDING, 1), 0, "all of it is out");
    desk.now = NOW.after(1_000);
    desk.report(1, word(SLIDING, Some(&told), 8, 0));
    for (at, expected) in [(1_000 + W - 1, 0), (1_000 + W + W / 256, 1)] {
        desk.now = NOW.after(at);
        assert_eq!(granted(&mut desk, 2, SLIDING, 1), expected, "at {at} ms");
    }
}

#[test]
fn what_is_out_keeps_a_bucket_from_filling() {
    let mut desk = desk(BUCKET);
    let told = desk.report(1, word(BUCKET, None, 0, 6));
    let told = Desk::last(&told, 1).clone();
    assert_eq!(told.granted, 6);
    desk.now = NOW.after(1_500);
    // Refilled for the time before the report with what was out until then: not at all.
    desk.report(1, word(BUCKET, Some(&told), 6, 0));
    assert_eq!(granted(&mut desk, 2, BUCKET, 1), 0);
    desk.now = NOW.after(2_000);
    assert_eq!(granted(&mut desk, 2, BUCKET, 1), 1);
}

#[test]
fn what_a_silent_node_had_is_written_off_and_never_heard_of_again() {
    let mut desk = desk(SLIDING);
    let told = desk.report(1, word(SLIDING, None, 0, 8));
    let told = Desk::last(&told, 1).clone();
    let lease_ms = Config::default().lease_ms;
    assert!(told.rem_ms < lease_ms, "it is told that it lasts less long");
    desk.now = NOW.after(lease_ms - 1);
    granted(&mut desk, 2, SLIDING, 1);
    assert_eq!(desk.state().spent, 0);
    desk.now = NOW.after(lease_ms);
    granted(&mut desk, 2, SLIDING, 1);
    assert_eq!(desk.state().spent, 8, "it counts as spent from now on");

    // It comes back: what it gives back is of an earlier generation.
    let back = NodeAccount {
        returned: 8,
        ..word(SLIDING, Some(&told), 0, 1)
    };
    let again = desk.report(1, back);
    let again = Desk::last(&again, 1);
    assert!(again.generation > told.generation && again.granted == 0);
    assert_eq!(again.exhausted_above, Some(0));
    let soon = again.coming.first().unwrap();
    let window = W + W / 256 + 1;
    assert!(
        soon.units == 1 && (W..=window).contains(&soon.in_ms),
        "{soon:?}"
    );
}

#[test]
fn a_horizon_that_nobody_needs_any_more_is_not_asked_for_again() {
    let mut owner = Owner::new(EPOCH, Config::default(), spec(BRIEF, 1));
    let message = Desk::new(8).message(1, word(BRIEF, None, 0, 0));
    owner.step(NOW, Event::Node(message));
    let swept = NOW.after(SWEEP_EVERY_MS);
    owner.step(NOW, Event::HorizonLoaded(Load::Failed));
    owner.step(swept, Event::Tick);
    assert_eq!(owner.next_deadline(), None);
}

#[test]
fn a_refusal_says_exactly_when_a_bucket_will_have_what_was_asked_for() {
    let mut desk = desk(BUCKET);
    let told = desk.report(1, word(BUCKET, None, 0, 6));
    let told = Desk::last(&told, 1).clone();
    desk.report(1, word(BUCKET, Some(&told), 6, 0));
    let refused = desk.report(2, word(BUCKET, None, 0, 3));
    let coming = &Desk::last(&refused, 2).coming;
    let points: Vec<_> = coming.iter().map(|c| (c.units, c.in_ms)).collect();
    // Two units a second.
    assert_eq!(points, [(1, 500), (3, 1_500), (6, 3_000)]);
}

/// The lease of an owner in the store can end before the horizon that it has written, by which it goes on.
#[test]
fn one_that_leaves_soon_leaves_no_earlier_horizon_than_it_found() {
    let until = NOW.after(2_500);
    // The first may still hand out of the window that begins at 2,000 ms, and leases of it last for 2,000 more.
    for (kind, at) in [(BRIEF, 2_001), (BUCKET, 5_400), (SLIDING, 4_900 + W)] {
        let mut second = heir(kind, until);
        assert_eq!(granted(&mut second, 1, kind, 1), 0, "{kind}");
        second.owner.retire();
        let left = second.owner.last_horizon(second.now).unwrap();
        let mut third = Desk {
            owner: Owner::new(Epoch(EPOCH.0 + 1), Config::default(), spec(kind, 1)),
            now: NOW.after(at),
            horizon: Some((left.clone(), 5)),
            ..desk(kind)
        };
        assert_eq!(granted(&mut third, 1, kind, 1), 0, "{kind}");
        assert_eq!(left.until, until, "{kind}");
    }
}

/// What a second owner can hand out `later` after the first has left, which had handed out 5, of which 3 were spent.
fn handed_over(kind: Kind, later: u64, need: u64) -> u64 {
    let mut first = desk(kind);
    let told = first.report(1, word(kind, None, 0, 5));
    let told = Desk::last(&told, 1).clone();
    assert_eq!(told.granted, 5, "{kind}");
    first.report(1, word(kind, Some(&told), 3, 0));
    first.owner.retire();
    let left = first.owner.last_horizon(first.now).unwrap();
    for write in first.owner.last_writes(first.now) {
        let Effect::Persist { record, .. } = write else {
            panic!("{write:?}");
        };
        first.stored = Some((record, 9));
    }
    let epoch = Epoch(EPOCH.0 + 1);
    let mut second = Desk {
        owner: Owner::new(epoch, Config::default(), spec(kind, 1)),
        now: NOW.after(later),
        horizon: Some((left, 5)),
        stored: first.stored,
        ..desk(kind)
    };
    granted(&mut second, 2, kind, need)
}

#[test]
fn after_one_that_leaves_in_order_the_next_goes_on_at_once_with_the_rest() {
    // 8 in a window, the first of which ends at 4,000 ms; a bucket holds 6.
    for (kind, rest) in [(BRIEF, 3), (SLIDING, 3), (BUCKET, 1)] {
        assert_eq!(handed_over(kind, 1, rest + 1), 0, "{kind}");
        assert_eq!(handed_over(kind, 1, rest), rest, "{kind}");
    }
}

#[test]
fn what_was_handed_over_counts_until_it_is_dead_on_any_clock() {
    let Config {
        lease_ms,
        clock_skew_ms: skew,
        ..
    } = Config::default();
    // The first could go on for the millisecond in which it left.
    let dead = 1 + lease_ms + skew;
    for (kind, later, most) in [
        // Another window.
        (BRIEF, W, 8),
        (SLIDING, dead, 3),
        // Of the three that were spent nothing counts any more, of the two that were out it does.
        (SLIDING, W + W / 16 + skew, 6),
        (SLIDING, dead + W - 1, 6),
        (SLIDING, dead + W, 8),
        // Two units come in per second, but for the two that are out, and for the time by which clocks differ.
        (BUCKET, skew + 500, 2),
        (BUCKET, skew + 1_500, 4),
        (BUCKET, dead, 4),
        (BUCKET, dead + 1_000, 6),
    ] {
        assert_eq!(
            handed_over(kind, later, most),
            most,
            "{kind} after {later} ms"
        );
        let more = handed_over(kind, later, most + 1);
        assert_eq!(more, 0, "{kind} after {later} ms");
    }
}

/// Word of a counter that nobody asks the second for reaches the third.
#[test]
fn word_is_handed_on_unread() {
    let mut first = desk(BRIEF);
    granted(&mut first, 1, BRIEF, 5);
    first.owner.retire();
    let mut left = first.owner.last_horizon(first.now).unwrap();
    for number in 1..3 {
        let mut next = Desk {
            owner: Owner::new(Epoch(EPOCH.0 + number), Config::default(), spec(BRIEF, 1)),
            now: NOW.after(number.unsigned_abs()),
            horizon: Some((left.clone(), 5)),
            ..desk(BRIEF)
        };
        let other = Counter::new("limit", BRIEF, "other").unwrap();
        let asks = NodeAccount {
            counter: other,
            ..word(BRIEF, None, 0, 1)
        };
        let told = next.report(1, asks);
        assert_eq!(Desk::last(&told, 1).granted, 1);
        if number == 2 {
            assert_eq!(granted(&mut next, 2, BRIEF, 4), 0);
            assert_eq!(granted(&mut next, 3, BRIEF, 3), 3);
        }
        next.owner.retire();
        left = next.owner.last_horizon(next.now).unwrap();
    }
}
