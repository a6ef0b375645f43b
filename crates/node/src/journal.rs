//! What a node must not forget when it dies: how far it has gone with each budget, long window and slot, so that
//! the process after it can say what this one cannot have used.
//!
//! The file is a row of lines `length, CRC-32C, message`, appended and flushed; only the last line about a process and
//! a counter counts. A crash may leave a tail that was never flushed, of which nothing was made: it is cut off. A line
//! that is damaged although it had been flushed makes the whole journal worthless, since what came after it may have
//! said more; then nothing is closed by it, and operators see what the dead processes held as suspense.
//!
//! Whoever holds the lock on the folder knows that every process which wrote here before is dead: they held it all
//! their lives, and the kernel lets go of it only with the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use tollgate_quota::node::Note;
use tollgate_quota::{Close, Counter, Incarnation, Window};

use crate::limiter::Limiter;
use crate::metrics;

const JOURNAL: &str = "journal";
const TEMPORARY: &str = "journal.tmp";
const DAMAGED: &str = "journal.damaged";
const LOCK: &str = "lock";
/// Length and checksum before each line.
const HEADER: usize = 8;
/// No line is longer: a counter's name has at most 1 KiB.
const LONGEST_LINE: usize = 4096;
/// Said of lines in a file that was flushed before it was a journal.
const WHOLE: u64 = u64::MAX;
/// A journal larger than this, and four times larger than what counts in it, is written anew.
const LARGE: u64 = 1 << 20;
/// The wait after a write that failed.
const RETRY: Duration = Duration::from_secs(1);

/// One line.
#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(fixed64, tag = "1")]
    incarnation: u64,
    #[prost(string, tag = "2")]
    counter: String,
    #[prost(uint64, tag = "3")]
    window: u64,
    #[prost(uint64, tag = "4")]
    mark: u64,
    #[prost(uint64, tag = "5")]
    settled: u64,
    /// Bytes of the file that had been flushed when this was written.
    #[prost(uint64, tag = "6")]
    flushed: u64,
}

/// The journal of this folder, held under its lock.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    file: File,
    length: u64,
    /// What counts of it.
    last: BTreeMap<(Incarnation, Counter), Note>,
    /// The numbers that this process has had.
    own: BTreeSet<Incarnation>,
    /// The file was put in the old one's place, and it is not sure that this is durable.
    renamed: bool,
    /// Locked for as long as the process lives.
    _lock: File,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another process has the folder's lock.
    #[error("another node uses this folder: give each its own `--data-dir`")]
    InUse,
    /// The folder or the file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Journal {
    /// Takes the lock, and reads what dead processes have left.
    ///
    /// # Errors
    /// Another process has the lock, or the folder cannot be read or written.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<Close>), Unusable> {
        let lock = create(&folder.join(LOCK), false)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Unusable::InUse,
            TryLockError::Error(error) => Unusable::Io(error),
        })?;
        let last = read(folder)?;
        let closes = last.values().map(Note::close).collect();
        let (file, length) = rewrite(folder, &last)?;
        let mut journal = Self {
            folder: folder.to_owned(),
            file,
            length,
            last,
            own: BTreeSet::new(),
            renamed: true,
            _lock: lock,
        };
        journal.settle_name()?;
        Ok((journal, closes))
    }

    /// Appends and flushes. When it returns without error, the notes are durable.
    ///
    /// # Errors
    /// The write or the flush failed: it is not known what is durable.
    pub(crate) fn append(&mut self, notes: &[Note]) -> io::Result<()> {
        self.settle_name()?;
        let mut bytes = Vec::new();
        for note in notes {
            encode(note, self.length, &mut bytes);
        }
        // After a failure something of the last write may be there: go on where it is known to be whole.
        self.file.set_len(self.length)?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        for note in notes {
            self.own.insert(note.incarnation);
            let key = (note.incarnation, note.counter.clone());
            self.last.insert(key, note.clone());
        }
        Ok(())
    }

    /// Writes the journal anew without what no longer counts, when that is most of it.
    fn tidy(&mut self, inherited: &[Close]) -> io::Result<()> {
        let counts = self.last.len() as u64 * 128;
        if self.length < LARGE.max(4 * counts) {
            return Ok(());
        }
        let open = |of: &Note| inherited.iter().any(|close| close.is_of_same(&of.close()));
        let own = &self.own;
        self.last
            .retain(|(of, _), note| own.contains(of) || open(note));
        (self.file, self.length) = rewrite(&self.folder, &self.last)?;
        self.renamed = true;
        self.settle_name()
    }

    /// The name is in the folder: until that is flushed, the old file may come back with the power.
    fn settle_name(&mut self) -> io::Result<()> {
        if self.renamed {
            File::open(&self.folder)?.sync_all()?;
            self.renamed = false;
        }
        Ok(())
    }
}

