//! What is told of a request that is compared with another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tollgate_policy::table::Deployment;
use tollgate_provider::chat::{Chunk, Delta, FinishReason, Response, Usage};

use super::Meter;

/// Watches the answer to a request. Of its text it keeps a hash and a length.
#[derive(Debug)]
pub(crate) struct Witness {
    tell: oneshot::Sender<Witnessed>,
    text: blake3::Hasher,
    bytes: u64,
    finish: Option<FinishReason>,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub(crate) struct Witnessed {
    /// `OK`, or the reason of its error.
    pub(crate) ending: &'static str,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) first_content: Option<Duration>,
    pub(crate) latency: Duration,
    pub(crate) usage: Option<Usage>,
    /// Billionths of a US dollar; none where it is not known.
    pub(crate) cost: Option<u64>,
    /// Hash and length in bytes of the first choice's text.
    pub(crate) text: (blake3::Hash, u64),
    /// The deployment that answered, or was asked last.
    pub(crate) deployment: Option<Arc<Deployment>>,
}

impl Witness {
    /// Whoever is at the other end is told.
    pub(crate) fn new(tell: oneshot::Sender<Witnessed>) -> Self {
        Self {
            tell,
            text: blake3::Hasher::new(),
            bytes: 0,
            finish: None,
        }
    }

    pub(super) fn saw(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Delta {
                choice: 0,
                delta: Delta::Text(text),
            } => self.read(text),
            Chunk::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Chunk::Delta { .. }
            | Chunk::Finish { .. }
            | Chunk::Start { .. }
            | Chunk::Aside(_)
            | Chunk::Warning(_)
            | Chunk::UsageReport(_)
            | Chunk::Usage(_) => {}
        }
    }

    pub(super) fn saw_whole(&mut self, response: &Response) {
        if let Some(choice) = response.choices.first() {
            let texts = choice.message.parts.iter().filter_map(|it| it.as_text());
            texts.for_each(|text| self.read(text));
            self.finish = Some(choice.finish_reason);
        }
    }

    fn read(&mut self, text: &str) {
        self.text.update(text.as_bytes());
        self.bytes += text.len() as u64;
    }
}

impl Meter {
    /// Somebody wants to know what becomes of the request.
    pub(crate) fn watched(&mut self, witness: Option<Box<Witness>>) {
        self.witness = witness;
    }

    /// The request is over.
    pub(super) fn testify(&mut self) {
        let Some(witness) = self.witness.take() else {
            return;
        };
        let Witness {
            tell,
            text,
            bytes,
            finish,
        } = *witness;
        let last = || Some(Arc::clone(&self.attempts.last()?.deployment));
        let (usage, cost) = self.used_in_all();
        let witnessed = Witnessed {
            ending: self.ending,
            finish,
            first_content: self.first_content,
            latency: self.started.elapsed(),
            usage,
            cost,
            text: (text.finalize(), bytes),
            deployment: self.answering.clone().or_else(last),
        };
        // Nobody may listen any more, as when the node ends.
        let _ = tell.send(witnessed);
    }
}
