//! What an owner leaves behind that goes in good order.

use super::ledger::Books;
use super::*;

/// The only write that is left behind.
fn last(owner: &Owner, now: OwnerTime) -> Option<Effect> {
    let mut writes = owner.last_writes(now);
    assert!(writes.len() <= 1, "{writes:?}");
    writes.pop()
}

#[test]
fn what_was_debited_and_not_handed_out_is_there_for_the_next_owner() {
    let mut desk = Desk::new(100);
    desk.report(1, account(0, 5));
    desk.report(
        1,
        NodeAccount {
            returned: 2,
            ..account(5, 0)
        },
    );
    assert_eq!(desk.stored.as_ref().unwrap().0.hwm, 16);

    desk.owner.retire();
    assert!(
        desk.report(2, account(0, 1)).is_empty(),
        "it hands out nothing more"
    );
    let Some(Effect::Persist {
        record,
        expected_mod_revision,
        ..
    }) = last(&desk.owner, desk.now)
    else {
        panic!("nothing is left behind");
    };
    assert_eq!((record.hwm, expected_mod_revision), (3, 1), "three are out");

    desk.stored = Some((record, 2));
    desk.owner = Owner::new(Epoch(EPOCH.0 + 1), Config::default(), limits(100, 1));
    let told = desk.report(2, account(0, 97));
    assert_eq!(Desk::last(&told, 2).granted, 97);
    let told = desk.report(3, account(0, 1));
    assert_eq!(Desk::last(&told, 3).granted, 0);
}

#[test]
fn a_write_under_way_is_waited_for_and_an_unknown_one_leaves_nothing() {
    for (outcome, left) in [
        (Commit::Committed(1), Some(0)),
        (Commit::Unknown, None),
        (Commit::Conflict, None),
    ] {
        let mut owner = Owner::new(EPOCH, Config::default(), limits(100, 1));
        owner.step(NOW, Event::Node(Desk::new(100).message(1, account(0, 5))));
        let (counter, absent) = (counter(), Load::Absent);
        let loaded = Event::Loaded {
            counter: counter.clone(),
            outcome: absent,
        };
        owner.step(NOW, loaded);
        owner.retire();
        assert_eq!(last(&owner, NOW), None, "the key may change under it");
        assert!(
            owner
                .step(NOW, Event::Persisted { counter, outcome })
                .is_empty()
        );
        let hwm = last(&owner, NOW).map(|effect| {
            let Effect::Persist { record, .. } = effect else {
                panic!("{effect:?}");
            };
            record.hwm
        });
        assert_eq!(hwm, left, "{outcome:?}");
    }
}

#[test]
fn all_that_processes_have_said_is_in_the_rows() {
    let mut books = Books::new(Kind::Endless, 100);
    books.report(1, [0, 0, 0, 40]);
    books.report(1, [40, 10, 25, 0]);
    assert_eq!(books.row(1).settled, 0, "it would be written in a while");
    let state = books.books();
    let (owner, now) = (&mut books.owner, books.now);
    owner.retire();
    let Some(Effect::Persist { record, rows, .. }) = last(owner, now) else {
        panic!("nothing is left behind");
    };
    assert_eq!((rows[0].settled, rows[0].returned), (25, 10));
    books.store(record, rows);
    books.take_over(100);
    // The next owner need not hear of it to know it.
    books.report(2, [0, 0, 0, 1]);
    let after = books.books();
    assert_eq!((after.settled, after.free), (state.settled, state.free - 1));
}
