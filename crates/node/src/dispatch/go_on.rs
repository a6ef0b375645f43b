//! An answer that broke off after its caller had seen some of it, gone on with by another deployment.
//!
//! The caller's text is remembered. The next deployment is asked for the answer anew, or, where it can, to go on with that
//! text (`again`). What it repeats is left out (`echo`); where it says something else, the stream ends with an error. Only
//! plain text of a single answer is gone on with: thoughts and calls of tools cannot be compared, or be half told.

mod again;
mod echo;

use std::sync::Arc;

use tollgate_balance::Tried;
use tollgate_policy::price::Bounds;
use tollgate_policy::table::OnCut;
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::chat::{Chunk, Delta};
use tollgate_provider::tokens;

use super::{Begun, Case, Reply, cause, dispatch, shun_provider_of};
use crate::arriving::{Bodies, Claim};
use crate::asked::Asked;
use crate::error::Error;
use crate::limiter::Limiter;
use crate::meter::Meter;
use crate::prepared::Prepared;
use crate::upstream::Ended;
use crate::weight::weight;

pub(super) use echo::{Differs, Echo};

/// Longest text that is remembered to be gone on with, in bytes.
const LONGEST: usize = 256 * 1024;

/// What it takes to go on with an answer.
#[derive(Debug)]
pub(crate) struct Continuation {
    limiter: Arc<Limiter>,
    request: Prepared,
    /// The place of the request's route among the model's.
    place: usize,
    tried: Tried,
    /// What the caller has seen. None where that is more than plain text.
    seen: Option<String>,
    /// The memory for the request, which is kept, and for that.
    memory: Claim,
    /// What the request takes of it.
    weight: usize,
}

impl Continuation {
    /// That of a request whose answer has begun. None where it ends with an error if it breaks off, as it also does where
    /// there is no memory for it.
    pub(crate) fn new(
        (limiter, bodies): (&Arc<Limiter>, &Arc<Bodies>),
        request: Prepared,
        (place, tried): (usize, Tried),
    ) -> Option<Box<Self>> {
        let Asked::Completion {
            request: asked,
            stream: true,
        } = &request.asked
        else {
            return None;
        };
        let is_single = asked.choice_count() == 1 && asked.logprobs != Some(true);
        if request.model.on_cut == OnCut::Fail || !is_single {
            return None;
        }
        let weight = weight(asked);
        Some(Box::new(Self {
            limiter: Arc::clone(limiter),
            memory: bodies.spare(weight)?,
            weight,
            request,
            place,
            tried,
            seen: Some(String::new()),
        }))
    }

    /// The caller was sent this.
    pub(crate) fn note(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            let text = match chunk {
                Chunk::Start { .. } | Chunk::Warning(_) | Chunk::Aside(_) => continue,
                Chunk::Delta {
                    delta: Delta::Text(text),
                    ..
                } => Some(text),
                // An answer that has ended cannot break off any more.
                Chunk::Delta { .. }
                | Chunk::Finish { .. }
                | Chunk::UsageReport(_)
                | Chunk::Usage(_) => None,
            };
            let Some(seen) = &mut self.seen else { return };
            let length = seen.len() + text.map_or(0, String::len);
            let has_room = length <= LONGEST && self.memory.spares(self.weight + length);
            match text.filter(|_| has_room) {
                Some(text) => seen.push_str(text),
                None => self.seen = None,
            }
        }
    }

    /// Goes on with an answer that broke off at the deployment `target`. Answers what comes after what the caller has
    /// seen.
    ///
    /// # Errors
    /// It cannot be gone on with, or nobody went on as it began.
    pub(crate) async fn go_on(
        &mut self,
        (ended, target): (&Ended, usize),
        meter: &mut Meter,
    ) -> Result<Box<Begun>, Error> {
        let seen = self.seen.as_deref().filter(|seen| !seen.is_empty());
        let seen = seen.ok_or(Error::Truncated)?;
        let case = Case::broken_off(&self.limiter, &self.request, self.place, seen)?;
        let (revision, model) = (&self.request.revision, &self.request.model);
        let mut attempts = case.resume(self.tried.clone());
        if !cause(ended).is_some_and(|cause| attempts.failed(cause)) {
            return Err(Error::Truncated);
        }
        if ended.outcome == AttemptOutcome::TimedOut {
            shun_provider_of(revision, target, &mut attempts);
        }
        let mut bounds = self.request.bounds;
        if model.on_cut == OnCut::Prefill {
            // Those that can go on with the text are asked before those that are asked for it anew.
            attempts.shun(|target| !case.prefills(target));
            bounds = Bounds {
                input: bounds.input + tokens::count_text(seen),
                ..bounds
            };
        }
        meter.carry_on(revision, bounds).await?;
        let begun = match dispatch(&case, &mut attempts, meter).await? {
            Reply::Stream(begun) => begun,
            Reply::Whole(_) | Reply::Embeddings(_) => {
                let what = "another kind of answer than was asked for";
                return Err(Error::Internal { what });
            }
        };
        self.tried = attempts.into_tried();
        Ok(begun)
    }
}
