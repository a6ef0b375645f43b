//! What a simulated provider does for one request, step by step.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::{Action, Config, Fault, Step};
use crate::chat::{
    Chunk, Delta, FinishReason, Message, Part, Request, Role, Tool, ToolChoice, Usage, UsageSource,
};
use crate::failure::{Class, Failure};
use crate::{openai, tokens};

/// Words an answer is made of once the prompt's own are used up.
const FILLER: [&str; 16] = [
    "lorem", "ipsum", "dolor", "sit", "amet", "elit", "sed", "do", "magna", "ut", "enim", "ad",
    "quis", "nisi", "ex", "duis",
];

/// The most words of the prompt that an answer repeats.
const MOST_ECHO: usize = 32;

/// The steps of one answer, in order of time. Lazy: an answer of any length takes constant memory.
///
/// One word counts as one token. The answer repeats the beginning of the last user message and goes
/// on with filler chosen by the seed; where a tool must be called, it is a call of that tool with an
/// empty object. A response format is not obeyed: the words mean nothing anyway. The usage is the
/// estimate of `tokens` for the prompt and the words produced for the answer.
#[derive(Debug)]
pub struct Script {
    config: Config,
    id: String,
    model: String,
    /// The prompt's words, repeated at the start of every choice.
    echo: Vec<String>,
    /// The tool to call instead of answering in words.
    tool: Option<String>,
    seed: u64,
    choices: u32,
    /// Words per choice.
    length: u32,
    /// Why the words end.
    reason: FinishReason,
    input_tokens: u64,
    next: Next,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Start,
    /// The word of this number of this choice.
    Word {
        word: u32,
        choice: u32,
    },
    /// The end of this choice.
    Finish {
        choice: u32,
    },
    Usage,
    Nothing,
}

impl Script {
    /// What happens to `request` when it is sent to `model` at this provider. The same arguments
    /// give the same steps.
    #[must_use]
    pub fn new(config: &Config, request: &Request, model: &str, seed: u64) -> Self {
        let wanted = config.output_tokens.max(1);
        let limit = request.max_output_tokens.unwrap_or(u32::MAX).max(1);
        let tool = forced_tool(request);
        let (length, reason) = match &tool {
            // The call, then its arguments.
            Some(_) => (2, FinishReason::ToolCalls),
            None if limit < wanted => (limit, FinishReason::Length),
            None => (wanted, FinishReason::Stop),
        };
        Self {
            config: config.clone(),
            id: format!("chatcmpl-sim-{seed:016x}"),
            model: model.to_owned(),
            echo: echo(request),
            tool,
            seed,
            choices: request.choice_count(),
            length,
            reason,
            input_tokens: tokens::estimate_request(request),
            next: Next::Start,
        }
    }

    /// When the word of this number comes.
    fn time_of(&self, word: u32) -> Duration {
        let gaps = self.config.token_interval.saturating_mul(word);
        self.config.first_token_latency.saturating_add(gaps)
    }

    fn fault_at(&self, word: u32) -> Option<Action> {
        fault_at(self.config.fault, word)
    }

    fn start(&mut self) -> Step {
        let at = self.config.first_token_latency;
        self.next = Next::Word { word: 0, choice: 0 };
        if let Some(action) = self.fault_at(0) {
            self.next = Next::Nothing;
            return Step { at, action };
        }
        let start = Chunk::Start {
            id: self.id.clone(),
            model: self.model.clone(),
        };
        Step {
            at,
            action: Action::Chunk(start),
        }
    }

    fn word(&mut self, word: u32, choice: u32) -> Step {
        let at = self.time_of(word);
        if let Some(action) = self.fault_at(word) {
            self.next = Next::Nothing;
            return Step { at, action };
        }
        self.next = match (choice + 1 < self.choices, word + 1 < self.length) {
            (true, _) => Next::Word {
                word,
                choice: choice + 1,
            },
            (false, true) => Next::Word {
                word: word + 1,
                choice: 0,
            },
            (false, false) => Next::Finish { choice: 0 },
        };
        let delta = match &self.tool {
            Some(name) if word == 0 => Delta::ToolCall {
                index: 0,
                id: format!("call_sim_{:016x}_{choice}", self.seed),
                name: name.clone(),
            },
            Some(_) => Delta::ToolArguments {
                index: 0,
                fragment: "{}".to_owned(),
            },
            None => Delta::Text(self.text(word, choice)),
        };
        Step {
            at,
            action: Action::Chunk(Chunk::Delta { choice, delta }),
        }
    }

