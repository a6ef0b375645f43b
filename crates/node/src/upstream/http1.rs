//! HTTP/1.1 as this node speaks it to providers: one request at a time on a connection, driven by the task that
//! waits for the answer.
//!
//! A general client runs each connection in a task of its own and hands the body over through a channel, piece by
//! piece. For a stream of small events that costs more than all the rest of the request: here a piece that arrives
//! wakes one task, which reads it, decodes it and hands it on. Heads are parsed by `httparse`; bodies are framed by
//! [`framing`], which is stricter than RFC 9112 asks: what two parties could read differently is an error.

pub(super) mod framing;
mod head;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use framing::Framing;
use head::Head;
pub(super) use head::Request;

/// What is read at once; events are smaller, and answers in one piece mostly too.
const READ_SIZE: usize = 16 * 1024;
/// The longest head of an answer, bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// A connection to a provider that nobody else uses.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    /// What has arrived and not been consumed.
    input: BytesMut,
    /// When it was last used.
    pub(super) used: Instant,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether the connection may carry another request after this body.
    pub(super) keep_alive: bool,
}

/// Why a request failed on its connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Nothing was sent: the request is as if it had never been made.
    #[error("the connection was closed before the request was sent")]
    Unsent,
    /// The provider may have got the request.
    #[error("request: {0}")]
    Io(#[from] io::Error),
    /// The provider ended the connection before its answer was whole.
    #[error("the connection was closed before the answer was whole")]
    Closed,
    /// The answer is no HTTP.
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(&'static str),
}

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            used: Instant::now(),
        }
    }

    /// Whether an idle connection still is one: the provider has neither closed it nor said anything out of turn.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.input.is_empty() && self.poll_fill(&mut cx).is_pending()
    }

    /// Sends a request and reads the head of its answer. A provider may answer before it has read all of it.
    ///
    /// # Errors
    /// See [`Broken`]. The connection is of no more use then.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Broken> {
        let mut written = Written {
            bytes: request,
            flushed: false,
            sent: false,
            failed: None,
        };
        let mut answer = poll_fn(|cx| self.poll_exchange(cx, &mut written)).await?;
        answer.keep_alive &= written.flushed;
        Ok(answer)
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Written<'_>,
    ) -> Poll<Result<Answer, Broken>> {
        if request.failed.is_none()
            && let Poll::Ready(Err(error)) = request.poll(cx, &mut self.stream)
        {
            // Perhaps because it has been refused: the answer that says so may be there.
            request.failed = Some(error);
        }
        loop {
            if let Some(answer) = self.parse_head()? {
                return Poll::Ready(Ok(answer));
            }
            let read = ready!(self.poll_fill(cx));
            if matches!(read, Ok(1..)) {
                continue;
            }
            let failed = request.failed.take().or(read.err());
            return Poll::Ready(Err(match failed {
                Some(_) if !request.sent => Broken::Unsent,
                Some(error) => error.into(),
                None => Broken::Closed,
            }));
        }
    }

    fn parse_head(&mut self) -> Result<Option<Answer>, Broken> {
        while !self.input.is_empty() {
            match head::parse(&self.input)? {
                Head::Partial if self.input.len() > LONGEST_HEAD => {
                    return Err(Broken::Malformed("its head is longer than 64 KiB"));
                }
                Head::Partial => break,
                Head::Interim { length } => self.input.advance(length),
                Head::Final { length, answer } => {
                    self.input.advance(length);
                    return Ok(Some(*answer));
                }
            }
        }
        Ok(None)
    }

    /// Hands `sink` what comes next of a body, all that has arrived of it. False once the body is over.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(super) async fn read(
        &mut self,
        framing: &mut Framing,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<bool, Broken> {
        poll_fn(|cx| self.poll_body(cx, framing, &mut sink)).await
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        framing: &mut Framing,
        sink: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<bool, Broken>> {
        loop {
            let mut some = false;
            loop {
                let step = framing.step(&self.input)?;
                self.input.advance(step.skip);
                if let Some(data) = self.input.get(..step.take)
                    && !data.is_empty()
                {
                    sink(data);
                    some = true;
                }
                self.input.advance(step.take);
                if framing.is_over() {
                    return Poll::Ready(Ok(some));
                }
                if step.take == 0 {
                    break;
                }
            }
            if some {
                return Poll::Ready(Ok(true));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                framing.close()?;
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Whether nothing is left over of the answer that was read.
    pub(super) fn is_clean(&self) -> bool {
        self.input.is_empty()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(READ_SIZE);
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)
    }
}

/// A request on its way.
#[derive(Debug)]
struct Written<'a> {
    /// What is left to write.
    bytes: &'a [u8],
    /// Whether anything was written.
    sent: bool,
    flushed: bool,
    failed: Option<io::Error>,
}

impl Written<'_> {
    fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, self.bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = true;
            self.bytes = self.bytes.get(count..).unwrap_or_default();
        }
        if !self.flushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
