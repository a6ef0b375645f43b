//! A connection with bounds on patience: for its first bytes, and for a peer that does not read.
//!
//! hyper bounds the time for a request's head only once it knows which version of HTTP is spoken, and does not
//! bound the time that a peer takes to read at all. Both would let idle connections hold what they hold for
//! ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// From accepting a connection to enough bytes to tell the version of HTTP.
const FIRST_BYTES_TIME: Duration = Duration::from_secs(10);
/// Length of HTTP/2's preface; no request of HTTP/1.1 is shorter.
const FIRST_BYTES: usize = 24;
/// How long a peer may read nothing while there is something to be read.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A connection whose peer must begin and go on in time.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    received: usize,
    beginning: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Starts waiting for the first bytes.
    pub(crate) fn new(stream: S) -> Self {
        let beginning = tokio::time::sleep(FIRST_BYTES_TIME);
        Self {
            stream,
            received: 0,
            beginning: Some(Box::pin(beginning)),
            stalled: None,
        }
    }

    /// Bounds how long a write may make no progress.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_TIME)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(beginning) = &mut self.beginning else {
            return result;
        };
        if result.is_ready() {
            self.received += buf.filled().len() - before;
            if self.received >= FIRST_BYTES {
                self.beginning = None;
            }
            return result;
        }
        ready!(beginning.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.progress(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.progress(cx, result)
    }

    /// Answers are small: to copy one together costs less than to have the system gather its pieces, and HTTP/2
    /// then sends the head, the message and the trailers of a small answer in one write, not in two.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.progress(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_cut() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut patient = Patient::new(ours);
        let start = Instant::now();
        let error = patient.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), FIRST_BYTES_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_drips_is_cut() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut patient = Patient::new(ours);
        theirs.write_all(b"PRI *").await.unwrap();
        let mut buffer = [0; 24];
        let error = patient.read_exact(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_begun_may_be_idle() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut patient = Patient::new(ours);
        theirs.write_all(&[b'x'; FIRST_BYTES]).await.unwrap();
        let mut buffer = [0; FIRST_BYTES];
        patient.read_exact(&mut buffer).await.unwrap();
        let idle = tokio::time::timeout(Duration::from_secs(600), patient.read_u8());
        assert!(idle.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_cut() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut patient = Patient::new(ours);
        let start = Instant::now();
        let error = patient.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), WRITE_TIME);
    }
}