/// Makes durable what the limiter wants noted, for as long as it is polled.
pub(crate) async fn run(journal: Arc<Mutex<Journal>>, limiter: Arc<Limiter>) {
    loop {
        let notes = Arc::new(limiter.notes().await);
        while !write(&journal, &limiter, &notes).await {
            metrics::journal_failed();
            tokio::time::sleep(RETRY).await;
        }
        limiter.noted(&notes);
    }
}

async fn write(journal: &Arc<Mutex<Journal>>, limiter: &Limiter, notes: &Arc<Vec<Note>>) -> bool {
    let (journal, notes) = (Arc::clone(journal), Arc::clone(notes));
    let inherited = limiter.inherited();
    let written = tokio::task::spawn_blocking(move || {
        let mut journal = journal.lock();
        journal.append(&notes)?;
        journal.tidy(&inherited)
    });
    match written.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(%error, "writing the journal failed: requests that need it wait");
            false
        }
        Err(error) => {
            tracing::error!(%error, "writing the journal failed");
            false
        }
    }
}

/// Writes a journal of just these notes, flushed before it takes the old one's place.
fn rewrite(
    folder: &Path,
    last: &BTreeMap<(Incarnation, Counter), Note>,
) -> io::Result<(File, u64)> {
    let mut bytes = Vec::new();
    for note in last.values() {
        encode(note, WHOLE, &mut bytes);
    }
    let temporary = folder.join(TEMPORARY);
    let mut file = create(&temporary, true)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(JOURNAL))?;
    Ok((file, bytes.len() as u64))
}

fn create(path: &Path, empty: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if empty {
        // Whatever a file of this name held is of no use.
        let _ = fs::remove_file(path);
        options.append(true);
    } else {
        options.write(true).truncate(false);
    }
    options.open(path)
}

fn encode(note: &Note, flushed: u64, into: &mut Vec<u8>) {
    let line = Line {
        incarnation: note.incarnation.0,
        counter: note.counter.as_str().to_owned(),
        window: note.window.0,
        mark: note.mark,
        settled: note.settled,
        flushed,
    };
    let body = line.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&crc32c(&body).to_le_bytes());
    into.extend_from_slice(&body);
}

/// Reads what counts of a folder's journal; nothing where it is damaged.
fn read(folder: &Path) -> io::Result<BTreeMap<(Incarnation, Counter), Note>> {
    let path = folder.join(JOURNAL);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let Some(last) = decode(&bytes) else {
        tracing::error!(
            path = %path.display(),
            "the journal is damaged: what earlier processes held stays charged until an operator closes it \
             (`tollgate limits close`)"
        );
        fs::rename(&path, folder.join(DAMAGED))?;
        return Ok(BTreeMap::new());
    };
    Ok(last)
}

/// The last note of every process and counter; none where a line is damaged that had been flushed.
fn decode(bytes: &[u8]) -> Option<BTreeMap<(Incarnation, Counter), Note>> {
    let mut last = BTreeMap::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((line, length)) = line_at(bytes, at) else {
            let damaged = (at + 1..bytes.len())
                .filter_map(|later| line_at(bytes, later))
                .any(|(line, _)| line.flushed > at as u64);
            tracing::warn!(
                at,
                of = bytes.len(),
                "the journal ends in a line that was not finished"
            );
            return (!damaged).then_some(last);
        };
        let note = note_of(&line)?;
        last.insert((note.incarnation, note.counter.clone()), note);
        at += length;
    }
    Some(last)
}

fn line_at(bytes: &[u8], at: usize) -> Option<(Line, usize)> {
    let (header, rest) = bytes.get(at..)?.split_at_checked(HEADER)?;
    let (length, sum) = header.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes);
    let length = usize::try_from(number(length)?).ok()?;
    let body = rest
        .get(..length)
        .filter(|_| (1..=LONGEST_LINE).contains(&length))?;
    if crc32c(body) != number(sum)? {
        return None;
    }
    Some((Line::decode(body).ok()?, HEADER + length))
}

fn note_of(line: &Line) -> Option<Note> {
    Some(Note {
        incarnation: Incarnation(line.incarnation),
        counter: Counter::parse(&line.counter).ok()?,
        window: Window(line.window),
        mark: line.mark,
        settled: line.settled,
    })
}

/// CRC-32C (Castagnoli), bit by bit: lines are short.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests;
