//! Runs connections and the streams of HTTP/2, and ends those that are past their deadline while nobody reads them.
//!
//! hyper asks a body for more only when the peer has made room for it. A peer that makes none, but keeps its
//! connection alive, would hold a request, its units and its connection to a provider for ever: the deadline
//! within the body is never looked at. So the task around the body looks at it too: that of its stream, or, with
//! HTTP/1.1, that of its connection.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, Sleep};

/// How long after its deadline a stream is ended from outside. A body that is read ends itself before, also on a machine
/// that is late: the body is looked at first.
const GRACE: Duration = Duration::from_millis(40);

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Tells the task that this runs in when its request must be over.
pub(crate) fn end_by(deadline: Instant) {
    DEADLINE.set(Some(deadline));
}

/// Tells the task that this runs in that its request is over: a connection may have others after it.
pub(crate) fn over() {
    // Fails only in a thread that is ending.
    let _ = DEADLINE.try_with(|deadline| deadline.set(None));
}

/// Spawns tasks that keep to the deadline they are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamExecutor;

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        TokioExecutor::new().execute(Bounded::new(stream));
    }
}

/// A task and its deadline.
pub(crate) struct Bounded<F> {
    task: Pin<Box<F>>,
    deadline: Option<Instant>,
    over: Option<Pin<Box<Sleep>>>,
}

impl<F> Bounded<F> {
    /// A task that has not been told a deadline yet.
    pub(crate) fn new(task: F) -> Self {
        Self {
            task: Box::pin(task),
            deadline: None,
            over: None,
        }
    }
}

impl<F: Future<Output = ()>> Future for Bounded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        DEADLINE.set(self.deadline);
        let polled = self.task.as_mut().poll(cx);
        let deadline = DEADLINE.take();
        if deadline != self.deadline {
            self.deadline = deadline;
            self.over = None;
        }
        let (Poll::Pending, Some(deadline)) = (polled, self.deadline) else {
            return polled;
        };
        let over = self
            .over
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline + GRACE)));
        over.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_named_a_deadline_ends_after_it() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(5);
        Bounded::new(async move {
            end_by(deadline);
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(start.elapsed(), Duration::from_secs(5) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_request_is_over_goes_on_to_the_next() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        Bounded::new(async move {
            end_by(start + seconds(5));
            tokio::time::sleep(seconds(3)).await;
            over();
            tokio::time::sleep(seconds(60)).await;
            end_by(start + seconds(70));
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(start.elapsed(), seconds(70) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_named_none_goes_on() {
        let bounded = Bounded::new(std::future::pending::<()>());
        let waited = tokio::time::timeout(Duration::from_secs(3600), bounded);
        assert!(waited.await.is_err());
    }

    #[tokio::test]
    async fn deadlines_do_not_leak_to_other_tasks() {
        Bounded::new(async { end_by(Instant::now()) }).await;
        assert_eq!(DEADLINE.take(), None);
    }
}