    fn finish(&mut self, choice: u32) -> Step {
        let at = self.time_of(self.length - 1);
        if let Some(action) = self.fault_at(self.length) {
            self.next = Next::Nothing;
            return Step { at, action };
        }
        let last = choice + 1 == self.choices;
        self.next = if last {
            Next::Usage
        } else {
            Next::Finish { choice: choice + 1 }
        };
        Step {
            at,
            action: Action::Chunk(Chunk::Finish {
                choice,
                reason: self.reason,
            }),
        }
    }

    fn usage(&mut self) -> Step {
        self.next = Next::Nothing;
        let output = u64::from(self.length) * u64::from(self.choices);
        let usage = Usage::of(self.input_tokens, output, UsageSource::Provider);
        let at = self.time_of(self.length - 1);
        Step {
            at,
            action: Action::Chunk(Chunk::Usage(usage)),
        }
    }

    fn text(&self, word: u32, choice: u32) -> String {
        let echoed = usize::try_from(word).ok().and_then(|at| self.echo.get(at));
        let text = match echoed {
            Some(echoed) => echoed.as_str(),
            None => {
                let number = mix(self.seed ^ (u64::from(choice) << 32) ^ u64::from(word));
                let at = number % FILLER.len() as u64;
                usize::try_from(at)
                    .ok()
                    .and_then(|at| FILLER.get(at))
                    .copied()
                    .unwrap_or("lorem")
            }
        };
        if word == 0 {
            text.to_owned()
        } else {
            format!(" {text}")
        }
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match self.next {
            Next::Start => Some(self.start()),
            Next::Word { word, choice } => Some(self.word(word, choice)),
            Next::Finish { choice } => Some(self.finish(choice)),
            Next::Usage => Some(self.usage()),
            Next::Nothing => None,
        }
    }
}

/// The action that a fault puts in place of this word of the first choice, or of the end; before the first word also
/// that of an error status.
pub(super) fn fault_at(fault: Fault, word: u32) -> Option<Action> {
    let fail = |class, detail: &str| Action::Fail(Failure::new(class, detail));
    match fault {
        Fault::Status { code, retry_after } => {
            Some(Action::Fail(status_failure(code, retry_after)))
        }
        Fault::HangAfter(n) if word >= n => Some(Action::Hang),
        Fault::ResetAfter(n) if word >= n => {
            Some(fail(Class::Transport, "simulated: connection reset"))
        }
        Fault::TruncateAfter(n) if word >= n => {
            Some(fail(Class::Truncated, "simulated: the body ended early"))
        }
        Fault::ErrorAfter(n) if word >= n => {
            Some(fail(Class::Server, "simulated: error inside the stream"))
        }
        Fault::None
        | Fault::HangAfter(_)
        | Fault::ResetAfter(_)
        | Fault::TruncateAfter(_)
        | Fault::ErrorAfter(_) => None,
    }
}

/// The tool that the request leaves no way around.
fn forced_tool(request: &Request) -> Option<String> {
    match request.tool_choice.as_ref()? {
        ToolChoice::Tool(name) => Some(name.clone()),
        ToolChoice::Required => {
            let mut functions = request.tools.iter().filter_map(Tool::function);
            functions.next().map(|tool| tool.name.clone())
        }
        ToolChoice::Auto | ToolChoice::None => None,
    }
}

/// The first words of the last user message.
fn echo(request: &Request) -> Vec<String> {
    let is_user = |message: &&Message| message.role == Role::User;
    let Some(message) = request.messages.iter().rev().find(is_user) else {
        return Vec::new();
    };
    let texts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Cited { .. }
        | Part::Image(_)
        | Part::Audio(_)
        | Part::Document(_)
        | Part::ToolCall(_)
        | Part::ToolResult { .. }
        | Part::Reasoning { .. }
        | Part::Refusal(_) => None,
    });
    texts
        .flat_map(str::split_whitespace)
        .take(MOST_ECHO)
        .map(str::to_owned)
        .collect()
}

/// What a provider's answer with this status would be classified as.
fn status_failure(code: u16, retry_after: Option<Duration>) -> Failure {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = b"simulated: error status";
    let failure = openai::classify(status, &HeaderMap::new(), body, SystemTime::UNIX_EPOCH);
    Failure {
        retry_after,
        ..failure
    }
}

/// `SplitMix64`'s output function: every input bit reaches every output bit.
pub(super) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
