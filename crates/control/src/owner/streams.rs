//! The nodes' streams.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tollgate_proto::node::v1::StreamQuotaResponse;
use tollgate_quota::{Incarnation, OwnerMessage};
use tonic::Status;

use crate::error::{Error, Result};
use crate::{metrics, wire};

/// What a node's quota stream is sent.
pub(crate) type Answer = Result<StreamQuotaResponse, Status>;

/// Where a stream's answers go.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    /// Answers that do not fit are dropped: the next heartbeat says them again.
    pub(crate) sender: mpsc::Sender<Answer>,
    /// Cancelled when the owner has nothing more to say.
    pub(crate) ended: CancellationToken,
}

/// The nodes' streams, by process.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: HashMap<Incarnation, (u64, Outlet)>,
    /// The store of this term.
    pub(super) store: u64,
}

impl Streams {
    /// A process has one stream: a later one ends it.
    pub(super) fn open(&mut self, stream: u64, incarnation: Incarnation, outlet: Outlet) {
        if let Some((_, old)) = self.open.insert(incarnation, (stream, outlet)) {
            old.ended.cancel();
        }
    }

    /// Returns whether the process has no stream any more.
    pub(super) fn close(&mut self, stream: u64, incarnation: Incarnation) -> bool {
        let current = self.open.get(&incarnation);
        let gone = current.is_some_and(|(open, _)| *open == stream);
        if gone {
            self.open.remove(&incarnation);
        }
        gone
    }

    pub(super) fn send(&self, message: &OwnerMessage) {
        if let Some((_, outlet)) = self.open.get(&message.incarnation) {
            let answer = Ok(wire::owner_message(message, self.store));
            if outlet.sender.try_send(answer).is_err() {
                metrics::quota_answer_dropped();
            }
        }
    }

    /// Ends all of them with a reason. Returns whose they were.
    pub(super) fn end(&mut self, error: &Error) -> Vec<Incarnation> {
        let ended = self.open.drain().map(|(incarnation, (_, outlet))| {
            // A full channel means that nobody reads: the end of the stream must do then.
            let _ = outlet.sender.try_send(Err(error.clone().into()));
            outlet.ended.cancel();
            incarnation
        });
        ended.collect()
    }
}
