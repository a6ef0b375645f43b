//! A request body that must arrive in time, so that a caller who drips bytes does not hold a request's memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// From a request's head to the last byte of its body.
const LONGEST: Duration = Duration::from_secs(30);

/// A request body that must arrive in time.
#[derive(Debug)]
pub(crate) struct Arriving<B> {
    body: B,
    until: Instant,
    /// Set only once the body is waited for: most are there already.
    late: Option<Pin<Box<Sleep>>>,
}

impl<B> Arriving<B> {
    /// Time runs from now on.
    pub(crate) fn new(body: B) -> Self {
        Self {
            body,
            until: Instant::now() + LONGEST,
            late: None,
        }
    }
}

/// The body did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("the request did not arrive within 30 s")]
struct Late;

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(frame) = frame {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let until = self.until;
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match late.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Late.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full, StreamBody};

    #[tokio::test]
    async fn a_body_that_is_there_passes() {
        let body = Arriving::new(Full::new(Bytes::from_static(b"hello")));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_refused() {
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((
                Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))),
                (),
            ))
        });
        let start = Instant::now();
        let body = Arriving::new(StreamBody::new(Box::pin(drip)));
        assert!(body.collect().await.is_err());
        assert!(start.elapsed() <= LONGEST + Duration::from_secs(1));
    }
}
