//! The open loop: requests fall due by the clock and wait for a free caller if they must.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::caller::{Caller, Patience};
use super::pace::Pacer;
use super::record::{Recorder, Times};
use super::{Load, Span};

/// A request that is to be sent.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    measured: bool,
}

/// Requests that wait for a caller, and callers that wait for a request: never both.
#[derive(Debug, Default)]
struct Queue {
    due: VecDeque<Due>,
    /// The last one to become idle is used first: its connection is the warmest.
    idle: Vec<usize>,
}

type SharedQueue = Arc<Mutex<Queue>>;

pub(super) async fn run(
    load: &Load,
    rate: f64,
    callers: Vec<Caller>,
    recorder: &Arc<Recorder>,
) -> anyhow::Result<()> {
    let queue = SharedQueue::default();
    let mut tasks = JoinSet::new();
    let mut mailboxes = Vec::new();
    for (id, caller) in callers.into_iter().enumerate() {
        let (mailbox, requests) = mpsc::channel(1);
        mailboxes.push(mailbox);
        let worker = Worker {
            id,
            caller,
            requests,
            queue: Arc::clone(&queue),
            recorder: Arc::clone(recorder),
            patience: Patience::of(load),
        };
        tasks.spawn(worker.run());
    }
    // Every caller has to be waiting before the first request falls due.
    tokio::task::yield_now().await;
    let pacer = Pacer::start(rate)?;
    let span = Span::of(load, pacer.started());
    dispatch(pacer, span, &queue, &mailboxes, recorder).await?;
    drop(mailboxes);
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a caller panicked")?;
        }
        anyhow::Ok(())
    };
    // Requests still waiting for a caller then stay unanswered, and the report says how many.
    let grace = load.timeout + Duration::from_secs(1);
    tokio::time::timeout(grace, all).await.unwrap_or(Ok(()))
}

async fn dispatch(
    mut pacer: Pacer,
    span: Span,
    queue: &SharedQueue,
    mailboxes: &[mpsc::Sender<Due>],
    recorder: &Recorder,
) -> anyhow::Result<()> {
    loop {
        for at in pacer.due().await? {
            if at >= span.to {
                return Ok(());
            }
            let measured = at >= span.from;
            let due = Due { at, measured };
            recorder.fell_due(measured);
            let mut queue = lock(queue);
            match queue.idle.pop() {
                Some(id) => mailboxes[id].try_send(due).context("a caller died")?,
                None => queue.due.push_back(due),
            }
        }
    }
}

struct Worker {
    id: usize,
    caller: Caller,
    requests: mpsc::Receiver<Due>,
    queue: SharedQueue,
    recorder: Arc<Recorder>,
    patience: Patience,
}

impl Worker {
    async fn run(mut self) {
        while let Some(due) = self.next().await {
            let nonce = self.recorder.next_nonce();
            let sent = Instant::now();
            let answer = self.caller.call(&nonce, self.patience.draw()).await;
            self.recorder.note_cancel(&nonce, &answer);
            let times = Times {
                due: due.at,
                sent,
                done: Instant::now(),
            };
            self.recorder.answered(due.measured, times, answer);
        }
    }

    async fn next(&mut self) -> Option<Due> {
        {
            let mut queue = lock(&self.queue);
            if let Some(due) = queue.due.pop_front() {
                return Some(due);
            }
            queue.idle.push(self.id);
        }
        self.requests.recv().await
    }
}

fn lock(queue: &SharedQueue) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
