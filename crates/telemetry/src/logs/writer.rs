//! Writes lines from a thread of its own, so that nothing that logs waits for standard error.
//!
//! A line after a quiet time is written at once; while many come, those of [`PAUSE`] are written together, which
//! costs one system call and one wake-up of the reader for all of them. The memory is bounded: where the reader of
//! the log does not keep up, lines are dropped, counted in `tollgate_log_lines_dropped_total`, and the log says so
//! as soon as it can. The other choice, to make requests wait for the reader, would let a stuck log collector stop
//! the gateway.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use metrics::{counter, describe_counter};
use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered after some were written.
const PAUSE: Duration = Duration::from_millis(50);
/// Most bytes that wait to be written.
const MOST: usize = 4 * 1024 * 1024;
/// Where so many bytes wait, they are written without a pause.
const MANY: usize = 64 * 1024;

const DROPPED: &str = "tollgate_log_lines_dropped_total";

/// Tells the recorder what is counted here.
pub(crate) fn describe() {
    describe_counter!(
        DROPPED,
        "Lines of the log that were dropped, because nobody read it fast enough"
    );
}

/// Where lines are left to be written. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told when the thread has to look.
    look: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines for which there was no room since the log last said so.
    dropped: u64,
    /// The thread sleeps until it is told.
    idle: bool,
    /// Something is not to be gathered.
    urgent: bool,
    closed: bool,
}

/// The thread that writes. Dropping it writes what waits, and ends it.
#[derive(Debug)]
pub struct Logs {
    writer: Writer,
    thread: Option<JoinHandle<()>>,
}

/// Takes one line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    shared: &'a Shared,
    urgent: bool,
}

// === impl Logs ===

impl Logs {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let writer = Writer::default();
        let shared = Arc::clone(&writer.0);
        let thread = thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || shared.write_all(out))?;
        let logs = Self {
            writer: writer.clone(),
            thread: Some(thread),
        };
        Ok((logs, writer))
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.writer.0.waiting.lock().closed = true;
        self.writer.0.look.notify_one();
        if let Some(thread) = self.thread.take() {
            // There is nowhere to tell of a thread that panicked: it is the one that tells.
            let _ = thread.join();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn write_all(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let (dropped, closed) = self.take(&mut lines);
            // Nobody reading the log is no reason to stop serving.
            let written = out.write_all(&lines).and_then(|()| out.flush());
            if written.is_err() {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count();
                counter!(DROPPED).increment(lost as u64);
            }
            lines.clear();
            lines.shrink_to(MANY);
            counter!(DROPPED).increment(dropped);
            if closed {
                return;
            }
            if dropped > 0 {
                tracing::warn!(
                    dropped,
                    "the log was not read fast enough, and lines were dropped"
                );
            }
            self.pause();
        }
    }

    /// Waits for lines and takes them all, and how many were dropped. True where no more are to be waited for.
    fn take(&self, lines: &mut Vec<u8>) -> (u64, bool) {
        let mut waiting = self.waiting.lock();
        while waiting.lines.is_empty() && !waiting.closed {
            waiting.idle = true;
            self.look.wait(&mut waiting);
        }
        waiting.idle = false;
        waiting.urgent = false;
        std::mem::swap(&mut waiting.lines, lines);
        (std::mem::take(&mut waiting.dropped), waiting.closed)
    }

    /// Lets lines gather.
    fn pause(&self) {
        let mut waiting = self.waiting.lock();
        let gather = |waiting: &mut Waiting| {
            !waiting.urgent && !waiting.closed && waiting.lines.len() < MANY
        };
        self.look.wait_while_for(&mut waiting, gather, PAUSE);
    }

    fn append(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting.lock();
        let before = waiting.lines.len();
        if waiting.closed || before + line.len() > MOST {
            waiting.dropped += 1;
            return;
        }
        waiting.lines.extend_from_slice(line);
        waiting.urgent |= urgent;
        let many = before < MANY && waiting.lines.len() >= MANY;
        if std::mem::take(&mut waiting.idle) || urgent || many {
            drop(waiting);
            self.look.notify_one();
        }
    }
}

// === impl Writer ===

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            shared: &self.0,
            urgent: false,
        }
    }

    fn make_writer_for(&'a self, of: &tracing::Metadata<'_>) -> Line<'a> {
        Line {
            shared: &self.0,
            urgent: *of.level() == tracing::Level::ERROR,
        }
    }
}

impl Write for Line<'_> {
    /// Called once for each event, with its whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.append(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Hands on what is written, piece by piece, and waits until it is taken.
    struct Pieces(SyncSender<String>);

    impl Write for Pieces {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(piece.to_vec()).unwrap();
            // A test that has seen enough does not listen any more.
            let _ = self.0.send(text);
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (Logs, Writer, Receiver<String>) {
        let (sender, pieces) = sync_channel(0);
        let (logs, writer) = Logs::start(Pieces(sender)).unwrap();
        (logs, writer, pieces)
    }

    #[test]
    fn lines_that_come_while_others_are_written_are_written_together() {
        let (_logs, writer, pieces) = start();
        writer.make_writer().write_all(b"one\n").unwrap();
        while !writer.0.waiting.lock().lines.is_empty() {
            thread::yield_now();
        }
        writer.make_writer().write_all(b"two\n").unwrap();
        writer.make_writer().write_all(b"three\n").unwrap();
        assert_eq!(pieces.recv().unwrap(), "one\n");
        assert_eq!(pieces.recv().unwrap(), "two\nthree\n");
    }

    #[test]
    fn what_waits_is_written_at_the_end() {
        let (logs, writer, pieces) = start();
        writer.make_writer().write_all(b"one\n").unwrap();
        assert_eq!(pieces.recv().unwrap(), "one\n");
        writer.make_writer().write_all(b"two\n").unwrap();
        let reader = thread::spawn(move || pieces.iter().collect::<String>());
        drop(logs);
        assert_eq!(reader.join().unwrap(), "two\n");
    }

    #[test]
    fn a_reader_that_is_stuck_costs_lines_and_not_memory() {
        let (_logs, writer, pieces) = start();
        writer.make_writer().write_all(b"first\n").unwrap();
        // The thread has it in hand, and stays with it.
        while !writer.0.waiting.lock().lines.is_empty() {
            thread::yield_now();
        }
        let line = [b'x'; 1024];
        for _ in 0..3 * MOST / line.len() {
            writer.make_writer().write_all(&line).unwrap();
        }
        let waiting = writer.0.waiting.lock();
        assert!(waiting.lines.len() <= MOST);
        assert!(waiting.dropped as usize >= MOST / line.len());
        drop(waiting);
        drop(pieces);
    }
}
