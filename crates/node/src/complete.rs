//! The request itself.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, Sleep, timeout_at};
use tollgate_policy::table::Model;
use tollgate_proto::completion::v1::Explanation;
use tollgate_provider::chat::{self, Chunk};
use tollgate_provider::embeddings;

use crate::app::Node;
use crate::asked::Asked;
use crate::deadline::Patience;
use crate::dispatch::{Begun, Case, Continuation, Reply, dispatch};
use crate::error::Error;
use crate::meter::{Meter, Summary};
use crate::permit::{LimitState, Needs, Permit};
use crate::plan::Plan;
use crate::prepared::Prepared;
use crate::upstream::Ended;
use crate::{executor, explain};

/// A request as it came in, before anything is known of it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// `grpc` or `http`.
    pub(crate) edge: &'static str,
    /// Value of the `authorization` header.
    pub(crate) authorization: Option<&'a [u8]>,
    /// When it came in, and how long the caller waits.
    pub(crate) patience: Patience,
    /// Whether the caller wants to know why the request goes where it goes.
    pub(crate) explain: bool,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// In one piece.
    Whole(Box<Whole<chat::Response>>),
    /// Piece by piece.
    Stream(Box<AnswerStream>),
    /// Vectors.
    Embeddings(Box<Whole<embeddings::Response>>),
}

/// An answer in one piece.
#[derive(Debug)]
pub(crate) struct Whole<R> {
    pub(crate) head: Head,
    pub(crate) response: R,
    pub(crate) summary: Summary,
}

/// What is known of an answer before its first word.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Identifier of the request.
    pub(crate) id: String,
    /// The model's name in the policy.
    pub(crate) model: Arc<str>,
    /// The limits that admitted it.
    pub(crate) limits: LimitState,
    /// What decided, where the caller wants to know.
    pub(crate) explanation: Option<Arc<Explanation>>,
}

/// A refusal, and the state of the limits where they are the reason.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) limits: LimitState,
    /// What decided, where the caller wants to know and it came so far.
    pub(crate) explanation: Option<Arc<Explanation>>,
    /// Identifier of the request.
    pub(crate) id: String,
}

/// Answers a request. `decode` is only called for a caller whose key is good.
///
/// # Errors
/// Why it was not answered. It has been settled and logged by then.
pub(crate) async fn complete(
    node: &Node,
    call: Call<'_>,
    decode: impl FnOnce() -> Result<Asked, Error>,
) -> Result<Answer, Box<Refused>> {
    let mut meter = Meter::start(call.edge, call.patience.arrived());
    // On the heap, as it is large and would be moved by each layer around it.
    match Box::pin(answer(node, call, decode, &mut meter)).await {
        Ok(answered) => finish(meter, answered),
        Err(error) => Err(refuse(meter, error)),
    }
}

/// A provider answers.
pub(crate) struct Answered {
    pub(crate) model: Arc<Model>,
    /// The moment that ends the request.
    pub(crate) until: Instant,
    pub(crate) reply: Reply,
    /// What it takes to go on with a stream that breaks off, where that is to be done.
    pub(crate) rest: Option<Box<Continuation>>,
}

async fn answer(
    node: &Node,
    call: Call<'_>,
    decode: impl FnOnce() -> Result<Asked, Error>,
    meter: &mut Meter,
) -> Result<Answered, Error> {
    let revision = node.in_force()?;
    let known = node.keys.authenticate(call.authorization);
    let key = call.patience.bound(known).await?;
    meter.caller(&key);
    key.admit()?;
    let request = Prepared::new(revision, key, decode()?)?;
    let Prepared {
        revision,
        key,
        model,
        ..
    } = &request;
    let until = call.patience.within(model.deadline);
    meter.counted(request.counted.clone());
    let (number, operation) = (revision.table.revision(), request.asked.operation());
    meter.asked(model, number, operation, request.bounds);
    let work = async {
        let plan = key.plan(revision, model)?;
        request.check_price(&plan)?;
        let needs = plan.needs(revision, model, &request.bounds);
        let reserved = reserve(node, Arc::clone(&plan), (needs, until), meter).await;
        key.note_room(reserved.as_ref().err());
        reserved?;
        let case = Case::new(&node.limiter, &request, &plan)?;
        meter.routed(case.route.variant.as_ref());
        meter.watched(node.copies.make(node, &case));
        if call.explain {
            meter.explained(explain::admitted(&case, &plan, &needs));
        }
        let mut attempts = case.attempts();
        let reply = dispatch(&case, &mut attempts, meter).await?;
        Ok((reply, (case.place, attempts.into_tried())))
    };
    let (reply, way) = timeout_at(until, work)
        .await
        .unwrap_or(Err(Error::DeadlineExceeded))?;
    Ok(Answered {
        model: Arc::clone(model),
        until,
        reply,
        rest: Continuation::new((&node.limiter, &node.bodies), request, way),
    })
}

