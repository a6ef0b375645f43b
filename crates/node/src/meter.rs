//! What a request used: counted while it runs, settled once when it is over, however it ends.
//!
//! A [`Meter`] lives exactly as long as its request, stream included. When it is dropped it settles the
//! reservation, writes the request's one log line and its metrics. So an answer, an error, a caller that goes
//! away and a panic all end in the same few lines, which take constant time and wait for nothing.

mod attempts;
mod carry;
mod charge;
mod count;
mod outcome;
mod overrun;
mod whole;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tollgate_policy::price::Bounds;
use tollgate_policy::table::{Deployment, Model, Use};
use tollgate_proto::completion::v1::{AttemptOutcome, Explanation, PassedOver};
use tollgate_provider::chat::{Chunk, Json, Usage, UsageSource};
use tollgate_quota::node::Denial;

use crate::asked::{Asked, Extra, Operation};
use crate::counting::Counted;
use crate::error::Error;
use crate::keys::Known;
use crate::permit::{Charge, LimitState, Permit, Room};
use crate::plan::Plan;
use crate::upstream::Ended;
use crate::{metrics, random};
use attempts::Open;
pub(crate) use attempts::Place;
use carry::Carried;
pub(crate) use count::count_chunk;
pub(crate) use outcome::{Attempt, outcome_name};
use outcome::{failures, labels};
pub(crate) use witness::{Witness, Witnessed};

/// Limits are told of a stream's output while it runs, every so many tokens.
const NOTED_EVERY: u64 = 256;

/// Measures one request.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Identifier of the request.
    pub(crate) id: String,
    edge: &'static str,
    started: Instant,
    first_content: Option<Duration>,
    key: Option<Arc<Known>>,
    model: Option<Arc<Model>>,
    revision: u64,
    permit: Option<Permit>,
    /// The attempts under way: one, or two that race.
    open: [Option<Open>; 2],
    /// What the attempt that answers has taken of ceilings.
    room: Option<Room>,
    limits: LimitState,
    refused_by: Option<Box<str>>,
    attempts: Vec<Attempt>,
    answering: Option<Arc<Deployment>>,
    /// The model that the provider says it used.
    provider_model: String,
    sent: Sent,
    operation: Operation,
    /// What is paid for apart from tokens of text.
    extras: Vec<Extra>,
    /// The most that it was thought to use before it was sent.
    bounds: Bounds,
    counted: Option<Counted>,
    streamed_output: u64,
    /// The part of it that limits were told of.
    noted_output: u64,
    usage: Option<Usage>,
    usage_report: Option<Json>,
    /// What parts of the answer used that broke off.
    carried: Option<Carried>,
    /// What decided, where the caller wants to know.
    explanation: Option<Arc<Explanation>>,
    /// What the policy calls requests that take its route.
    variant: Option<Arc<str>>,
    /// Choices of a stream that have begun and not ended, as bits.
    unfinished: u64,
    /// The limit that ended the stream.
    stopped_by: Option<Arc<str>>,
    /// Whoever wants to know what becomes of it.
    witness: Option<Box<Witness>>,
    ending: &'static str,
}

/// What a request cost and how it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) usage: Usage,
    /// What the provider told of it, in its own words.
    pub(crate) usage_report: Option<Json>,
    /// Billionths of a US dollar; none where the price is not known.
    pub(crate) cost: Option<u64>,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) provider_model: String,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) revision: u64,
    /// What decided, where the caller wants to know.
    pub(crate) explanation: Option<Arc<Explanation>>,
    /// What the policy calls requests that take its route.
    pub(crate) variant: Option<Arc<str>>,
    /// The limit that ended the answer, where one did.
    pub(crate) stopped_by: Option<Arc<str>>,
}

/// How far the request got with providers, which decides what it is charged while no usage is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    /// Nothing was sent: nothing is charged.
    Nothing,
    /// Providers said no: the request counts, tokens do not.
    Refused,
    /// A provider may have done the work: the reservation is charged.
    Perhaps,
    /// A stream is being answered: what has been counted is charged.
    Streaming,
}

// === impl Meter ===

impl Meter {
    /// A request has come in at that time.
    pub(crate) fn start(edge: &'static str, started: Instant) -> Self {
        Self {
            id: format!("tg-{:016x}", random::number()),
            edge,
            started,
            first_content: None,
            key: None,
            model: None,
            revision: 0,
            permit: None,
            open: [None, None],
            room: None,
            limits: LimitState::default(),
            refused_by: None,
            attempts: Vec::new(),
            answering: None,
            provider_model: String::new(),
            sent: Sent::Nothing,
            operation: Operation::default(),
            extras: Vec::new(),
            bounds: Bounds::default(),
            counted: None,
            streamed_output: 0,
            noted_output: 0,
            usage: None,
            usage_report: None,
            carried: None,
            explanation: None,
            variant: None,
            unfinished: 0,
            stopped_by: None,
            witness: None,
            // What holds if nobody says otherwise before the meter is dropped.
            ending: "CANCELLED",
        }
    }

