//! `QuotaService`: one stream per node, over which totals and grants flow.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_proto::node::v1::quota_service_server::QuotaService;
use tollgate_proto::node::v1::{LeftOut, StreamQuotaRequest, StreamQuotaResponse};
use tollgate_quota::{Incarnation, NodeMessage};
use tonic::{Request, Response, Status, Streaming};
use tracing::debug;

use crate::error::{Error, Result};
use crate::owner::{Answer, Handle, Outlet};
use crate::sightings::Sightings;
use crate::wire;

/// A node that has said nothing for so long is given up. It beats every second.
const SILENCE: Duration = Duration::from_secs(10);
/// Answers that may wait for one node.
const ANSWERS: usize = 64;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    owner: Handle,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    streams: Arc<AtomicU64>,
    sightings: Arc<Sightings>,
}

impl Service {
    pub(crate) fn new(owner: Handle, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self {
            owner,
            tasks,
            shutdown,
            streams: Arc::default(),
            sightings: Arc::new(Sightings::new()),
        }
    }
}

#[tonic::async_trait]
impl QuotaService for Service {
    type StreamQuotaStream = Pin<Box<dyn Stream<Item = Answer> + Send>>;

    async fn stream_quota(
        &self,
        request: Request<Streaming<StreamQuotaRequest>>,
    ) -> Result<Response<Self::StreamQuotaStream>, Status> {
        let mut inbound = request.into_inner();
        let (sender, answers) = mpsc::channel(ANSWERS);
        let ended = CancellationToken::new();
        let outlet = Outlet { sender, ended };
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let (owner, shutdown) = (self.owner.clone(), self.shutdown.clone());
        let sightings = Arc::clone(&self.sightings);
        self.tasks.spawn(async move {
            let mut opened = None;
            let end = tokio::select! {
                end = listen((&owner, &sightings), &mut inbound, (stream, &outlet), &mut opened) => end,
                () = outlet.ended.cancelled() => Ok(()),
                () = outlet.sender.closed() => Ok(()),
                () = shutdown.cancelled() => Err(Error::Busy("this control replica is going down")),
            };
            if let Some(incarnation) = opened {
                owner.close(stream, incarnation).await;
            }
            if let Err(error) = end {
                // A full channel means that nobody reads: the end of the stream must do then.
                let _ = outlet.sender.try_send(Err(error.into()));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Hands a node's messages on until its stream ends. Notes whose stream it is once the owner knows it.
async fn listen(
    (owner, sightings): (&Handle, &Sightings),
    inbound: &mut Streaming<StreamQuotaRequest>,
    (stream, outlet): (u64, &Outlet),
    opened: &mut Option<Incarnation>,
) -> Result<()> {
    let Some(first) = next(inbound, Instant::now()).await? else {
        return Ok(());
    };
    let incarnation = first.message.incarnation;
    owner.open(stream, incarnation, outlet.clone()).await?;
    *opened = Some(incarnation);
    let mut others = sightings.enter(stream, &first.message.node);
    owner.hear((first.message, first.store)).await?;
    let mut heard_at = Instant::now();
    loop {
        tokio::select! {
            heard = next(inbound, heard_at) => {
                heard_at = Instant::now();
                let Some(heard) = heard? else {
                    return Ok(());
                };
                if heard.message.incarnation != incarnation {
                    return Err(Error::Protocol(
                        "a stream is of one process: open another".to_owned(),
                    ));
                }
                if let Some(left_out) = heard.left_out {
                    others.hear(left_out);
                }
                owner.hear((heard.message, heard.store)).await?;
            }
            fleet = others.news() => {
                let answer = StreamQuotaResponse {
                    fleet: Some(fleet),
                    ..StreamQuotaResponse::default()
                };
                // It is a hint: whose stream is full hears the next one.
                let _ = outlet.sender.try_send(Ok(answer));
            }
        }
    }
}

/// A message of a node.
struct Heard {
    message: NodeMessage,
    /// The store that it speaks of.
    store: u64,
    left_out: Option<LeftOut>,
}

/// The next message after the one that was heard at that time; none where the stream has ended or broken.
async fn next(
    inbound: &mut Streaming<StreamQuotaRequest>,
    heard_at: Instant,
) -> Result<Option<Heard>> {
    match timeout_at(heard_at + SILENCE, inbound.message()).await {
        Ok(Ok(Some(mut message))) => {
            let (store, left_out) = (message.store, message.left_out.take());
            Ok(Some(Heard {
                message: wire::node_message(message)?,
                store,
                left_out,
            }))
        }
        Ok(Ok(None)) => Ok(None),
        Ok(Err(status)) => {
            debug!(code = ?status.code(), "quota stream broke");
            Ok(None)
        }
        Err(_) => Err(Error::Silent),
    }
}