async fn reserve(
    node: &Node,
    plan: Arc<Plan>,
    (needs, until): (Needs, Instant),
    meter: &mut Meter,
) -> Result<(), Error> {
    match Permit::take(&node.limiter, &plan, needs, until).await {
        Ok(permit) => {
            meter.admitted(permit);
            Ok(())
        }
        Err(denial) => {
            let state = plan.state(|counter| node.limiter.view(counter));
            meter.refused(&plan, &denial, state);
            Err(plan.refusal(&denial, &needs))
        }
    }
}

/// Makes an answer of what a provider answers.
///
/// # Errors
/// A defect.
pub(crate) fn finish(mut meter: Meter, answered: Answered) -> Result<Answer, Box<Refused>> {
    let head = Head {
        id: meter.id.clone(),
        model: Arc::clone(&answered.model.name),
        limits: meter.limits(),
        explanation: meter.explanation(),
    };
    match answered.reply {
        Reply::Whole(response) => {
            meter.answered(&response);
            whole(head, meter, *response).map(Answer::Whole)
        }
        Reply::Embeddings(response) => {
            meter.embedded(&response);
            whole(head, meter, *response).map(Answer::Embeddings)
        }
        Reply::Stream(begun) => {
            let (until, rest) = (answered.until, answered.rest);
            let stream = AnswerStream::new(head, meter, *begun, (until, rest));
            Ok(Answer::Stream(Box::new(stream)))
        }
    }
}

fn whole<R>(head: Head, mut meter: Meter, response: R) -> Result<Box<Whole<R>>, Box<Refused>> {
    let Some(summary) = meter.complete() else {
        let what = "summing up the answer";
        return Err(refuse(meter, Error::Internal { what }));
    };
    Ok(Box::new(Whole {
        head,
        response,
        summary,
    }))
}

/// Ends a request with an error.
pub(crate) fn refuse(mut meter: Meter, error: Error) -> Box<Refused> {
    meter.fail(&error);
    Box::new(Refused {
        limits: meter.limits(),
        explanation: meter.explanation(),
        id: meter.id.clone(),
        error,
    })
}

/// An answer piece by piece. Dropping it ends the request at the provider and settles it.
#[derive(Debug)]
pub(crate) struct AnswerStream {
    /// What is known before the first word.
    pub(crate) head: Head,
    meter: Option<Meter>,
    begun: Begun,
    /// What it takes to go on where it breaks off, if it is to.
    rest: Option<Box<Continuation>>,
    deadline: Pin<Box<Sleep>>,
}

/// What a stream brings.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Content: everything that has arrived since the last piece, so that a slow reader gets fewer and larger
    /// ones.
    Chunks(Vec<Chunk>),
    /// The end.
    End(Box<Summary>),
}

/// What a stream's provider brings.
enum Pulled {
    Piece(Piece),
    /// It broke off.
    BrokeOff(Ended),
}

fn pulled(chunks: Vec<Chunk>) -> Option<Result<Pulled, Error>> {
    Some(Ok(Pulled::Piece(Piece::Chunks(chunks))))
}

/// Notes that a provider's stream has begun.
fn begin(meter: &mut Meter, begun: &Begun) {
    meter.streaming(begun.left_out);
    meter.streamed(&begun.chunks);
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        executor::over();
    }
}

