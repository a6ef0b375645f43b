//! What is written down of limits without windows, and what a new owner makes of it.

use super::horizon::{granted, grants, word};
use super::*;
use crate::owner::HorizonRecord;

const W: u64 = 60_000;
const SLIDING: Kind = Kind::Sliding { window_ms: W };
const UNITS: u64 = 32;
/// The last owner's horizon.
const UNTIL: OwnerTime = OwnerTime(NOW.0 - 100);
const BEFORE: Epoch = Epoch(6);

fn spec(revision: u64) -> Arc<Limits> {
    let spec = LimitSpec {
        kind: SLIDING,
        units: UNITS,
        burst: 0,
        revision,
    };
    Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap())
}

fn sliding() -> Counter {
    Counter::new("limit", SLIDING, "k").unwrap()
}

/// An owner, after one that left this behind.
fn heir(unrecorded: OwnerTime, left: Option<Record>) -> Desk {
    let horizon = HorizonRecord {
        until: UNTIL,
        revision: 1,
        epoch: BEFORE,
        unrecorded,
        untold: UNTIL,
        left: Arc::default(),
    };
    Desk {
        owner: Owner::new(EPOCH, Config::default(), spec(1)),
        horizon: Some((horizon, 3)),
        stored: left.map(|record| (record, 4)),
        ..Desk::new(UNITS)
    }
}

fn left(mark: u64, charged: &[(OwnerTime, u64)]) -> Option<Record> {
    Some(Record {
        window: Window(1),
        charged: charged.to_vec(),
        ..record(mark, UNITS, 1, BEFORE.0)
    })
}

#[test]
fn an_heir_begins_at_once_with_what_is_neither_charged_nor_under_the_mark() {
    let charged = [(NOW.after(1_000), 10), (NOW.after(2_000), 4)];
    let mut desk = heir(OwnerTime(0), left(8, &charged));
    assert_eq!(granted(&mut desk, 1, SLIDING, 11), 0, "10 are left");
    assert_eq!(granted(&mut desk, 2, SLIDING, 10), 10);
}

#[test]
fn what_was_charged_counts_until_its_release_and_the_mark_until_all_under_it_is_dead() {
    let Config {
        lease_ms,
        clock_skew_ms,
        ..
    } = Config::default();
    let released = NOW.after(1_000 + clock_skew_ms);
    let dead = UNTIL.after(lease_ms + clock_skew_ms + W);
    for (at, need) in [(released, UNITS - 8), (dead, UNITS)] {
        for (now, expected) in [(OwnerTime(at.0 - 1), 0), (at, need)] {
            let mut desk = Desk {
                now,
                ..heir(OwnerTime(0), left(8, &[(NOW.after(1_000), 10)]))
            };
            assert_eq!(
                granted(&mut desk, 1, SLIDING, need),
                expected,
                "{need} at {now:?}"
            );
        }
    }
}

#[test]
fn a_charge_that_a_wrong_clock_wrote_ends_with_the_mark() {
    let dead = UNTIL.after(2_500 + W);
    let mut desk = Desk {
        now: dead,
        ..heir(OwnerTime(0), left(0, &[(NOW.after(900_000), 10)]))
    };
    assert_eq!(granted(&mut desk, 1, SLIDING, UNITS), UNITS);
}

#[test]
fn an_heir_of_one_that_wrote_nothing_down_waits_for_a_window() {
    let wait = 2_500 + W;
    for (now, expected) in [(UNTIL.after(wait - 1), 0), (UNTIL.after(wait), UNITS)] {
        let mut desk = Desk {
            now,
            ..heir(UNTIL, None)
        };
        assert_eq!(granted(&mut desk, 1, SLIDING, UNITS), expected);
        let (horizon, _) = desk.horizon.unwrap();
        assert_eq!(
            horizon.unrecorded, UNTIL,
            "its own heir would have to wait, too"
        );
    }
}

#[test]
fn no_more_is_out_or_charged_since_than_the_durable_mark_says() {
    let mut desk = heir(OwnerTime(0), None);
    let (mut told, mut spent) = (None, 0);
    for _ in 0..UNITS {
        let answers = desk.report(1, word(SLIDING, told.as_ref(), spent, 1));
        let account = Desk::last(&answers, 1).clone();
        let (stored, _) = desk.stored.as_ref().unwrap();
        let noted: u64 = stored.charged.iter().map(|(_, units)| units).sum();
        assert!(
            account.granted <= noted + stored.hwm,
            "{} of {noted} and {}",
            account.granted,
            stored.hwm
        );
        spent = account.granted;
        told = Some(account);
    }
    assert_eq!(spent, UNITS);
    assert!(desk.writes.len() <= 16 + 1, "{} writes", desk.writes.len());
    let (stored, _) = desk.stored.clone().unwrap();
    assert!(
        stored.charged.len() <= 2,
        "charges of a moment are together"
    );

    // Killed here: all of it counts.
    let stored = Record {
        epoch: BEFORE,
        ..stored
    };
    let mut next = heir(OwnerTime(0), Some(stored));
    assert_eq!(granted(&mut next, 2, SLIDING, 1), 0);
}

