//! Answers that come in one piece.

use tollgate_provider::chat::{Json, Response, Usage, UsageSource};
use tollgate_provider::embeddings;

use super::Meter;
use super::count::count;

impl Meter {
    /// The attempt brought a whole answer.
    pub(crate) fn answered(&mut self, response: &Response) {
        if let Some(witness) = &mut self.witness {
            witness.saw_whole(response);
        }
        let usage = response.usage.unwrap_or_else(|| {
            let output = response
                .choices
                .iter()
                .flat_map(|choice| &choice.message.parts)
                .map(count);
            Usage::of(self.bounds.input, output.sum(), UsageSource::Estimated)
        });
        self.whole(&response.model, (usage, response.usage_report.as_ref()));
    }

    /// The attempt brought vectors. There is no output to pay for.
    pub(crate) fn embedded(&mut self, response: &embeddings::Response) {
        let estimate = || Usage::of(self.bounds.input, 0, UsageSource::Estimated);
        let usage = response.usage.unwrap_or_else(estimate);
        self.whole(&response.model, (usage, response.usage_report.as_ref()));
    }

    fn whole(&mut self, model: &str, (usage, report): (Usage, Option<&Json>)) {
        self.answering = self.attempt_answered();
        self.provider_model.replace_range(.., model);
        self.usage = Some(usage);
        self.usage_report = report.cloned();
    }
}