    /// Who asks.
    pub(crate) fn caller(&mut self, key: &Arc<Known>) {
        self.key = Some(Arc::clone(key));
    }

    /// What is asked for.
    pub(crate) fn asked(
        &mut self,
        model: &Arc<Model>,
        revision: u64,
        asked: &Asked,
        bounds: Bounds,
    ) {
        self.model = Some(Arc::clone(model));
        self.revision = revision;
        self.operation = asked.operation();
        self.extras = asked.extras();
        self.bounds = bounds;
    }

    /// The limits admitted the request.
    pub(crate) fn admitted(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// The request takes a route whose requests are called so.
    pub(crate) fn routed(&mut self, variant: Option<&Arc<str>>) {
        self.variant = variant.cloned();
    }

    /// What decides, as the caller wants to know.
    pub(crate) fn explained(&mut self, explanation: Explanation) {
        self.explanation = Some(Arc::new(explanation));
    }

    /// A deployment was to be tried, and had no room.
    pub(crate) fn passed_over(&mut self, deployment: &str, why: &Error) {
        if let Some(explanation) = &mut self.explanation {
            let passed_over = PassedOver {
                deployment: deployment.to_owned(),
                // It names the ceiling.
                reason: if explanation.brief {
                    String::new()
                } else {
                    why.to_string()
                },
            };
            Arc::make_mut(explanation).passed_over.push(passed_over);
        }
    }

    /// What decided, where the caller wants to know.
    pub(crate) fn explanation(&self) -> Option<Arc<Explanation>> {
        self.explanation.clone()
    }

    /// The limits refused the request, and stand so.
    pub(crate) fn refused(&mut self, plan: &Plan, denial: &Denial, limits: LimitState) {
        self.refused_by(plan, denial);
        self.limits = limits;
    }

    fn refused_by(&mut self, plan: &Plan, denial: &Denial) {
        if let Some(line) = plan.lines.get(denial.ask) {
            metrics::refused(&line.limit.name);
            self.refused_by = Some(line.label.clone());
        }
    }

    /// The state of the limits that the request was admitted or refused by.
    pub(crate) fn limits(&self) -> LimitState {
        self.permit.as_ref().map_or(self.limits, Permit::state)
    }

    /// The attempt brought the first content of a stream, after so many tokens that the caller has already.
    pub(crate) fn streaming(&mut self, left_out: u64) {
        self.sent = Sent::Streaming;
        self.streamed_output = left_out;
        let took = self.started.elapsed();
        self.first_content.get_or_insert(took);
        self.answering = self.attempt_answered();
    }

    /// A piece of the stream.
    pub(crate) fn streamed(&mut self, chunks: &[Chunk]) {
        if let Some(witness) = &mut self.witness {
            chunks.iter().for_each(|chunk| witness.saw(chunk));
        }
        for chunk in chunks {
            match chunk {
                Chunk::Start { model, .. } => self.provider_model.clone_from(model),
                Chunk::Delta { choice, .. } => {
                    self.streamed_output += count_chunk(chunk);
                    self.unfinished |= bit(*choice);
                }
                Chunk::Finish { choice, .. } => self.unfinished &= !bit(*choice),
                Chunk::Warning(_) | Chunk::Aside(_) => {}
                Chunk::UsageReport(report) => self.usage_report = Some(report.clone()),
                Chunk::Usage(usage) => self.usage = Some(*usage),
            }
        }
        if self.streamed_output >= self.noted_output + NOTED_EVERY {
            self.noted_output = self.streamed_output;
            self.note_output();
        }
    }

    /// Part of what is held for the answer has been used. The rest of it, and the input, may turn out to be less
    /// than is estimated here.
    fn note_output(&self) {
        self.note(&Use {
            output: self.streamed_output / 2,
            ..Use::default()
        });
    }

    fn note(&self, used: &Use) {
        if let Some(permit) = &self.permit {
            permit.used(used);
        }
        if let Some(room) = &self.room {
            room.used(used);
        }
    }

    /// The stream broke after its first content.
    pub(crate) fn broke(&mut self, ended: &Ended, usage: Option<Usage>) {
        self.usage = self.usage.or(usage.map(|usage| self.caught_up(usage)));
        let answering = |it: &&mut Attempt| it.outcome == AttemptOutcome::Answered;
        if let Some(attempt) = self.attempts.iter_mut().find(answering) {
            attempt.outcome = ended.outcome;
            attempt.failure = Some(Arc::clone(&ended.failure));
        }
    }

    /// What a provider has counted before a stream ended early may lag behind what it sent.
    fn caught_up(&self, usage: Usage) -> Usage {
        if usage.output_total >= self.streamed_output {
            return usage;
        }
        Usage {
            output_total: self.streamed_output,
            source: UsageSource::Estimated,
            ..usage
        }
    }

    /// The request was answered to its end.
    pub(crate) fn complete(&mut self) -> Option<Summary> {
        self.ending = "OK";
        let usage = self
            .usage
            .unwrap_or_else(|| self.estimate(self.streamed_output));
        self.usage = Some(usage);
        let deployment = Arc::clone(self.answering.as_ref()?);
        Some(Summary {
            usage: self.in_all(usage),
            usage_report: self.usage_report.take(),
            cost: self.cost_in_all(self.cost(&deployment, &usage)),
            deployment,
            provider_model: self.provider_model.clone(),
            attempts: self.attempts.clone(),
            revision: self.revision,
            explanation: self.explanation(),
            variant: self.variant.clone(),
            stopped_by: self.stopped_by.clone(),
        })
    }

    /// The request ends with an error.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.ending = error.reason();
        let attempts = self.attempts.iter_mut();
        for attempt in attempts.filter(|it| it.outcome == AttemptOutcome::Unspecified) {
            attempt.outcome = AttemptOutcome::TimedOut;
            attempt.duration = attempt.started.elapsed();
        }
    }

