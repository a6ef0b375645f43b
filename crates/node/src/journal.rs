//! What a node must not forget when it dies: how far it has gone with each budget, long window and slot, so that
//! the process after it can say what this one cannot have used. One that ends in good order leaves all that it knows
//! besides ([`will`]), for the next one to go on in its place.
//!
//! The file is a row of lines ([`line`]), appended and flushed; only the last one about a process and
//! a counter counts. What is left to the next process counts only where nothing follows it, and is gone from the file,
//! for good, before anybody makes use of it. A crash may leave a tail that was never flushed, of which nothing was made: it is cut off. A line
//! that is damaged although it had been flushed makes the whole journal worthless, since what came after it may have
//! said more; then nothing is closed by it, and operators see what the dead processes held as suspense.
//!
//! Whoever holds the lock on the folder knows that every process which wrote here before is dead: they held it all
//! their lives, and the kernel lets go of it only with the process.

mod line;
mod place;
mod will;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_quota::node::{Estate, Note};
use tollgate_quota::{Close, Incarnation};

use self::line::{Contents, Line, Notes};
use self::place::Place;
use self::will::{Seal, Will};
use crate::limiter::Limiter;
use crate::metrics;

const JOURNAL: &str = "journal";
const TEMPORARY: &str = "journal.tmp";
const DAMAGED: &str = "journal.damaged";
const LOCK: &str = "lock";
/// Said of lines in a file that was flushed before it was a journal.
const WHOLE: u64 = u64::MAX;
/// A journal larger than this, and four times larger than what counts in it, is written anew.
const LARGE: u64 = 1 << 20;
/// The wait after a write that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The journal of this folder, held under its lock.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    file: File,
    length: u64,
    /// What counts of it.
    last: Notes,
    /// The numbers that this process has had.
    own: BTreeSet<Incarnation>,
    /// The file was put in the old one's place, and it is not sure that this is durable.
    renamed: bool,
    /// Locked for as long as the process lives.
    lock: File,
}

/// What the processes before this one have left.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    /// What the dead had, to be closed.
    pub(crate) closes: Vec<Close>,
    /// What the last one had, to be gone on with in its place, and the store that its totals stand in.
    pub(crate) estate: Option<(Estate, u64)>,
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
    /// Takes the lock, and reads what the processes before have left. What is to be gone on with is nowhere else when
    /// it returns.
    ///
    /// # Errors
    /// Another process has the lock, or the folder cannot be read or written.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Inheritance), Unusable> {
        let lock = create(&folder.join(LOCK), false)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Unusable::InUse,
            TryLockError::Error(error) => Unusable::Io(error),
        })?;
        let Contents { last, will } = read(folder)?;
        let estate = will.and_then(|will| taken(will, &lock));
        let goes_on = estate.as_ref().map(|(estate, _)| estate.incarnation);
        let dead = last.values().filter(|it| Some(it.incarnation) != goes_on);
        let closes = dead.map(Note::close).collect();
        let (file, length) = rewrite(folder, &last)?;
        let mut journal = Self {
            folder: folder.to_owned(),
            file,
            length,
            last,
            own: goes_on.into_iter().collect(),
            renamed: true,
            lock,
        };
        journal.settle_name()?;
        Ok((journal, Inheritance { closes, estate }))
    }

    /// Appends and flushes. When it returns without error, the notes are durable.
    ///
    /// # Errors
    /// The write or the flush failed: it is not known what is durable.
    pub(crate) fn append(&mut self, notes: &[Note]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for note in notes {
            Line::note(note, self.length).write(&mut bytes);
        }
        self.write(&bytes)?;
        for note in notes {
            self.own.insert(note.incarnation);
            let key = (note.incarnation, note.counter.clone());
            self.last.insert(key, note.clone());
        }
        Ok(())
    }

    /// Writes the last notes of this process, and after them what it leaves to the next one, if anything, and the store
    /// that its totals stand in. Nothing is to be written any more.
    ///
    /// # Errors
    /// The write or the flush failed, or the system does not say where this process runs: what is left may be lost.
    pub(crate) fn leave(&mut self, notes: &[Note], left: Option<&(Estate, u64)>) -> io::Result<()> {
        self.append(notes)?;
        let Some((estate, store)) = left else {
            return Ok(());
        };
        let seal = Seal::new(estate, *store, Place::of(&self.lock)?);
        let mut bytes = Vec::new();
        let mut lines = estate.bequests.iter();
        let fits = lines.all(|it| Line::bequest(it, self.length).write(&mut bytes));
        if !fits || !Line::seal(seal, self.length).write(&mut bytes) {
            return Err(io::Error::other("too much is known of one counter"));
        }
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.settle_name()?;
        // After a failure something of the last write may be there: go on where it is known to be whole.
        self.file.set_len(self.length)?;
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
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

/// What the last process has left, where it is of use here.
fn taken(will: Will, lock: &File) -> Option<(Estate, u64)> {
    let here = Place::of(lock).map_err(|error| error.to_string());
    let taken = here.and_then(|here| will.take(&here).map_err(str::to_owned));
    match taken {
        Ok((estate, store)) => {
            let counters = estate.bequests.len();
            tracing::info!(
                counters,
                "going on with what the last process had of limits"
            );
            Some((estate, store))
        }
        Err(reason) => {
            tracing::info!(reason, "what the last process had of limits is given up");
            None
        }
    }
}

/// Writes a journal of just these notes, flushed before it takes the old one's place.
fn rewrite(folder: &Path, last: &Notes) -> io::Result<(File, u64)> {
    let mut bytes = Vec::new();
    for note in last.values() {
        Line::note(note, WHOLE).write(&mut bytes);
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

/// Reads what counts of a folder's journal; nothing where it is damaged.
fn read(folder: &Path) -> io::Result<Contents> {
    let path = folder.join(JOURNAL);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(error) => return Err(error),
    };
    let Some(contents) = line::decode(&bytes) else {
        tracing::error!(
            path = %path.display(),
            "the journal is damaged: what earlier processes held stays charged until an operator closes it \
             (`tollgate limits close`)"
        );
        fs::rename(&path, folder.join(DAMAGED))?;
        return Ok(Contents::default());
    };
    Ok(contents)
}

#[cfg(test)]
mod tests;