#[test]
fn an_unknown_write_is_read_again_before_anything_goes_out() {
    let mut owner = Owner::new(EPOCH, Config::default(), spec(1));
    let message = Desk::new(UNITS).message(1, word(SLIDING, None, 0, 1));
    owner.step(NOW, Event::Node(message));
    owner.step(NOW, Event::HorizonLoaded(Load::Absent));
    owner.step(NOW, Event::HorizonPersisted(Commit::Committed(1)));
    let writes = |effects: &[Effect]| {
        let write = |e: &Effect| matches!(e, Effect::Persist { .. });
        effects.iter().any(write)
    };
    let counter = sliding();
    let absent = Event::Loaded {
        counter: counter.clone(),
        outcome: Load::Absent,
    };
    let effects = owner.step(NOW, absent.clone());
    assert!(writes(&effects), "{effects:?}");
    let unknown = Event::Persisted {
        counter: counter.clone(),
        outcome: Commit::Unknown,
    };
    let effects = owner.step(NOW, unknown);
    assert!(effects.contains(&Effect::Load(counter)), "{effects:?}");
    assert!(!grants(&effects));
    let effects = owner.step(NOW, absent);
    assert!(!grants(&effects), "it writes first");
    assert!(writes(&effects), "{effects:?}");
}

#[test]
fn an_owner_that_leaves_in_order_leaves_what_is_out_and_charged() {
    let mut desk = heir(OwnerTime(0), None);
    let told = desk.report(1, word(SLIDING, None, 0, 5));
    let told = Desk::last(&told, 1).clone();
    desk.report(1, word(SLIDING, Some(&told), 3, 0));
    desk.owner.retire();
    let writes = desk.owner.last_writes(desk.now);
    let [Effect::Persist { record, .. }] = &writes[..] else {
        panic!("{writes:?}");
    };
    let charged: u64 = record.charged.iter().map(|(_, units)| units).sum();
    assert_eq!((record.hwm, charged), (2, 3));
}

/// 5 are spent; `later` nothing counts any more.
fn noted_and_forgotten(mut desk: Desk, kind: Kind, later: u64) {
    let told = desk.report(1, word(kind, None, 0, 5));
    let told = Desk::last(&told, 1).clone();
    desk.report(1, word(kind, Some(&told), 5, 0));
    desk.now = NOW.after(later);
    desk.step(Event::Tick);
    let (stored, _) = desk.stored.as_ref().unwrap();
    assert_eq!((stored.hwm, stored.charged.len()), (0, 0));
    desk.now = desk.now.after(SWEEP_EVERY_MS);
    desk.step(Event::Tick);
    assert!(desk.owner.accounts.is_empty());
    // It is there again for whoever asks, all of it.
    assert_eq!(granted(&mut desk, 2, kind, UNITS), UNITS);
}

#[test]
fn once_nothing_counts_that_is_noted_and_the_counter_forgotten() {
    noted_and_forgotten(heir(OwnerTime(0), None), SLIDING, W + 10_000);
    noted_and_forgotten(heir_of_bucket(0, 0, None), BUCKET, 20_000);
}

/// Who resets is told once it is durable, also where there was nothing to forgive.
#[test]
fn a_reset_of_what_nobody_used_is_done() {
    for (mut desk, kind) in [
        (heir(OwnerTime(0), None), SLIDING),
        (heir_of_bucket(0, 0, None), BUCKET),
    ] {
        let counter = Counter::new("limit", kind, "k").unwrap();
        desk.step(Event::Reset(counter));
        desk.step(Event::Tick);
        assert!(!desk.state().pending, "{kind}");
    }
}

#[test]
fn a_reset_is_written_down() {
    let mut desk = heir(OwnerTime(0), None);
    let told = desk.report(1, word(SLIDING, None, 0, 5));
    let told = Desk::last(&told, 1).clone();
    desk.report(1, word(SLIDING, Some(&told), 4, 0));
    desk.step(Event::Reset(sliding()));
    let (stored, _) = desk.stored.clone().unwrap();
    assert!(stored.charged.is_empty(), "{stored:?}");
    assert!(!desk.state().pending);
    let mut next = heir(OwnerTime(0), Some(stored));
    let mark = next.stored.as_ref().unwrap().0.hwm;
    assert_eq!(granted(&mut next, 2, SLIDING, UNITS - mark), UNITS - mark);
}

const BUCKET: Kind = Kind::Bucket { window_ms: W };
/// What comes in within a window; twice as much as the bucket holds.
const RATE: u64 = 2 * UNITS;
/// In that time a unit comes in.
const UNIT_MS: u64 = W / RATE + 1;

