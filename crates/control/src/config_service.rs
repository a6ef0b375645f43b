//! `ConfigService`: one stream per node, over which policy and keys flow.

mod server;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_proto::node::v1::stream_config_request::Message as FromNode;
use tollgate_proto::node::v1::stream_config_response::Message as ToNode;
use tollgate_proto::node::v1::{
    ControlHeartbeat, Hello, StreamConfigRequest, StreamConfigResponse,
};
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, debug, info, info_span, warn};

use self::server::Frame;
pub(crate) use self::server::Server;
use crate::admission::Admission;
use crate::backoff::Backoff;
use crate::directory::{Directory, Follow, Inbox, MOST_KEYS};
use crate::error::{Error, Result};
use crate::keys::Hash;
use crate::metrics;
use crate::nodes::{Nodes, Session};
use crate::snapshot::Current;

/// Our sign of life goes out so often.
const BEAT: Duration = Duration::from_secs(2);
/// A node that has said nothing, or taken nothing, for so long is given up. It beats at least every 5 s.
const SILENCE: Duration = Duration::from_secs(15);
/// Answers that may wait for a slow node. Changes beyond them are held back and merged.
const OUTBOUND: usize = 16;
/// Keys looked up at once for one node.
const LOOKUPS: usize = 16;
/// Longest name, address or version a node may give, in bytes.
const MOST_TEXT: usize = 255;

/// What a node is sent.
type Answer = Result<Frame, Status>;
type Answers = ReceiverStream<Answer>;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: Current,
    directory: Arc<Directory>,
    nodes: Arc<Nodes>,
    admission: Admission,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Service {
    pub(crate) fn new(
        current: Current,
        directory: Arc<Directory>,
        nodes: Arc<Nodes>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let admission = Admission::new(Duration::from_millis(20), 50, Duration::from_secs(5));
        Self {
            shared: Arc::new(Shared {
                current,
                directory,
                nodes,
                admission,
                tasks,
                shutdown,
            }),
        }
    }
}

impl Service {
    async fn stream_config(
        &self,
        request: Request<Streaming<StreamConfigRequest>>,
    ) -> Result<Response<Answers>, Status> {
        self.shared.admission.enter().await?;
        let mut inbound = request.into_inner();
        let (sender, receiver) = mpsc::channel(OUTBOUND);
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            let shutdown = shared.shutdown.clone();
            let serve = serve(&shared, &mut inbound, &sender);
            let end = tokio::select! {
                end = serve => end,
                () = shutdown.cancelled() => Err(Error::Busy("this control replica is going down")),
            };
            if let Err(error) = end {
                // A full channel means that nobody reads: the end of the stream must do then.
                let _ = sender.try_send(Err(error.into()));
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Serves one node until its stream ends.
async fn serve(
    shared: &Shared,
    inbound: &mut Streaming<StreamConfigRequest>,
    outbound: &mpsc::Sender<Answer>,
) -> Result<()> {
    let hello = match timeout(SILENCE, inbound.message()).await {
        Ok(Ok(Some(StreamConfigRequest {
            message: Some(FromNode::Hello(hello)),
        }))) => hello,
        Ok(Ok(Some(_))) => return Err(Error::Protocol("a stream begins with `hello`".to_owned())),
        Ok(Ok(None) | Err(_)) => return Ok(()),
        Err(_) => return Err(Error::Silent),
    };
    check(&hello)?;
    let span = info_span!("node", name = hello.node, incarnation = hello.incarnation);
    let mut stream = NodeStream {
        session: shared
            .nodes
            .enter(&hello, current_revision(&shared.current)),
        inbox: Arc::new(Inbox::default()),
        asked: VecDeque::new(),
        lookups: JoinSet::new(),
        shared,
        outbound,
    };
    let run = async {
        info!(
            address = hello.address,
            revision = hello.revision,
            "node connected"
        );
        for hash in &hello.key_hashes {
            stream.ask(hash)?;
        }
        let end = stream.run(inbound).await;
        info!("node disconnected");
        end
    };
    let end = run.instrument(span).await;
    shared.directory.leave(&stream.inbox);
    end
}

fn current_revision(current: &Current) -> u64 {
    current
        .borrow()
        .as_ref()
        .map_or(0, |snapshot| snapshot.revision)
}

fn check(hello: &Hello) -> Result<()> {
    if hello.node.is_empty() {
        return Err(Error::Protocol(
            "`hello.node` is empty: give the node a name".to_owned(),
        ));
    }
    let longest = [&hello.node, &hello.address, &hello.version].map(|text| text.len());
    if longest.into_iter().any(|length| length > MOST_TEXT) {
        let reason =
            format!("`hello` has a name, address or version of more than {MOST_TEXT} bytes");
        return Err(Error::Protocol(reason));
    }
    Ok(())
}

/// The state of one node's stream.
struct NodeStream<'a> {
    shared: &'a Shared,
    session: Session,
    inbox: Arc<Inbox>,
    /// Keys to be looked up.
    asked: VecDeque<Hash>,
    lookups: JoinSet<()>,
    outbound: &'a mpsc::Sender<Answer>,
}

impl NodeStream<'_> {
    async fn run(&mut self, inbound: &mut Streaming<StreamConfigRequest>) -> Result<()> {
        let mut current = self.shared.current.clone();
        // The policy that is current now goes out before anything else.
        current.mark_unchanged();
        let mut sent = self.send_policy(&current, 0).await?;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            self.look_up();
            let inbox = Arc::clone(&self.inbox);
            tokio::select! {
                changed = current.changed() => {
                    changed.map_err(|_| Error::Busy("this control replica is going down"))?;
                    sent = self.send_policy(&current, sent).await?;
                }
                message = inbound.message() => {
                    heard_at = Instant::now();
                    match message {
                        Ok(Some(StreamConfigRequest { message: Some(message) })) => self.hear(message)?,
                        // A message of a later version: the node will do without an answer.
                        Ok(Some(StreamConfigRequest { message: None })) => {}
                        Ok(None) => return Ok(()),
                        Err(status) => {
                            debug!(code = ?status.code(), "stream broke");
                            return Ok(());
                        }
                    }
                }
                updates = inbox.take() => {
                    for update in updates {
                        self.send(ToNode::Key(update)).await?;
                    }
                }
                Some(_) = self.lookups.join_next() => {}
                _ = beat.tick() => {
                    let revision = current_revision(&current);
                    self.send(ToNode::Heartbeat(ControlHeartbeat { revision })).await?;
                }
                () = sleep_until(heard_at + SILENCE) => {
                    warn!("node went silent, closing its stream");
                    return Err(Error::Silent);
                }
            }
        }
    }

