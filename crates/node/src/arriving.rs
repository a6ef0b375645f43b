//! A request body on its way in: it must arrive in time, and large ones share the memory there is for them. So callers who
//! drip bytes do not hold a request's memory, and bodies do not take more than the node has, however many come.

mod bodies;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use crate::error::Error;
pub(crate) use bodies::{Bodies, Claim};

/// From a request's head to the last byte of its body.
const LONGEST: Duration = Duration::from_secs(30);

/// A request body on its way in.
#[derive(Debug)]
pub(crate) struct Arriving<B> {
    body: B,
    until: Instant,
    /// Whether the caller waits no longer than that, either.
    is_callers: bool,
    /// Set only once the body is waited for: most are there already.
    late: Option<Pin<Box<Sleep>>>,
    /// What it has of the memory for large bodies. Small ones need none.
    claim: Option<Arc<Claim>>,
    received: usize,
}

impl<B> Arriving<B> {
    /// Time runs from now on. The caller waits until then, if it says so.
    pub(crate) fn new(body: B, claim: Option<Arc<Claim>>, caller: Option<Instant>) -> Self {
        let longest = Instant::now() + LONGEST;
        let caller = caller.filter(|until| *until < longest);
        Self {
            body,
            until: caller.unwrap_or(longest),
            is_callers: caller.is_some(),
            late: None,
            claim,
            received: 0,
        }
    }

    fn receive(&mut self, bytes: usize) -> Result<(), Error> {
        self.received += bytes;
        match &self.claim {
            Some(claim) if !claim.covers(self.received) => Err(Error::Overloaded),
            Some(_) | None => Ok(()),
        }
    }
}

/// A body that is not going to be read, and what its caller is told.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Unread {
    pub(crate) error: Error,
    /// The same, for the layers of the gRPC edge, which look for it here.
    #[source]
    status: Status,
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self {
            status: error.to_status(),
            error,
        }
    }
}

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
            return Poll::Ready(frame.map(|frame| {
                let frame = frame.map_err(Into::into)?;
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.receive(bytes).map_err(Unread::from)?;
                Ok(frame)
            }));
        }
        let until = self.until;
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match late.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let error = if self.is_callers {
                    Error::DeadlineExceeded
                } else {
                    Error::field("body", "did not arrive within 30 s")
                };
                Poll::Ready(Some(Err(Unread::from(error).into())))
            }
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

    fn told<'a>(error: &'a (dyn std::error::Error + Send + Sync + 'static)) -> &'a Error {
        &error.downcast_ref::<Unread>().expect("ours").error
    }

    #[tokio::test]
    async fn a_body_that_is_there_passes() {
        let body = Arriving::new(Full::new(Bytes::from_static(b"hello")), None, None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    }

    /// A body that comes byte by byte, and never ends.
    fn drip() -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        StreamBody::new(Box::pin(drip))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_refused() {
        let start = Instant::now();
        let body = Arriving::new(drip(), None, None);
        let error = body.collect().await.unwrap_err();
        assert!(matches!(told(&*error), Error::Invalid(_)));
        assert!(start.elapsed() <= LONGEST + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_waited_for_as_long_as_its_caller_waits() {
        let start = Instant::now();
        let until = start + Duration::from_millis(2_500);
        let body = Arriving::new(drip(), None, Some(until));
        let error = body.collect().await.unwrap_err();
        assert_eq!(told(&*error), &Error::DeadlineExceeded);
        assert_eq!(Instant::now(), until);
        assert_eq!(
            Status::from_error(error).code(),
            tonic::Code::DeadlineExceeded
        );
    }

    #[tokio::test]
    async fn a_large_body_for_which_there_is_no_memory_is_refused_as_it_comes() {
        let bodies = Arc::new(Bodies::new(100_000));
        let pieces = || {
            let piece = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 20_000])));
            StreamBody::new(futures_util::stream::iter((0..6).map(move |_| piece())))
        };
        let arrive =
            |claim: &Arc<Claim>| Arriving::new(pieces(), Some(Arc::clone(claim)), None).collect();
        let unknown = SizeHint::default();
        let first = bodies.claim(&unknown).unwrap().unwrap();
        assert_eq!(arrive(&first).await.unwrap().to_bytes().len(), 120_000);
        let second = bodies.claim(&unknown).unwrap().unwrap();
        let error = arrive(&second).await.unwrap_err();
        assert_eq!(told(&*error), &Error::Overloaded);
        let status = Status::from_error(error);
        assert_eq!(status.code(), tonic::Code::Unavailable);
        drop((first, second));
        let third = bodies.claim(&unknown).unwrap().unwrap();
        assert!(arrive(&third).await.is_ok());
    }
}