    /// Tokens that were streamed so far.
    pub(crate) fn streamed_tokens(&self) -> u64 {
        self.streamed_output
    }

    /// The attempts so far.
    pub(crate) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The limits, if any, that would have refused the request, were they not mere shadows.
    fn would_refuse(&mut self) -> String {
        let lines = self.permit.as_mut().map(Permit::would_refuse);
        let mut labels = String::new();
        for line in lines.into_iter().flatten() {
            if !labels.is_empty() {
                labels.push(' ');
            }
            labels.push_str(&line.label);
        }
        labels
    }

    fn log(&self, admitted: bool, would_refuse: &str) {
        let (usage, cost) = self.used_in_all();
        let (own, own_cost) = self.used_last();
        let limits = self.permit.as_ref().map(Permit::labels).unwrap_or_default();
        let (attempts, failures) = (labels(&self.attempts), failures(&self.attempts));
        tracing::info!(
            request = self.id,
            edge = self.edge,
            status = self.ending,
            key = self.key.as_ref().map(|key| &*key.id),
            subject = self.key.as_ref().map(|key| key.subject.as_str()),
            model = self.model.as_ref().map(|model| &*model.name),
            operation = self.operation.as_str(),
            stream = self.operation == Operation::Stream,
            provider = self.answering.as_ref().map(|at| &*at.provider.name),
            deployment = self.answering.as_ref().map(|at| &*at.name),
            attempts,
            failures = (!failures.is_empty()).then_some(failures),
            provider_request = self.provider_request(),
            input_tokens = usage.map(|usage| usage.input_total),
            output_tokens = usage.map(|usage| usage.output_total),
            usage_source = usage.map(|usage| usage.source.as_str()),
            cost_nano_usd = cost,
            admitted,
            limits,
            refused_by = self.refused_by.as_deref(),
            would_refuse = (!would_refuse.is_empty()).then_some(would_refuse),
            variant = self.variant.as_deref(),
            stopped_by = self.stopped_by.as_deref(),
            revision = self.revision,
            first_content_ms = self.first_content.map(milliseconds),
            latency_ms = milliseconds(self.started.elapsed()),
            "request"
        );
        let labels = metrics::Request {
            edge: self.edge,
            model: self.model.as_ref(),
            variant: self.variant.as_ref(),
            deployment: self.answering.as_ref(),
            ending: self.ending,
        };
        let took = metrics::Took {
            usage: own,
            cost: own_cost,
            latency: self.started.elapsed(),
            first_content: self.first_content,
        };
        metrics::request(&labels, &took);
    }

    /// What the provider whose answer was handed on last calls the request.
    fn provider_request(&self) -> Option<&str> {
        let handed_on = self.attempts.iter().rfind(|it| it.handed_on);
        handed_on?.request_id.as_deref()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.ending = "INTERNAL";
        }
        let charge = self.charge();
        let permit = self.permit.as_ref();
        let admitted =
            permit.is_some_and(|permit| permit.was_charged() || charge != Charge::Nothing);
        let would_refuse = self.would_refuse();
        self.log(admitted, &would_refuse);
        self.testify();
        self.settle_rooms(charge);
        if let Some(permit) = self.permit.take() {
            let whole = self.ending == "OK" && self.stopped_by.is_none() && self.carried.is_none();
            if let (true, Some(usage)) = (whole, &self.usage) {
                permit.learn(usage.output_total);
                self.counted.iter().for_each(|it| it.learn(usage));
            }
            permit.settle(charge);
        }
    }
}

/// The bit of a choice; none where there are more than anybody asks for.
fn bit(choice: u32) -> u64 {
    1_u64.checked_shl(choice).unwrap_or(0)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests;