    fn hear(&mut self, message: FromNode) -> Result<()> {
        match message {
            FromNode::Hello(_) => {
                return Err(Error::Protocol("`hello` came twice".to_owned()));
            }
            FromNode::Ack(ack) => {
                debug!(revision = ack.revision, "node runs the revision");
                self.session.acked(ack.revision);
            }
            FromNode::Nack(nack) => {
                warn!(
                    revision = nack.revision,
                    reason = nack.reason,
                    "node refused the revision"
                );
                metrics::policy_nacked();
                self.session.nacked(nack.revision, shorten(nack.reason));
            }
            FromNode::ResolveKey(resolve) => self.ask(&resolve.hash)?,
            FromNode::Heartbeat(beat) => self.session.heard(beat.in_flight),
        }
        Ok(())
    }

    /// Notes a key to be looked up.
    fn ask(&mut self, hash: &[u8]) -> Result<()> {
        let hash = Hash::try_from(hash)
            .map_err(|_| Error::Protocol("the hash of a key has 32 bytes".to_owned()))?;
        match self.shared.directory.follow(&self.inbox, hash) {
            Follow::New => self.asked.push_back(hash),
            Follow::Known => {}
            Follow::TooMany => warn!(
                most = MOST_KEYS,
                "node asks for more keys than it may follow"
            ),
        }
        Ok(())
    }

    /// Looks keys up, a few at once.
    fn look_up(&mut self) {
        while self.lookups.len() < LOOKUPS
            && let Some(hash) = self.asked.pop_front()
        {
            let directory = Arc::clone(&self.shared.directory);
            let inbox = Arc::clone(&self.inbox);
            self.lookups
                .spawn(async move { look_up(&directory, &inbox, &hash).await });
        }
    }

    /// Sends the current policy, unless it was sent already or there is none yet.
    async fn send_policy(&self, current: &Current, sent: u64) -> Result<u64> {
        let snapshot = current.borrow().clone();
        match snapshot {
            Some(snapshot) if snapshot.revision > sent => {
                self.send_frame(Frame::Encoded(snapshot.encoded.clone()))
                    .await?;
                Ok(snapshot.revision)
            }
            Some(_) | None => Ok(sent),
        }
    }

    async fn send(&self, message: ToNode) -> Result<()> {
        let message = Some(message);
        self.send_frame(Frame::Message(Box::new(StreamConfigResponse { message })))
            .await
    }

    async fn send_frame(&self, frame: Frame) -> Result<()> {
        let sent = self.outbound.send_timeout(Ok(frame), SILENCE).await;
        sent.map_err(|_| Error::Silent)
    }
}

/// Looks a key up until the store answers.
async fn look_up(directory: &Directory, inbox: &Arc<Inbox>, hash: &Hash) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    while let Err(error) = directory.resolve(inbox, hash).await {
        let wait = backoff.fail();
        debug!(%error, ?wait, "cannot look a key up, trying again");
        tokio::time::sleep(wait).await;
    }
}

/// A reason is for people: a sentence, not a page.
fn shorten(mut reason: String) -> String {
    const MOST: usize = 1000;
    if reason.len() > MOST {
        reason.truncate(reason.floor_char_boundary(MOST));
    }
    reason
}