/// An owner of a bucket, after one that left this behind, `later` than the other tests' time.
fn heir_of_bucket(later: u64, mark: u64, lacking: Option<(OwnerTime, u64)>) -> Desk {
    let spec = LimitSpec {
        kind: BUCKET,
        units: RATE,
        burst: UNITS,
        revision: 1,
    };
    let limits = Arc::new(Limits::new([(Arc::from("limit"), spec)]).unwrap());
    let lacks = |lacking: (OwnerTime, u64)| vec![lacking, (lacking.0.after(W), UNITS)];
    let charged = lacking.map_or_else(Vec::new, lacks);
    Desk {
        owner: Owner::new(EPOCH, Config::default(), limits),
        now: NOW.after(later),
        ..heir(OwnerTime(0), left(mark, &charged))
    }
}

#[test]
fn an_heir_of_a_bucket_begins_at_once_with_what_is_certainly_there() {
    let Config {
        lease_ms,
        clock_skew_ms: skew,
        ..
    } = Config::default();
    let dead = UNTIL.after(lease_ms + skew).since(NOW);
    let lacks = |units| Some((OwnerTime(NOW.0 - skew), units));
    // The mark's 8 may be out, or were spent just now.
    for (later, mark, lacking, rest) in [
        (0, 8, None, UNITS - 8),
        (0, 8, lacks(4), UNITS - 12),
        (2 * UNIT_MS, 8, lacks(4), UNITS - 10),
        // What is in the way of what comes in is so until it is dead.
        (dead - 1, 8, None, UNITS - 8),
        (dead + UNIT_MS, 8, None, UNITS - 7),
        // More may go out under the mark than was there: that has to come in first.
        (0, 8, lacks(30), 0),
        (0, UNITS, lacks(0), 0),
        // But it is empty at worst once all that is dead.
        (dead - 1, 8, lacks(30), 0),
        (dead + 4 * UNIT_MS, 8, lacks(30), 4),
        (dead + 4 * UNIT_MS, 2 * UNITS, lacks(UNITS), 4),
    ] {
        let heir = || heir_of_bucket(later, mark, lacking);
        if rest > 0 {
            assert_eq!(granted(&mut heir(), 1, BUCKET, rest), rest, "{later} ms");
        }
        assert_eq!(granted(&mut heir(), 1, BUCKET, rest + 1), 0, "{later} ms");
    }
}

/// Raising what a bucket holds brings nothing in, be it that another owner goes on with it; nor does lowering it take
/// anything but what there is no room for.
#[test]
fn an_heir_of_a_bucket_that_held_less_or_more_has_what_was_in_that() {
    let at = OwnerTime(NOW.0 - Config::default().clock_skew_ms);
    let of = |units| {
        let mut desk = heir_of_bucket(0, 0, Some((at, 3)));
        let (record, _) = desk.stored.as_mut().unwrap();
        record.charged[1].1 = units;
        desk
    };
    for (held, rest) in [(10, 7), (UNITS + 2, UNITS - 1), (UNITS + 10, UNITS)] {
        assert_eq!(granted(&mut of(held), 1, BUCKET, rest + 1), 0, "{held}");
        assert_eq!(granted(&mut of(held), 1, BUCKET, rest), rest, "{held}");
    }
}

/// A bucket in steady use, looked at after each unit by one that takes over.
#[test]
fn an_heir_of_a_bucket_has_no_unit_that_was_handed_out_before() {
    let mut desk = heir_of_bucket(0, 0, None);
    let (mut told, mut spent) = (None, 0);
    for _ in 0..3 * UNITS {
        let answers = desk.report(1, word(BUCKET, told.as_ref(), spent, 1));
        let account = Desk::last(&answers, 1).clone();
        spent = account.granted;
        told = Some(account);
        let ((mut stored, _), (mut horizon, _)) =
            desk.stored.clone().zip(desk.horizon.clone()).unwrap();
        (stored.epoch, horizon.epoch) = (BEFORE, BEFORE);
        let now = desk.now.since(NOW);
        let came = now * RATE / W;
        let mut next = Desk {
            stored: Some((stored, 4)),
            horizon: Some((horizon, 3)),
            ..heir_of_bucket(now, 0, None)
        };
        let rest = (UNITS + came).saturating_sub(spent);
        assert_eq!(granted(&mut next, 2, BUCKET, rest + 1), 0, "after {spent}");
        desk.now = desk.now.after(UNIT_MS / 2);
    }
    assert!(spent >= 2 * UNITS, "{spent}");
    let writes = desk.writes.len() as u64;
    assert!(writes <= spent.div_ceil(2) + 1, "{writes} for {spent}");
}

#[test]
fn where_all_is_out_no_mark_is_written_again_and_again() {
    let mut desk = heir_of_bucket(0, 0, None);
    let asks = NodeAccount {
        demand: 100,
        ..word(BUCKET, None, 0, UNITS)
    };
    let told = desk.report(1, asks);
    assert_eq!(Desk::last(&told, 1).granted, UNITS);
    assert!(desk.writes.len() <= 2, "{} writes", desk.writes.len());
}
