//! Sliding limits whose charges are written down: what a new owner makes of them.

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

#[test]
fn once_nothing_counts_that_is_noted_and_the_counter_forgotten() {
    let mut desk = heir(OwnerTime(0), None);
    let told = desk.report(1, word(SLIDING, None, 0, 5));
    let told = Desk::last(&told, 1).clone();
    desk.report(1, word(SLIDING, Some(&told), 5, 0));
    desk.now = NOW.after(W + 10_000);
    desk.step(Event::Tick);
    let (stored, _) = desk.stored.as_ref().unwrap();
    assert_eq!((stored.hwm, stored.charged.len()), (0, 0));
    desk.now = desk.now.after(SWEEP_EVERY_MS);
    desk.step(Event::Tick);
    assert!(desk.owner.accounts.is_empty());
    // It is there again for whoever asks, all of it.
    assert_eq!(granted(&mut desk, 2, SLIDING, UNITS), UNITS);
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
