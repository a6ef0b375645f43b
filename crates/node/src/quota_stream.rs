//! Carries the limiter's messages to the owners of limits and theirs back.
//!
//! Every control replica owns some shards of counters and says which, so a stream is kept open to each, and what is
//! said of a counter goes to its owner ([`links`]).
//!
//! Every message holds totals, so nothing is sent twice on purpose and nothing is lost with a stream: whoever comes to
//! own a shard is told everything.

mod links;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tollgate_proto::node::v1::quota_service_client::QuotaServiceClient;
use tollgate_quota::Counter;
use tollgate_quota::node::Scope;
use tonic::Status;

use self::links::{Beside, Links};
use crate::app::Node;
use crate::control::Control;
use crate::limiter::Limiter;
use crate::{clock, metrics, random, wire};

/// Owners answer every heartbeat, which is sent once a second.
const LONGEST_SILENCE: Duration = Duration::from_secs(3);
/// Messages that may wait for one stream. Beyond that it is stuck, and they are said again with the next heartbeat.
const WAITING: usize = 64;

/// How often the clocks are compared.
const CLOCK_CHECK: Duration = Duration::from_millis(500);

/// Keeps a stream open to every replica for as long as it is polled, or until the limiter has been drained and has
/// said so.
pub(crate) async fn run(node: Arc<Node>, control: Control) {
    let replicas = control.each();
    let links = Links::new(replicas.len());
    let streams = replicas.into_iter().enumerate();
    let streams = streams.map(|(index, replica)| keep_open(&node, &links, (index, replica)));
    tokio::join!(join_all(streams), say(&node, &links));
}

/// Hands the limiter's messages to the streams that they are for, and says whom the node leaves out with every
/// heartbeat.
async fn say(node: &Node, links: &Links) {
    loop {
        tokio::select! {
            () = links.opened() => {}
            // Where nobody can be told anything, there is nothing to wait for.
            () = node.limiter.draining() => {}
        }
        let told = |counter: &Counter| links.lead_to(counter);
        let Some(outgoing) = node.limiter.next_message(told).await else {
            return links.finish();
        };
        let is_heartbeat = outgoing.scope == Scope::All;
        let beside = Beside {
            store: node.limiter.store(),
            left_out: is_heartbeat.then(|| node.left_out()),
        };
        links.send(&outgoing, &beside);
    }
}

/// Keeps the stream to one replica.
async fn keep_open(node: &Node, links: &Links, (index, mut replica): (usize, Control)) {
    while !links.is_finished() {
        let ended = exchange(node, links, (index, &mut replica)).await;
        metrics::connected("quota", links.close(index));
        if links.is_finished() {
            return;
        }
        match ended {
            Ok(()) => replica.report("quota", &Status::unavailable("the owner ended the stream")),
            Err(status) => replica.report("quota", &status),
        }
        tokio::select! {
            () = replica.next_after_wait() => {}
            () = links.finished() => {}
        }
    }
}

async fn exchange(
    node: &Node,
    links: &Links,
    (index, replica): (usize, &mut Control),
) -> Result<(), Status> {
    let limiter = &node.limiter;
    let mut client = QuotaServiceClient::new(replica.channel()?);
    let (sender, messages) = mpsc::channel(WAITING);
    let greeting = limiter.greeting();
    let term = greeting.term;
    let beside = Beside {
        store: limiter.store(),
        left_out: Some(node.left_out()),
    };
    let said = sender.try_send(links::encode(&greeting.message, &beside));
    said.map_err(|_| Status::internal("a stream has no room for its first message"))?;
    let request = replica.authorised(ReceiverStream::new(messages))?;
    let silent = |_| Status::deadline_exceeded("the owner has fallen silent");
    let opened = tokio::select! {
        opened = timeout(LONGEST_SILENCE, client.stream_quota(request)) => opened.map_err(silent)??,
        () = links.finished() => return Ok(()),
    };
    let mut stream = opened.into_inner();
    let given_up = links.open(index, term, sender);
    loop {
        let message = tokio::select! {
            message = timeout(LONGEST_SILENCE, stream.message()) => message.map_err(silent)??,
            () = given_up.cancelled() => None,
        };
        let Some(message) = message else {
            return Ok(());
        };
        replica.connected();
        links.heard(index);
        limiter.stands_in(message.store);
        for message in wire::decode(&message) {
            limiter.receive(&message);
        }
        if let Some(fleet) = &message.fleet {
            node.hear_of(fleet);
        }
        if let Some(owned) = &message.owned
            && links.own(index, owned)
        {
            limiter.connected();
            metrics::connected("quota", links.is_complete());
        }
    }
}

/// Begins anew where the clocks show that this machine stood still: a snapshot of it was resumed, and the clock
/// that leases are kept by does not know how long that took.
pub(crate) async fn watch_clocks(limiter: Arc<Limiter>) {
    let mut before = clock::offset();
    loop {
        tokio::time::sleep(CLOCK_CHECK).await;
        let Some(offset) = clock::offset() else {
            continue;
        };
        if before.is_some_and(|before| offset.abs_diff(before) > clock::LARGEST_JUMP) {
            tracing::warn!(
                "the wall clock jumped: leases are given up, as this may be a resumed snapshot"
            );
            limiter.begin_anew(random::number());
        }
        before = Some(offset);
    }
}
