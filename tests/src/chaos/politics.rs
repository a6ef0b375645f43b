//! Pushes policies one after the other, without anybody waiting, and notes when each was in force.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::now_ms;
use super::operator::Operator;
use super::oracle::Setting;
use super::stage::Amounts;
use super::watch::Watch;

/// Time in which an owner takes over what its replica has been seen to run.
const MARGIN_MS: u64 = 1_000;

/// Most pushes that may wait.
const WAITING: usize = 64;

/// A push: its begin and, once it has been taken, its revision.
#[derive(Debug, Clone, Copy)]
struct Push {
    amounts: Amounts,
    from_ms: u64,
    revision: Option<u64>,
}

/// Sends pushes to a task of its own.
#[derive(Debug)]
pub(super) struct Politics {
    wishes: mpsc::Sender<Amounts>,
    /// Pushes wanted so far.
    wanted: usize,
    pushes: Arc<Mutex<Vec<Push>>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Politics {
    /// Starts the task.
    #[expect(
        clippy::disallowed_methods,
        reason = "its handle is kept, and aborted on drop"
    )]
    pub(super) fn start(operator: Operator) -> Self {
        let (wishes, heard) = mpsc::channel(WAITING);
        let pushes = Arc::default();
        let task = tokio::spawn(follow(operator, heard, Arc::clone(&pushes)));
        Self {
            wishes,
            wanted: 0,
            pushes,
            task,
        }
    }

    /// Wants these amounts after all that were wanted before.
    ///
    /// Fails where too many wait already, or pushing has failed.
    pub(super) fn push(&mut self, amounts: Amounts) -> anyhow::Result<()> {
        let sent = self.wishes.try_send(amounts);
        sent.context("more policies wait than can be pushed")?;
        self.wanted += 1;
        Ok(())
    }

    /// Waits until every push has been taken.
    ///
    /// Fails where one was not.
    pub(super) async fn quiet(&mut self) -> anyhow::Result<()> {
        loop {
            if self.task.is_finished() {
                return (&mut self.task).await.context("pushing policies")?;
            }
            if self.taken() == self.wanted {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Pushes that a replica has taken.
    fn taken(&self) -> usize {
        let pushes = lock(&self.pushes);
        pushes.iter().filter(|push| push.revision.is_some()).count()
    }

    /// Whether every replica and node runs the last of them.
    pub(super) fn is_everywhere(&self, watch: &Watch) -> bool {
        let last = lock(&self.pushes).last().map(|push| push.revision);
        let runs = |revision: Option<u64>| {
            revision.is_some_and(|revision| watch.everywhere_since(revision).is_some())
        };
        last.is_none_or(runs)
    }

    /// What was in force when: until every replica and node ran the next revision.
    pub(super) fn settings(&self, watch: &Watch) -> Vec<Setting> {
        let pushes = lock(&self.pushes);
        let next = pushes.iter().skip(1).map(Some).chain([None]);
        let settings = pushes.iter().zip(next).map(|(push, next)| Setting {
            amounts: push.amounts,
            from_ms: push.from_ms,
            until_ms: next.and_then(|next| {
                let since = watch.everywhere_since(next.revision?)?;
                // The same amounts again are the same revision, which may have been running for long.
                Some(since.max(next.from_ms) + MARGIN_MS)
            }),
        });
        settings.collect()
    }
}

impl Drop for Politics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    operator: Operator,
    mut wishes: mpsc::Receiver<Amounts>,
    pushes: Arc<Mutex<Vec<Push>>>,
) -> anyhow::Result<()> {
    let mut current = 0;
    while let Some(amounts) = wishes.recv().await {
        lock(&pushes).push(Push {
            amounts,
            from_ms: now_ms(),
            revision: None,
        });
        current = operator.apply(&amounts, current).await?;
        if let Some(push) = lock(&pushes).last_mut() {
            push.revision = Some(current);
        }
    }
    Ok(())
}

fn lock(pushes: &Mutex<Vec<Push>>) -> std::sync::MutexGuard<'_, Vec<Push>> {
    pushes.lock().unwrap_or_else(PoisonError::into_inner)
}
