//! Plays an answer's steps as an HTTP body, and enters in the ledger how that ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::ledger::{Outcome, Ticket};
use super::reply::Step;

/// The body of a reply of the fake provider.
#[derive(Debug)]
pub(super) struct ScriptBody {
    steps: std::vec::IntoIter<Step>,
    /// Where the pauses are measured from, so that they do not drift by the time spent sending.
    clock: Instant,
    pause: Option<Pin<Box<Sleep>>>,
    /// Length, where it is known from the start.
    length: Option<u64>,
    /// Set to have the connection reset rather than closed.
    reset: Arc<AtomicBool>,
    /// `None` for replies that are no completions.
    ticket: Option<Ticket>,
    ending: Outcome,
}

impl ScriptBody {
    pub(super) fn new(
        steps: Vec<Step>,
        ending: Outcome,
        ticket: Option<Ticket>,
        reset: Arc<AtomicBool>,
    ) -> Self {
        let length = match steps.as_slice() {
            [] => Some(0),
            // Half a body with the right length would be a whole body.
            [Step::Bytes(bytes) | Step::Chunk(bytes) | Step::Usage(bytes, _)]
                if ending != Outcome::Cut =>
            {
                Some(bytes.len() as u64)
            }
            _ => None,
        };
        let mut body = Self {
            steps: steps.into_iter(),
            clock: Instant::now(),
            pause: None,
            length,
            reset,
            ticket,
            ending,
        };
        body.end_if_played();
        body
    }

    /// A body that is no part of a completion.
    pub(super) fn plain(bytes: Bytes) -> Self {
        let reset = Arc::new(AtomicBool::new(false));
        Self::new(vec![Step::Bytes(bytes)], Outcome::Completed, None, reset)
    }

    fn end_if_played(&mut self) {
        if self.steps.len() == 0
            && let Some(ticket) = &mut self.ticket
        {
            ticket.end(self.ending);
        }
    }

    fn send(&mut self, bytes: Bytes, step: &Step) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(Ticket { tally, .. }) = &mut self.ticket {
            tally.bytes += bytes.len() as u64;
            match step {
                Step::Chunk(_) => tally.chunks += 1,
                Step::Usage(_, usage) => {
                    tally.prompt_tokens = u64::try_from(usage.prompt).unwrap_or(0);
                    tally.completion_tokens = u64::try_from(usage.completion).unwrap_or(0);
                }
                Step::Bytes(_) | Step::Wait(_) | Step::Hang | Step::Drop { .. } => {}
            }
        }
        self.end_if_played();
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let Some(step) = self.steps.next() else {
                self.end_if_played();
                return Poll::Ready(None);
            };
            match &step {
                Step::Bytes(bytes) | Step::Chunk(bytes) | Step::Usage(bytes, _) => {
                    return self.send(bytes.clone(), &step);
                }
                Step::Wait(pause) => {
                    self.clock += *pause;
                    self.pause = Some(Box::pin(tokio::time::sleep_until(self.clock)));
                }
                // The connection's own read notices the client's end; nothing else wakes this.
                Step::Hang => {
                    self.steps = vec![Step::Hang].into_iter();
                    return Poll::Pending;
                }
                Step::Drop { reset } => {
                    self.reset.store(*reset, Ordering::Relaxed);
                    self.end_if_played();
                    let error = io::Error::other("told to break off");
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.len() == 0 && self.ending != Outcome::Cut
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
