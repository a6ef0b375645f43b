//! Copies of requests, sent to deployments that are to be compared with those that serve.
//!
//! A copy is a request of its own: it is led by the same code, to the route's shadow pool, counted by limits on copies alone,
//! and settled by a meter of its own. The request that it is a copy of knows nothing of it but that a [`Witness`] is to be
//! told how it went. Texts are compared as they pass, by hash and length; none is kept, and none is logged.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::Node;
use crate::arriving::Claim;
use crate::asked::Asked;
use crate::complete::{Answer, Answered, finish, refuse};
use crate::dispatch::{Case, dispatch};
use crate::error::Error;
use crate::executor::Bounded;
use crate::limiter::Limiter;
use crate::meter::{Meter, Witness, Witnessed};
use crate::metrics::shadow as metrics;
use crate::permit::Permit;
use crate::plan::Plan;
use crate::prepared::Prepared;
use crate::random;
use crate::weight::weight;

/// The copies that are under way.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A copy of a request.
struct Twin {
    limiter: Arc<Limiter>,
    request: Prepared,
    /// The limits on copies that count it.
    plan: Arc<Plan>,
    /// The model that the request itself is for.
    of: Arc<str>,
    _memory: Claim,
}

impl Copies {
    /// Makes a copy of a request that its limits have admitted, where its route has copies made and this one is drawn.
    /// Answers whoever is to be told what becomes of the request itself.
    pub(crate) fn make(&self, node: &Node, case: &Case<'_>) -> Option<Box<Witness>> {
        let shadow = case.route.shadow.as_ref()?;
        if random::number() % 100 >= u64::from(shadow.percent) {
            return None;
        }
        let of = &case.request.model.name;
        let (copy, place) = match copy(node, case) {
            Ok(made) => made?,
            Err(why) => {
                metrics::copies(of, why);
                return None;
            }
        };
        let (tell, hear) = oneshot::channel();
        let stop = self.stop.clone();
        self.tasks.spawn(Bounded::new(async move {
            tokio::select! {
                () = copy.run(hear) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        }));
        Some(Box::new(Witness::new(tell)))
    }

    /// Gives up all of them, and waits until they have settled.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A copy of a request, with its place among those under way. Nothing where the request is of a kind that is not copied.
///
/// # Errors
/// Why there is no room for it.
fn copy(
    node: &Node,
    case: &Case<'_>,
) -> Result<Option<(Twin, OwnedSemaphorePermit)>, &'static str> {
    let (Some(shadow), Asked::Completion { request, stream }) =
        (&case.route.shadow, &case.request.asked)
    else {
        return Ok(None);
    };
    let Prepared {
        revision,
        key,
        model,
        counted,
        bounds,
        ..
    } = case.request;
    let place = revision.place_of_copy(&shadow.model).ok_or("too_many")?;
    let memory = node.bodies.spare(weight(request)).ok_or("no_memory")?;
    let plan = Plan::of_copies(revision, key, model).map_err(|_| "not_counted")?;
    let request = Prepared {
        revision: Arc::clone(revision),
        key: Arc::clone(key),
        model: Arc::clone(&shadow.model),
        asked: Asked::Completion {
            request: request.clone(),
            stream: *stream,
        },
        counted: counted.clone(),
        bounds: *bounds,
    };
    let copy = Twin {
        limiter: Arc::clone(&node.limiter),
        request,
        plan: Arc::new(plan),
        of: Arc::clone(&model.name),
        _memory: memory,
    };
    Ok(Some((copy, place)))
}

impl Twin {
    /// Sends it, and compares what comes of it with what comes of the request.
    async fn run(self, original: oneshot::Receiver<Witnessed>) {
        let of = Arc::clone(&self.of);
        let (tell, hear) = oneshot::channel();
        if !self.send(Witness::new(tell)).await {
            metrics::copies(&of, "limited");
            return;
        }
        metrics::copies(&of, "sent");
        // Each is told when its meter is dropped.
        if let (Ok(copy), Ok(original)) = tokio::join!(hear, original) {
            metrics::compared(&of, &original, &copy);
        }
    }

    /// False where a limit has no room for it.
    async fn send(self, witness: Witness) -> bool {
        let Prepared {
            revision,
            model,
            bounds,
            ..
        } = &self.request;
        let started = Instant::now();
        let until = started + model.deadline;
        let needs = self.plan.needs(revision, model, bounds);
        let permit = Permit::take(&self.limiter, &self.plan, needs, until).await;
        let Ok(permit) = permit else { return false };
        let mut meter = Meter::start("shadow", started);
        let number = revision.table.revision();
        meter.asked(model, number, &self.request.asked, *bounds);
        meter.admitted(permit);
        meter.watched(Some(Box::new(witness)));
        let work = async {
            let case = Case::of_copy(&self.limiter, &self.request)?;
            dispatch(&case, &mut case.attempts(), &mut meter).await
        };
        let late = Err(Error::DeadlineExceeded);
        match timeout_at(until, work).await.unwrap_or(late) {
            Ok(reply) => {
                let answered = Answered {
                    model: Arc::clone(model),
                    until,
                    reply,
                    rest: None,
                };
                if let Ok(Answer::Stream(mut stream)) = finish(meter, answered) {
                    while let Some(Ok(_)) = stream.next().await {}
                }
            }
            Err(error) => drop(refuse(meter, error)),
        }
        true
    }
}
