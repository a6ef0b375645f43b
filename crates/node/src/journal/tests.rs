use tollgate_quota::Kind;

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
    let (mut heir, closes) = Journal::open(home.path()).unwrap();
    assert_eq!(closes, expected);
    // It dies before anything was closed: the next one inherits from both.
    heir.append(&[note(2, "a", 7, 1)]).unwrap();
    drop(heir);
    let (_, closes) = Journal::open(home.path()).unwrap();
    assert_eq!(closes[..2], expected);
    assert_eq!(closes[2], note(2, "a", 7, 1).close());
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
        first.iter().for_each(|note| encode(note, 0, &mut bytes));
        bytes.len()
    };
    for cut in flushed..whole.len() {
        let mut torn = whole[..cut].to_vec();
        for tail in [0, 17] {
            torn.resize(cut + tail, 0);
            let last = decode(&torn).unwrap();
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
    let (_, closes) = Journal::open(home.path()).unwrap();
    assert!(closes.is_empty());
    assert!(home.path().join(DAMAGED).exists(), "kept for people");
}

#[test]
fn a_large_journal_is_written_anew_with_what_counts() {
    let home = tempfile::tempdir().unwrap();
    written(
        home.path(),
        &[&[note(1, "closed", 1, 0), note(1, "open", 2, 0)]],
    );
    let (mut journal, closes) = Journal::open(home.path()).unwrap();
    let many: Vec<Note> = (0..40_000).map(|mark| note(2, "a", mark, 0)).collect();
    journal.append(&many).unwrap();
    assert!(journal.length > LARGE);
    journal.tidy(&closes[1..]).unwrap();
    assert!(journal.length < 1_000);
    journal.append(&[note(2, "a", 30_000, 9)]).unwrap();
    drop(journal);
    let (_, closes) = Journal::open(home.path()).unwrap();
    let expected = [note(1, "open", 2, 0), note(2, "a", 30_000, 9)];
    assert_eq!(closes, expected.map(|note| note.close()));
}