impl AnswerStream {
    fn new(
        head: Head,
        mut meter: Meter,
        begun: Begun,
        (until, rest): (Instant, Option<Box<Continuation>>),
    ) -> Self {
        begin(&mut meter, &begun);
        executor::end_by(until);
        let deadline = Box::pin(tokio::time::sleep_until(until));
        Self {
            head,
            meter: Some(meter),
            begun,
            rest,
            deadline,
        }
    }

    /// The next piece; none after the end or an error.
    ///
    /// # Errors
    /// The stream broke. It has been settled and logged by then.
    pub(crate) async fn next(&mut self) -> Option<Result<Piece, Error>> {
        let piece = loop {
            match self.pull().await? {
                Ok(Pulled::Piece(piece)) => break piece,
                Ok(Pulled::BrokeOff(ended)) => {
                    if let Err(error) = self.go_on(&ended).await {
                        return self.fail(error);
                    }
                }
                Err(error) => return self.fail(error),
            }
        };
        if let (Piece::Chunks(chunks), Some(rest)) = (&piece, &mut self.rest) {
            rest.note(chunks);
        }
        Some(Ok(piece))
    }

    async fn pull(&mut self) -> Option<Result<Pulled, Error>> {
        if !self.begun.chunks.is_empty() {
            let chunks = std::mem::take(&mut self.begun.chunks);
            return pulled(chunks);
        }
        let meter = self.meter.as_mut()?;
        if self.begun.over {
            return self.end();
        }
        if meter.can_be_outgrown() {
            let ended_by = tokio::select! {
                biased;
                limit = meter.keep_up() => limit,
                () = &mut self.deadline => None,
            };
            if let Some(limit) = ended_by {
                return pulled(self.begun.stop(meter, limit));
            }
        }
        let mut chunks = Vec::new();
        let live = &mut self.begun.live;
        let result = tokio::select! {
            biased;
            // Looked at first, so that a stream which never pauses ends in time too.
            () = &mut self.deadline => None,
            result = live.next(&mut chunks) => Some(result),
        };
        meter.streamed(&chunks);
        match result {
            Some(Ok(true)) => pulled(chunks),
            Some(Ok(false)) => self.end(),
            Some(Err(ended)) => {
                tracing::debug!(request = meter.id, failure = %ended.failure, "stream broke");
                self.begun.under_way.failed(&ended);
                meter.broke(&ended, live.usage());
                live.give_up();
                Some(Ok(Pulled::BrokeOff(ended)))
            }
            // What had come by then is handed on; the next look at the deadline ends the stream.
            None if !chunks.is_empty() => pulled(chunks),
            None => Some(Err(Error::DeadlineExceeded)),
        }
    }

    /// Goes on elsewhere with a stream that broke off, where policy says so and somebody can.
    async fn go_on(&mut self, ended: &Ended) -> Result<(), Error> {
        let (Some(meter), Some(rest)) = (&mut self.meter, &mut self.rest) else {
            return Err(Error::Truncated);
        };
        let target = self.begun.under_way.target();
        let gone_on = tokio::select! {
            biased;
            () = &mut self.deadline => return Err(Error::DeadlineExceeded),
            gone_on = Box::pin(rest.go_on((ended, target), meter)) => gone_on,
        };
        self.begun = *gone_on.map_err(|error| {
            tracing::debug!(request = meter.id, %error, "nobody goes on with the stream");
            Error::Truncated
        })?;
        begin(meter, &self.begun);
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Option<Result<Piece, Error>> {
        let mut meter = self.meter.take()?;
        meter.fail(&error);
        Some(Err(error))
    }

    fn end(&mut self) -> Option<Result<Pulled, Error>> {
        let mut meter = self.meter.take()?;
        let Begun {
            live, under_way, ..
        } = &self.begun;
        under_way.streamed(meter.streamed_tokens(), live.waited());
        under_way.used(live.usage());
        let piece = match meter.complete() {
            Some(summary) => Ok(Pulled::Piece(Piece::End(Box::new(summary)))),
            None => Err(Error::Internal {
                what: "summing up the answer",
            }),
        };
        Some(piece)
    }
}
