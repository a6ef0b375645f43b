//! The lines of the journal's file: `length, CRC-32C, message`.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_quota::node::{Bequest, Note};
use tollgate_quota::{Counter, Incarnation, Window};

use super::will::{BequestLine, Seal, Will};

/// Length and checksum before each line.
const HEADER: usize = 8;
/// No line is longer: a counter's name has at most 1 KiB.
const LONGEST_LINE: usize = 4096;

/// One line: a note, or a part of what the process leaves to the next.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Line {
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
    /// What is left of one counter, instead of a note.
    #[prost(message, optional, tag = "7")]
    bequest: Option<BequestLine>,
    /// That all is said of what is left, instead of a note.
    #[prost(message, optional, tag = "8")]
    seal: Option<Seal>,
}

/// The last note of every process and counter.
pub(super) type Notes = BTreeMap<(Incarnation, Counter), Note>;

/// What counts in a journal.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) last: Notes,
    /// What the last process left, unless anything was written since.
    pub(super) will: Option<Will>,
}

impl Line {
    pub(super) fn note(note: &Note, flushed: u64) -> Self {
        Self {
            incarnation: note.incarnation.0,
            counter: note.counter.as_str().to_owned(),
            window: note.window.0,
            mark: note.mark,
            settled: note.settled,
            flushed,
            bequest: None,
            seal: None,
        }
    }

    pub(super) fn bequest(bequest: &Bequest, flushed: u64) -> Self {
        Self {
            bequest: Some(BequestLine::of(bequest)),
            flushed,
            ..Self::default()
        }
    }

    pub(super) fn seal(seal: Seal, flushed: u64) -> Self {
        Self {
            seal: Some(seal),
            flushed,
            ..Self::default()
        }
    }

    /// Appends it. False where it is too long to be read again.
    pub(super) fn write(&self, into: &mut Vec<u8>) -> bool {
        let body = self.encode_to_vec();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(&crc32c(&body).to_le_bytes());
        into.extend_from_slice(&body);
        body.len() <= LONGEST_LINE
    }
}

/// What counts in a file; none where a line is damaged that had been flushed.
pub(super) fn decode(bytes: &[u8]) -> Option<Contents> {
    let mut contents = Contents::default();
    let mut left = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        contents.will = None;
        let Some((line, length)) = line_at(bytes, at) else {
            let damaged = (at + 1..bytes.len())
                .filter_map(|later| line_at(bytes, later))
                .any(|(line, _)| line.flushed > at as u64);
            tracing::warn!(
                at,
                of = bytes.len(),
                "the journal ends in a line that was not finished"
            );
            return (!damaged).then_some(contents);
        };
        at += length;
        match (&line.bequest, &line.seal) {
            (Some(bequest), _) => left.push(bequest.read()),
            (None, Some(seal)) => contents.will = Will::new(seal, std::mem::take(&mut left)),
            (None, None) => {
                left.clear();
                let note = note_of(&line)?;
                let key = (note.incarnation, note.counter.clone());
                contents.last.insert(key, note);
            }
        }
    }
    Some(contents)
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
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}
