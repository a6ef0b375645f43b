//! One node: the state machine, its stream, and demand.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tollgate_proto::node::v1::StreamQuotaRequest;
use tollgate_proto::node::v1::quota_service_client::QuotaServiceClient;
use tollgate_quota::node::{Ask, Config, Node, Outcome, RequestId, Scope};
use tollgate_quota::{Counter, Incarnation, NodeTime, OwnerTime, Window};

use crate::{Seen, WINDOW_MS, wire};

/// Requests come in so often, as many as are due, in milliseconds.
const DEMAND_EVERY_MS: u64 = 5;
/// How long a request waits, as in a node.
const PATIENCE_MS: u64 = 1_000;
/// Messages that may wait for the stream.
const OUTGOING: usize = 64;

struct Simulated {
    machine: Node,
    asks: Vec<Ask>,
    begin: Instant,
    seen: Rc<RefCell<Seen>>,
}

/// Runs a node until the windows that are measured are over. Fails where its stream does.
pub(crate) async fn run(
    url: String,
    (number, rate): (u64, f64),
    counter: Counter,
    seen: Rc<RefCell<Seen>>,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let incarnation = Incarnation(now_nanos() ^ number << 48);
    let mut node = Simulated {
        machine: Node::new(&format!("node-{number}"), incarnation, Config::default()),
        asks: vec![Ask { counter, units: 1 }],
        begin,
        seen,
    };
    let mut client = QuotaServiceClient::connect(url).await?;
    let (outgoing, messages) = mpsc::channel::<StreamQuotaRequest>(OUTGOING);
    node.machine.connected(node.now());
    node.send_due(&outgoing).await?;
    let stream = client.stream_quota(ReceiverStream::new(messages)).await?;
    let mut incoming = stream.into_inner();
    // Nodes do not start at the same moment, and have begun a part of a request each.
    let (mut demand_at, mut owed) = (node.now(), (number % 10) as f64 / 10.0);
    let end = node.seen.borrow().measured.1.start(WINDOW_MS);
    while wall() < end {
        let due = node.due().min(demand_at);
        tokio::select! {
            message = incoming.message() => {
                let message = message?.ok_or("the owner ended the stream")?;
                for message in wire::decode(&message) {
                    node.machine.receive(node.now(), &message);
                }
                node.note(|seen| seen.received += 1);
            }
            () = sleep_until(begin + Duration::from_millis(due.0)) => {}
        }
        let now = node.now();
        if now >= demand_at {
            owed += rate * (DEMAND_EVERY_MS + now.since(demand_at)) as f64;
            demand_at = now.after(DEMAND_EVERY_MS);
            while owed >= 1.0 {
                owed -= 1.0;
                node.request();
            }
        }
        node.machine.tick(now);
        node.wake();
        node.send_due(&outgoing).await?;
    }
    Ok(())
}

impl Simulated {
    fn now(&self) -> NodeTime {
        NodeTime(u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the machine wants to be looked after.
    fn due(&self) -> NodeTime {
        let machine = &self.machine;
        let due = [machine.next_message(), machine.next_tick()];
        let due = due.into_iter().flatten();
        due.fold(machine.next_heartbeat(), NodeTime::min)
    }

    /// Counts what belongs to the windows that are measured.
    fn note(&self, what: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.borrow_mut();
        if seen.is_measured(wall()) {
            what(&mut seen);
        }
    }

    fn request(&mut self) {
        let window = Window::at(wall(), WINDOW_MS);
        self.seen.borrow_mut().windows.entry(window).or_default().0 += 1;
        let now = self.now();
        let until = now.after(PATIENCE_MS);
        let (id, outcome) = self.machine.reserve(now, &self.asks, until);
        self.resolve(id, outcome);
    }

    /// A request that is taken is stamped, and one that is admitted settled.
    fn resolve(&mut self, id: RequestId, mut outcome: Outcome) {
        if outcome == Outcome::Taken {
            outcome = self.machine.stamp(self.now(), id);
        }
        match outcome {
            Outcome::Admitted(admission) => {
                for limit in &admission.limits {
                    let mut seen = self.seen.borrow_mut();
                    seen.windows.entry(limit.window).or_default().1 += 1;
                }
                if self.machine.settle(self.now(), id, &[1]).is_err() {
                    let failure = format!("{id:?} was admitted and cannot be settled");
                    self.seen.borrow_mut().failures.push(failure);
                }
            }
            Outcome::Denied(denial) if !denial.why.is_for_want_of_units() => {
                self.note(|seen| seen.undecided += 1);
            }
            Outcome::Denied(_) | Outcome::Waiting | Outcome::Taken => {}
        }
    }

    fn wake(&mut self) {
        while let Some(wake) = self.machine.poll_wake() {
            self.resolve(wake.id, wake.outcome);
        }
    }

    async fn send_due(
        &mut self,
        outgoing: &mpsc::Sender<StreamQuotaRequest>,
    ) -> Result<(), Box<dyn Error>> {
        let now = self.now();
        let scope = if now >= self.machine.next_heartbeat() {
            Scope::All
        } else if self.machine.next_message().is_some_and(|at| at <= now) {
            Scope::Changed
        } else {
            return Ok(());
        };
        if let Some(message) = self.machine.poll_message(now, scope) {
            self.note(|seen| {
                seen.sent += 1;
                seen.beats += u64::from(scope == Scope::All);
            });
            outgoing.send(wire::encode(&message)).await?;
        }
        self.wake();
        Ok(())
    }
}

/// The wall clock, which is the owner's too: all runs on one machine.
pub(crate) fn wall() -> OwnerTime {
    OwnerTime(now_nanos() / 1_000_000)
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads real clocks")]
fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
