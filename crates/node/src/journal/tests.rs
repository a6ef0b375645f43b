use tollgate_quota::node::{Bequest, Totals};
use tollgate_quota::{
    Coming, Counter, Epoch, Generation, Kind, NodeTime, OwnerAccount, Promise, Window,
};

use super::line::{crc32c, decode};
use super::*;

fn note(incarnation: u64, name: &str, mark: u64, settled: u64) -> Note {
    Note {
        incarnation: Incarnation(incarnation),
        counter: Counter::new(name, Kind::Endless, "team=a").unwrap(),
        window: Window(1),
        mark,
        settled,
    }
}

fn written(folder: &Path, batches: &[&[Note]]) -> Vec<u8> {
    let (mut journal, _) = Journal::open(folder).unwrap();
    for batch in batches {
        journal.append(batch).unwrap();
    }
    fs::read(folder.join(JOURNAL)).unwrap()
}

#[test]
fn the_checksum_is_the_standard_one() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(b""), 0);
}

#[test]
fn an_heir_finds_the_last_word_about_everything_and_hands_it_on() {
    let home = tempfile::tempdir().unwrap();
    let first = [note(1, "a", 10, 0), note(1, "b", 5, 5)];
    written(home.path(), &[&first, &[note(1, "a", 30, 12)]]);
    let expected = [note(1, "a", 30, 12).close(), note(1, "b", 5, 5).close()];
    let (mut heir, left) = Journal::open(home.path()).unwrap();
    assert_eq!(left.closes, expected);
    // It dies before anything was closed: the next one inherits from both.
    heir.append(&[note(2, "a", 7, 1)]).unwrap();
    drop(heir);
    let (_, left) = Journal::open(home.path()).unwrap();
    assert_eq!(left.closes[..2], expected);
    assert_eq!(left.closes[2], note(2, "a", 7, 1).close());
}

#[test]
fn a_folder_has_one_process() {
    let home = tempfile::tempdir().unwrap();
    let (held, _) = Journal::open(home.path()).unwrap();
    assert!(matches!(Journal::open(home.path()), Err(Unusable::InUse)));
    drop(held);
    Journal::open(home.path()).unwrap();
}

#[test]
fn a_tail_cut_anywhere_costs_only_what_was_not_flushed() {
    let home = tempfile::tempdir().unwrap();
    let first: &[Note] = &[note(1, "a", 10, 0), note(1, "b", 5, 0)];
    let whole = written(home.path(), &[first, &[note(1, "a", 99, 3)]]);
    let flushed = {
        let mut bytes = Vec::new();
        let lock = fs::metadata(home.path().join(LOCK)).unwrap().ino();
        Line::of_folder(lock, WHOLE).write(&mut bytes);
        let begun = bytes.len() as u64;
        for note in first {
            Line::note(note, begun).write(&mut bytes);
        }
        bytes.len()
    };
    for cut in flushed..whole.len() {
        let mut torn = whole[..cut].to_vec();
        for tail in [0, 17] {
            torn.resize(cut + tail, 0);
            let last = decode(&torn).unwrap().last;
            assert_eq!(
                last[&(Incarnation(1), first[0].counter.clone())].mark,
                10,
                "{cut}"
            );
            assert_eq!(last.len(), 2, "{cut}");
        }
    }
}

#[test]
fn damage_to_what_was_flushed_makes_it_worthless() {
    let home = tempfile::tempdir().unwrap();
    let batches: [&[Note]; 3] = [
        &[note(1, "a", 10, 0)],
        &[note(1, "a", 20, 0)],
        &[note(1, "b", 5, 0)],
    ];
    let whole = written(home.path(), &batches);
    let line = whole.len() / 3;
    for at in 0..2 * line {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        assert_eq!(decode(&damaged), None, "{at}");
    }
    let mut damaged = whole;
    damaged[line] ^= 1;
    fs::write(home.path().join(JOURNAL), damaged).unwrap();
    let (_, left) = Journal::open(home.path()).unwrap();
    assert!(left.closes.is_empty());
    assert!(home.path().join(DAMAGED).exists(), "kept for people");
}

#[test]
fn a_large_journal_is_written_anew_with_what_counts() {
    let home = tempfile::tempdir().unwrap();
    written(
        home.path(),
        &[&[note(1, "closed", 1, 0), note(1, "open", 2, 0)]],
    );
    let (mut journal, left) = Journal::open(home.path()).unwrap();
    let many: Vec<Note> = (0..40_000).map(|mark| note(2, "a", mark, 0)).collect();
    journal.append(&many).unwrap();
    assert!(journal.length > LARGE);
    journal.tidy(&left.closes[1..]).unwrap();
    assert!(journal.length < 1_000);
    journal.append(&[note(2, "a", 30_000, 9)]).unwrap();
    drop(journal);
    let (_, left) = Journal::open(home.path()).unwrap();
    let expected = [note(1, "open", 2, 0), note(2, "a", 30_000, 9)];
    assert_eq!(left.closes, expected.map(|note| note.close()));
}

