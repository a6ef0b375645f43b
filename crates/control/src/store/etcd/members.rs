//! Which of etcd's members is asked.
//!
//! The client of the library draws one for each call. One that stands still, or is cut off, then holds every third call up
//! until it times out. Here all calls go to one member while it answers, and to the next one once it does not: a fault of
//! another member is not felt at all.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, KvClient, WatchClient};
use futures_util::future::select_ok;
use tokio::time::timeout;
use tonic::Code;

/// A member that has not answered for so long is not waited for alone.
const PATIENCE: Duration = Duration::from_millis(500);

/// The members of a cluster, and whose turn it is.
#[derive(Clone)]
pub(super) struct Members {
    members: Arc<[Member]>,
    turn: Arc<AtomicUsize>,
}

struct Member {
    kv: KvClient,
    watch: WatchClient,
}

/// One of them, as the turn was.
#[derive(Clone, Copy)]
pub(super) struct Turn(usize);

impl Members {
    /// Prepares connections, which are made when first used. Watches have their own.
    pub(super) async fn connect(
        endpoints: &[String],
        options: &ConnectOptions,
        most_answer_bytes: usize,
    ) -> Result<Self, Error> {
        let mut members = Vec::new();
        for endpoint in endpoints {
            let calls = Client::connect([endpoint], Some(options.clone())).await?;
            let watches = Client::connect([endpoint], Some(options.clone())).await?;
            let (kv, watch) = (calls.kv_client(), watches.watch_client());
            members.push(Member {
                kv: kv.max_decoding_message_size(most_answer_bytes),
                watch: watch.max_decoding_message_size(most_answer_bytes),
            });
        }
        if members.is_empty() {
            return Err(Error::InvalidArgs("no endpoints".to_owned()));
        }
        let (members, turn) = (members.into(), Arc::default());
        Ok(Self { members, turn })
    }

    /// Whether there are several.
    pub(super) fn are_many(&self) -> bool {
        self.members.len() > 1
    }

    /// The member whose turn it is.
    pub(super) fn turn(&self) -> Turn {
        Turn(self.turn.load(Ordering::Relaxed))
    }

    pub(super) fn kv(&self, turn: Turn) -> KvClient {
        self.at(turn).kv.clone()
    }

    pub(super) fn watch(&self, turn: Turn) -> WatchClient {
        self.at(turn).watch.clone()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "there is one at least, and the turn is taken by their number"
    )]
    fn at(&self, turn: Turn) -> &Member {
        &self.members[turn.0 % self.members.len()]
    }

    /// That member does not answer: the next one's turn has come, unless somebody noticed before.
    pub(super) fn pass(&self, turn: Turn) -> Turn {
        let next = turn.0.wrapping_add(1);
        let passed = self
            .turn
            .compare_exchange(turn.0, next, Ordering::Relaxed, Ordering::Relaxed);
        Turn(passed.map_or_else(|now| now, |_| next))
    }

    /// Asks a member, and the next one too where it fails or takes long.
    ///
    /// # Errors
    /// That of the last one to fail.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(KvClient) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let turn = self.turn();
        let mut first = pin!(question(self.kv(turn)));
        if !self.are_many() {
            return first.await;
        }
        let answer = timeout(PATIENCE, &mut first).await;
        match answer {
            Ok(Err(error)) if is_the_members(&error) => question(self.kv(self.pass(turn))).await,
            Ok(answer) => answer,
            Err(_) => {
                let second = pin!(question(self.kv(self.pass(turn))));
                let (answer, _) = select_ok([first, second]).await?;
                Ok(answer)
            }
        }
    }
}

/// Whether another member may answer otherwise.
pub(super) fn is_the_members(error: &Error) -> bool {
    let Error::GRpcStatus(status) = error else {
        return true;
    };
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
    )
}
