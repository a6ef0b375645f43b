//! Where and when a process runs, as far as it can tell.
//!
//! What it leaves is of use to one process only, and only where the same clock goes on. So it names the start of its
//! machine, the very file that it held the lock on, which no copy of the folder has, and how far the wall clock was
//! ahead, which shows where one of the two clocks stood still or began anew, as in a snapshot of a virtual machine or
//! in another time namespace. What this cannot tell is a journal that is put back *in place* from a copy, within the
//! same start of the machine: nothing on the disk tells it from the one that was there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use prost::Message;

use crate::clock;

/// A random number of the kernel's, drawn when the machine starts.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The two clocks are read so often at most, should the thread be held up between them.
const READINGS: usize = 10;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Place {
    /// The machine's start.
    #[prost(string, tag = "1")]
    pub(super) boot: String,
    /// The lock's file.
    #[prost(uint64, tag = "2")]
    pub(super) device: u64,
    #[prost(uint64, tag = "3")]
    pub(super) inode: u64,
    /// How far the wall clock is ahead of the boot clock, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub(super) ahead_ms: u64,
}

impl Place {
    /// Of the process that holds this lock.
    ///
    /// # Errors
    /// The system does not say.
    pub(super) fn of(lock: &File) -> io::Result<Self> {
        let file = lock.metadata()?;
        let ahead = (0..READINGS).find_map(|_| clock::offset());
        let ahead = ahead.ok_or_else(|| io::Error::other("the clocks cannot be compared"))?;
        Ok(Self {
            boot: fs::read_to_string(BOOT_ID)?.trim().to_owned(),
            device: file.dev(),
            inode: file.ino(),
            ahead_ms: u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Whether a process here can go on where one ended there.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn is_that_of(&self, here: &Self) -> Result<(), &'static str> {
        let largest = u64::try_from(clock::LARGEST_JUMP.as_millis()).unwrap_or(u64::MAX);
        if self.boot != here.boot {
            return Err("the machine was started anew since, or is another one");
        }
        if (self.device, self.inode) != (here.device, here.inode) {
            return Err("this folder is a copy of the one that it was left in");
        }
        if self.ahead_ms.abs_diff(here.ahead_ms) > largest {
            return Err("the wall clock jumped since, as after a snapshot of the machine");
        }
        Ok(())
    }
}
