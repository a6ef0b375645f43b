//! Decoding a whole answer, and what a stream says at its end, which is the same.

use serde_json::value::RawValue;

use super::output::Output;
use super::usage;
use super::wire::{Response, SearchItem, ToolUsage, Typed};
use crate::chat::{self, Assembler, Chunk, FinishReason};
use crate::codec::Kind;
use crate::failure::{Class, Failure};
use crate::openai;
use crate::usage::{count, report};
use crate::wire::Text;

/// Decodes the body of a 200 that was not streamed.
pub(crate) fn decode(body: &[u8], kind: Kind) -> Result<chat::Response, Failure> {
    let answer: Response<'_> = serde_json::from_slice(body)
        .map_err(|error| Failure::unreadable("the answer is no response", &error))?;
    answer.check()?;
    if answer.output.is_none() {
        return Err(Failure::new(Class::Server, "the answer has no output"));
    }
    let mut chunks = vec![answer.start()];
    let mut output = Output::new(kind);
    answer.close(&mut output, &mut chunks)?;
    let mut whole = Assembler::new();
    chunks.into_iter().for_each(|chunk| whole.push(chunk));
    let whole = whole.finish();
    let whole = whole.ok_or_else(|| Failure::new(Class::Server, "the answer has no end"))?;
    Ok(chat::Response {
        usage: answer.usage(),
        usage_report: answer.usage.and_then(report),
        ..whole
    })
}

impl Response<'_> {
    pub(super) fn start(&self) -> Chunk {
        let text = |text: &Option<Text<'_>>| {
            let text = text.as_ref().map(Text::as_str);
            text.unwrap_or_default().to_owned()
        };
        Chunk::Start {
            id: text(&self.id),
            model: text(&self.model),
        }
    }

    pub(super) fn usage(&self) -> Option<chat::Usage> {
        let served = self.service_tier.as_ref().map(Text::as_str);
        let usage = self.usage.and_then(|raw| usage::read(raw, served))?;
        // The report counts tokens only, and not every server has another of its tools.
        let told = self.tool_usage.and_then(|raw| {
            let tools: ToolUsage = serde_json::from_str(raw.get()).ok()?;
            count(tools.web_search?.num_requests?)
        });
        let items = self.output.iter().flat_map(|list| &list.0);
        let seen = items.filter(|raw| is_search(raw)).count();
        Some(chat::Usage {
            searches: told.unwrap_or(u64::try_from(seen).unwrap_or(u64::MAX)),
            ..usage
        })
    }

    /// Fails where it is an error, or not over.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Some(raw) = self.error {
            return Err(openai::told(raw.get().as_bytes()));
        }
        let detail = match self.status.as_ref().map_or("", Text::as_str) {
            "failed" => "the provider says that it failed",
            "cancelled" => "the answer was cancelled at the provider",
            "queued" | "in_progress" => "the answer is not over",
            _ => return Ok(()),
        };
        Err(Failure::new(Class::Server, detail))
    }

    /// Tells what of the items was not told before, and why the model stopped.
    ///
    /// # Errors
    /// An item is none.
    pub(super) fn close(&self, output: &mut Output, out: &mut Vec<Chunk>) -> Result<(), Failure> {
        let items = self.output.iter().flat_map(|list| &list.0);
        for (number, raw) in (0..).zip(items) {
            output.end(number, raw, out)?;
        }
        out.push(Chunk::Finish {
            choice: 0,
            reason: self.finish_reason(output),
        });
        Ok(())
    }

    /// Of a complete answer, what it holds says why it ended.
    fn finish_reason(&self, output: &Output) -> FinishReason {
        let details = self.incomplete_details.as_ref();
        let reason = details.and_then(|it| it.reason.as_ref());
        match reason.map_or("", Text::as_str) {
            "max_output_tokens" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            "" if self
                .status
                .as_ref()
                .is_some_and(|it| it.as_str() == "incomplete") =>
            {
                FinishReason::Other
            }
            "" if output.has_calls() => FinishReason::ToolCalls,
            "" if output.is_refusal() => FinishReason::Refusal,
            "" => FinishReason::Stop,
            // What is yet to come.
            _ => FinishReason::Other,
        }
    }
}

/// Whether an item is a search that the provider made: of its kind are also looks at what was found.
fn is_search(raw: &RawValue) -> bool {
    let is = |typed: &Typed<'_>, what| typed.r#type.as_str() == what;
    let typed = serde_json::from_str::<Typed<'_>>(raw.get());
    let action = serde_json::from_str::<SearchItem<'_>>(raw.get()).ok();
    let action = action.and_then(|item| item.action);
    typed.is_ok_and(|it| is(&it, "web_search_call")) && action.is_none_or(|it| is(&it, "search"))
}

#[cfg(test)]
mod tests;
