//! The body of an answer on its way to its caller.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Version;
use http_body::{Frame, SizeHint};

use crate::gate::Pass;

/// Longest data that `h2` copies together with what goes before and after it. What is longer it writes by itself,
/// and what follows by itself again: three writes for an answer of 1,100 bytes, and the caller wakes for each.
const COPIED: usize = 1000;
/// What is longer than this is better written as it is.
const SPLIT: usize = 8 * 1024;

/// A response body that keeps its request counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    body: Body,
    /// Whether data goes out in frames that are written together.
    split: bool,
    /// What is left of data that was split.
    rest: Bytes,
    _pass: Option<Pass>,
}

impl Guarded {
    /// The body of an answer to a request of `version`.
    pub(crate) fn new(body: Body, version: Version, pass: Option<Pass>) -> Self {
        Self {
            body,
            split: version == Version::HTTP_2,
            rest: Bytes::new(),
            _pass: pass,
        }
    }

    fn take(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if self.split && data.len() > COPIED && data.len() <= SPLIT {
            self.rest = data.split_off(COPIED);
        }
        Frame::data(data)
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.take(rest))));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame?.into_data() {
            Ok(data) => Ok(self.take(data)),
            Err(trailers) => Ok(trailers),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() {
            return self.body.size_hint();
        }
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn frames(length: usize, version: Version) -> Vec<usize> {
        let text: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut body = Guarded::new(Body::from(text.clone()), version, None);
        let (mut lengths, mut whole) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            lengths.push(data.len());
            whole.extend_from_slice(&data);
        }
        assert!(http_body::Body::is_end_stream(&body));
        assert_eq!(whole, text);
        lengths
    }

    #[tokio::test]
    async fn data_of_http2_goes_out_in_frames_that_are_written_together() {
        let http2 = Version::HTTP_2;
        assert_eq!(frames(COPIED, http2).await, [COPIED]);
        assert_eq!(frames(COPIED + 1, http2).await, [COPIED, 1]);
        assert_eq!(frames(2 * COPIED + 5, http2).await, [COPIED, COPIED, 5]);
    }

    #[tokio::test]
    async fn what_is_long_or_not_http2_goes_out_as_it_is() {
        assert_eq!(frames(SPLIT + 1, Version::HTTP_2).await, [SPLIT + 1]);
        assert_eq!(frames(5 * COPIED, Version::HTTP_11).await, [5 * COPIED]);
    }
}