fn bequest(name: &str, kind: Kind) -> Bequest {
    Bequest {
        labelled: Epoch(4),
        epoch: Epoch(9),
        deadline: NodeTime(1_000),
        over_at: NodeTime(1_200),
        totals: vec![
            Totals {
                epoch: Epoch(4),
                seen: 10,
                returned: 2,
                spent: 3,
                promised_back: 0,
            },
            Totals {
                epoch: Epoch(9),
                seen: 5,
                returned: 0,
                spent: 9,
                promised_back: 4,
            },
        ],
        told: OwnerAccount {
            counter: Counter::new(name, kind, "team=a").unwrap(),
            window: Window(3),
            generation: Generation(6),
            granted: 0,
            rem_ms: 0,
            version: 8,
            exhausted_above: Some(0),
            share: None,
            keep: None,
            limit: 100,
            remaining: 77,
            coming: vec![Coming {
                units: 1,
                in_ms: 250,
            }],
            promises: vec![Promise {
                units: 7,
                from: Window(4),
                through: Window(14),
            }],
        },
        told_by: Epoch(9),
        heard_at: NodeTime(900),
        mark: Some(12),
    }
}

fn estate() -> (Estate, u64) {
    let kind = Kind::Fixed { window_ms: 60_000 };
    let estate = Estate {
        incarnation: Incarnation(2),
        floors: vec![(kind, Window(2)), (Kind::Endless, Window(1))],
        bequests: vec![
            bequest("a", Kind::Endless),
            bequest("b", kind),
            bequest("c", Kind::Sliding { window_ms: 1_000 }),
        ],
    };
    (estate, 77)
}

/// A folder with what process 2 has left, and a note of a dead one.
fn left_behind() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(home.path()).unwrap();
    journal.append(&[note(1, "a", 5, 5)]).unwrap();
    journal
        .leave(&[note(2, "a", 12, 12)], Some(&estate()))
        .unwrap();
    home
}

#[test]
fn what_is_left_is_taken_up_once_and_its_process_not_closed() {
    let home = left_behind();
    let (journal, left) = Journal::open(home.path()).unwrap();
    assert_eq!(left.estate, Some(estate()));
    assert_eq!(left.closes, [note(1, "a", 5, 5).close()]);
    // The one that took it up is killed: it is dead under the number that it went on with.
    drop(journal);
    let (_, left) = Journal::open(home.path()).unwrap();
    assert_eq!(left.estate, None);
    let dead = [note(1, "a", 5, 5), note(2, "a", 12, 12)];
    assert_eq!(left.closes, dead.map(|note| note.close()));
}

#[test]
fn what_is_left_counts_only_whole_and_only_where_nothing_follows() {
    let home = left_behind();
    let whole = fs::read(home.path().join(JOURNAL)).unwrap();
    assert!(decode(&whole).unwrap().will.is_some());
    for cut in 1..whole.len() {
        let contents = decode(&whole[..cut]);
        assert!(contents.is_some_and(|it| it.will.is_none()), "{cut}");
    }
    let mut followed = whole.clone();
    Line::note(&note(2, "a", 13, 13), whole.len() as u64).write(&mut followed);
    for end in whole.len() + 1..=followed.len() {
        assert!(decode(&followed[..end]).unwrap().will.is_none(), "{end}");
    }
}

#[test]
fn a_copy_of_the_folder_leaves_nothing() {
    let home = left_behind();
    let copy = tempfile::tempdir().unwrap();
    for name in [JOURNAL, LOCK] {
        fs::copy(home.path().join(name), copy.path().join(name)).unwrap();
    }
    let (_, left) = Journal::open(copy.path()).unwrap();
    assert_eq!(left.estate, None);
    // Nobody here can say whether the original's process goes on: it is not closed either.
    assert_eq!(left.closes, []);
    assert!(copy.path().join(COPIED).exists(), "kept for people");
    let (_, left) = Journal::open(home.path()).unwrap();
    assert!(left.estate.is_some());
}

#[test]
fn what_is_left_is_of_use_on_the_same_clock_only() {
    let lock = tempfile::tempfile().unwrap();
    let here = Place::of(&lock).unwrap();
    assert_eq!(here.is_that_of(&Place::of(&lock).unwrap()), Ok(()));
    assert!(here.changed(|it| it.boot.push('x')).is_err());
    assert!(here.changed(|it| it.inode += 1).is_err());
    assert!(here.changed(|it| it.device += 1).is_err());
    assert!(here.changed(|it| it.ahead_ms += 200).is_err());
    assert!(here.changed(|it| it.ahead_ms -= 200).is_err());
}

impl Place {
    fn changed(&self, change: impl FnOnce(&mut Self)) -> Result<(), &'static str> {
        let mut elsewhere = self.clone();
        change(&mut elsewhere);
        elsewhere.is_that_of(self)
    }
}
