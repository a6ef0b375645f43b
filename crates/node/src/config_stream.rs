//! Listens to the control plane for policy and keys.
//!
//! What arrives is checked and compiled off the way of requests, then swapped in and acknowledged. What cannot
//! be run is refused with the reason, and the last good policy goes on. A lost stream changes nothing for
//! callers; it is opened again, at the next address, after a growing and random wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tollgate_proto::node::v1::config_service_client::ConfigServiceClient;
use tollgate_proto::node::v1::stream_config_request::Message as Say;
use tollgate_proto::node::v1::stream_config_response::Message as Heard;
use tollgate_proto::node::v1::{
    Hello, NodeHeartbeat, PolicyAck, PolicyNack, PolicyUpdate, ResolveKey, StreamConfigRequest,
    StreamConfigResponse,
};
use tonic::{Status, Streaming};

use crate::app::Node;
use crate::control::Control;
use crate::keys::Hash;
use crate::metrics;

/// How often to give a sign of life, and how long the control plane may be silent.
const HEARTBEAT: Duration = Duration::from_secs(2);
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// Keeps a stream open for as long as it is polled.
pub(crate) async fn run(node: Arc<Node>, mut control: Control, mut asked: mpsc::Receiver<Hash>) {
    loop {
        let error = listen(&node, &mut control, &mut asked).await;
        metrics::connected("config", false);
        control.report("config", &error);
        control.next_after_wait().await;
    }
}

/// Opens a stream and listens until it breaks.
async fn listen(
    node: &Arc<Node>,
    control: &mut Control,
    asked: &mut mpsc::Receiver<Hash>,
) -> Status {
    let (say, said) = mpsc::channel(64);
    let (known, pending) = node.keys.hashes();
    let hello = Say::Hello(Hello {
        node: node.config.name.clone(),
        incarnation: node.incarnation,
        address: node.config.advertised_address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: node
            .revision()
            .map_or(0, |revision| revision.table.revision()),
        key_hashes: known
            .iter()
            .map(|hash| bytes::Bytes::copy_from_slice(hash))
            .collect(),
    });
    if send(&say, hello).is_err() {
        return Status::internal("queue the first message");
    }
    let mut stream = match open(control, said).await {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    control.connected();
    metrics::connected("config", true);
    // Requests wait for these; the stream that the question was put on may be gone.
    for hash in pending {
        if send(&say, resolve(&hash)).is_err() {
            return Status::unavailable("the control plane does not read what is said");
        }
    }
    match exchange(node, &say, &mut stream, asked).await {
        Ok(()) => Status::unavailable("the control plane ended the stream"),
        Err(status) => status,
    }
}

async fn open(
    control: &Control,
    said: mpsc::Receiver<StreamConfigRequest>,
) -> Result<Streaming<StreamConfigResponse>, Status> {
    let mut client = ConfigServiceClient::new(control.channel()?)
        // A policy is a few hundred kilobytes at most; this is what the store can hold.
        .max_decoding_message_size(16 * 1024 * 1024);
    let request = control.authorised(ReceiverStream::new(said))?;
    let opened = timeout(LONGEST_SILENCE, client.stream_config(request)).await;
    let response =
        opened.map_err(|_| Status::deadline_exceeded("no answer to the first message"))??;
    Ok(response.into_inner())
}

async fn exchange(
    node: &Arc<Node>,
    say: &mpsc::Sender<StreamConfigRequest>,
    stream: &mut Streaming<StreamConfigResponse>,
    asked: &mut mpsc::Receiver<Hash>,
) -> Result<(), Status> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = stream.message() => match message? {
                Some(message) => {
                    heard = Instant::now();
                    hear(node, say, message).await?;
                }
                None => return Ok(()),
            },
            Some(hash) = asked.recv() => send(say, resolve(&hash))?,
            _ = heartbeat.tick() => {
                if heard.elapsed() > LONGEST_SILENCE {
                    return Err(Status::deadline_exceeded("the control plane has fallen silent"));
                }
                let in_flight = u32::try_from(node.gate.in_flight()).unwrap_or(u32::MAX);
                send(say, Say::Heartbeat(NodeHeartbeat { in_flight }))?;
            }
        }
    }
}

async fn hear(
    node: &Arc<Node>,
    say: &mpsc::Sender<StreamConfigRequest>,
    message: StreamConfigResponse,
) -> Result<(), Status> {
    match message.message {
        Some(Heard::Policy(update)) => {
            let answer = apply(node, update).await;
            send(say, answer)
        }
        Some(Heard::Key(update)) => {
            if node.keys.update(&update) {
                node.changed.notify_one();
            }
            Ok(())
        }
        // Silence is what is watched for; a message of a later version is none.
        Some(Heard::Heartbeat(_)) | None => Ok(()),
    }
}

/// Runs a policy, or keeps the one that runs.
async fn apply(node: &Arc<Node>, update: PolicyUpdate) -> Say {
    let revision = update.revision;
    match node.adopt(update).await {
        Ok(()) => {
            tracing::info!(revision, "running a policy revision");
            Say::Ack(PolicyAck { revision })
        }
        Err(reason) => {
            metrics::policy_refused();
            tracing::error!(
                revision,
                reason,
                "refusing a policy revision, the last good one goes on"
            );
            Say::Nack(PolicyNack { revision, reason })
        }
    }
}

fn resolve(hash: &Hash) -> Say {
    Say::ResolveKey(ResolveKey {
        hash: bytes::Bytes::copy_from_slice(hash),
    })
}

/// Queues a message. A control plane that does not read is as good as gone: nothing here waits for it.
fn send(say: &mpsc::Sender<StreamConfigRequest>, message: Say) -> Result<(), Status> {
    say.try_send(StreamConfigRequest {
        message: Some(message),
    })
    .map_err(|_| Status::unavailable("the control plane does not read what is said"))
}
