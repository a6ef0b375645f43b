//! How a model of Claude's is asked to think, which has changed from one generation to the next.

use serde::Serialize;

use crate::Error;
use crate::chat::{Effort, Message, Part, Request, Role, ToolChoice};
use crate::codec::Kind;
use crate::unsupported::Unsupported;

/// The smallest budget for thinking that is taken.
const LEAST_BUDGET: u32 = 1024;

/// How to think, in words of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Thinking {
    Adaptive {
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
    Enabled {
        budget_tokens: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
    Disabled,
    BetweenTools,
}

/// What a model understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Understands {
    /// It does not think.
    Nothing,
    /// Up to 4.5: so many tokens.
    Budgets,
    /// 4.6: either.
    Both,
    /// Since 4.7: how hard to try.
    Efforts,
    /// Nobody knows, as it is none of Claude's by name.
    Anything,
}

/// How a model is kept from thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Off {
    /// It is told so.
    Disabled,
    /// It thinks between calls of tools at least.
    BetweenTools,
    /// In no way.
    Never,
}

impl Off {
    /// By family, and since 5.5 another way for most.
    fn of(model: &str) -> Self {
        let is_new = matches!(version(model), Some(Some(version)) if version >= (5, 5));
        let is = |family| model.contains(family);
        if is("fable") || is("mythos") || is_new && is("opus") {
            Self::Never
        } else if is_new && is("sonnet") {
            Self::BetweenTools
        } else {
            Self::Disabled
        }
    }
}

impl Understands {
    /// By the version in a model's name, which stands before the family's name or behind it. A name of Claude's without
    /// one counts as newer; of others nobody knows, and each is asked as the caller does.
    fn of(model: &str) -> Self {
        match version(model) {
            None => Self::Anything,
            Some(Some((..=2, _) | (3, ..=6))) => Self::Nothing,
            Some(Some((3, _) | (4, ..=5))) => Self::Budgets,
            Some(Some((4, 6))) => Self::Both,
            Some(Some(_) | None) => Self::Efforts,
        }
    }
}

/// None where the name is not one of Claude's. Major and minor version in names such as `claude-3-7-sonnet-20250219`, `us.anthropic.claude-haiku-4-5-20251001-v1:0`
/// and `claude-opus-4@20250514`: numbers of one or two digits.
fn version(model: &str) -> Option<Option<(u32, u32)>> {
    let (_, name) = model.split_once("claude-")?;
    let number = |part: &str| part.parse().ok().filter(|_| part.len() <= 2);
    let mut parts = name.split(['-', '.', '@', ':']);
    let Some(major) = parts.find_map(number) else {
        return Some(None);
    };
    let minor = parts.next().and_then(number);
    Some(Some((major, minor.unwrap_or(0))))
}

/// Whether a model knows instructions within the conversation: since Opus 4.8, for the other families since 5.5, and
/// Fable and Mythos from the first, as Anthropic's page on mid-conversation system messages has it. Others refuse them.
pub(crate) fn instructed_within(model: &str) -> bool {
    let is = |family| model.contains(family);
    let since = if is("opus") {
        (4, 8)
    } else if is("fable") || is("mythos") {
        (5, 0)
    } else {
        (5, 5)
    };
    matches!(version(model), Some(Some(version)) if version >= since)
}

/// How much to think.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// As the model sees fit.
    Adaptive,
    /// At most so many tokens.
    Budget(u32),
}

/// How to think, and how hard to try.
///
/// # Errors
/// The model has no words for what is wanted, and it may not be left out.
pub(crate) fn thinking(
    request: &Request,
    model: &str,
    unsupported: &mut Unsupported,
) -> Result<(Option<Thinking>, Option<&'static str>), Error> {
    let wanted = request.reasoning.unwrap_or_default();
    if let (Some(Effort::None), Some(1..)) = (wanted.effort, wanted.budget_tokens) {
        let problem = "it cannot be set along with an effort of none; set one of them";
        return Err(Error::invalid("reasoning.max_tokens", problem));
    }
    let understands = Understands::of(model);
    let off = wanted.effort == Some(Effort::None) || wanted.budget_tokens == Some(0);
    let (mode, effort) = mode(request, understands, unsupported)?;
    let effort = effort
        .map(|effort| name_of(effort, understands, unsupported))
        .transpose()?;
    if off {
        return switched_off(request, model, effort, unsupported);
    }
    let display = wanted.include_text.map(|shown| match shown {
        true => "summarized",
        false => "omitted",
    });
    let thinking = match mode {
        Some(_) if is_call_forced(request) && may_be_disabled(model) => {
            let problem = "this model does not think before a call that it must make";
            unsupported.note("reasoning", problem);
            return Ok((Some(Thinking::Disabled), None));
        }
        Some(Mode::Adaptive) => Some(Thinking::Adaptive { display }),
        Some(Mode::Budget(_)) if is_amid_foreign_turn(&request.messages, unsupported.kind()) => {
            let problem =
                "a turn that began without thoughts of this provider's goes on without any";
            unsupported.note("reasoning", problem);
            None
        }
        Some(Mode::Budget(budget_tokens)) => Some(Thinking::Enabled {
            budget_tokens,
            display,
        }),
        // Only how to show thoughts, if there are any: there is no word for that alone.
        None => None,
    };
    Ok((thinking, effort))
}

/// How not to think, and how hard to try then.
fn switched_off(
    request: &Request,
    model: &str,
    effort: Option<&'static str>,
    unsupported: &mut Unsupported,
) -> Result<(Option<Thinking>, Option<&'static str>), Error> {
    // A model that does not think need not be told.
    if Understands::of(model) == Understands::Nothing {
        return Ok((None, effort));
    }
    match Off::of(model) {
        Off::Disabled => Ok((Some(Thinking::Disabled), effort)),
        Off::BetweenTools => Ok((Some(Thinking::BetweenTools), effort)),
        Off::Never => {
            let wanted = request.reasoning.unwrap_or_default();
            let none = wanted.effort == Some(Effort::None);
            let problem = "this model always thinks; set a reasoning.effort of low";
            unsupported.fields([
                (none, "reasoning.effort", problem),
                (!none, "reasoning.max_tokens", problem),
            ])?;
            Ok((None, effort.or(Some(Effort::Low.as_str()))))
        }
    }
}

/// Whether the model must call a tool, which no model of Claude's does while it thinks.
fn is_call_forced(request: &Request) -> bool {
    let choice = request.tool_choice.as_ref();
    choice.is_some_and(|it| matches!(it, ToolChoice::Required | ToolChoice::Tool(_)))
}

fn may_be_disabled(model: &str) -> bool {
    Understands::of(model) != Understands::Anything && Off::of(model) == Off::Disabled
}

/// What is wanted, as far as the model understands it.
fn mode(
    request: &Request,
    understands: Understands,
    unsupported: &mut Unsupported,
) -> Result<(Option<Mode>, Option<Effort>), Error> {
    const NO_THOUGHTS: &str = "this model does not think; leave it out";
    let wanted = request.reasoning.unwrap_or_default();
    let effort = wanted.effort.filter(|effort| *effort != Effort::None);
    let budget = wanted.budget_tokens.filter(|budget| *budget > 0);
    Ok(match understands {
        Understands::Nothing => {
            unsupported.fields([
                (effort.is_some(), "reasoning.effort", NO_THOUGHTS),
                (budget.is_some(), "reasoning.max_tokens", NO_THOUGHTS),
            ])?;
            (None, None)
        }
        Understands::Budgets => {
            let budget = match (budget, effort) {
                (Some(budget), effort) => {
                    let problem = "this model takes a budget; leave the effort out";
                    unsupported.fields([(effort.is_some(), "reasoning.effort", problem)])?;
                    large_enough(budget, unsupported)?
                }
                (None, Some(effort)) => budget_of(effort, request, unsupported)?,
                (None, None) => None,
            };
            (budget.map(Mode::Budget), None)
        }
        Understands::Both | Understands::Anything => {
            let budget = budget.map(|it| large_enough(it, unsupported)).transpose()?;
            let by_effort = || effort.map(|_| Mode::Adaptive);
            let mode = budget.flatten().map(Mode::Budget).or_else(by_effort);
            (mode, effort)
        }
        Understands::Efforts => {
            let problem = "this model takes no budget; set reasoning.effort";
            unsupported.fields([(budget.is_some(), "reasoning.max_tokens", problem)])?;
            let thinks = effort.is_some() || budget.is_some();
            (thinks.then_some(Mode::Adaptive), effort)
        }
    })
}

fn name_of(
    effort: Effort,
    understands: Understands,
    unsupported: &mut Unsupported,
) -> Result<&'static str, Error> {
    if effort == Effort::XHigh && understands == Understands::Both {
        let problem = "this model knows no effort between high and max";
        unsupported.field("reasoning.effort", problem)?;
        return Ok(Effort::High.as_str());
    }
    if effort == Effort::Minimal {
        unsupported.field("reasoning.effort", "it knows no effort below low")?;
        return Ok(Effort::Low.as_str());
    }
    Ok(effort.as_str())
}

fn large_enough(budget: u32, unsupported: &mut Unsupported) -> Result<Option<u32>, Error> {
    if budget < LEAST_BUDGET {
        let problem = "it takes a budget of 1024 tokens or more; set reasoning.effort";
        unsupported.field("reasoning.max_tokens", problem)?;
        return Ok(None);
    }
    Ok(Some(budget))
}

/// The budget for an effort where the model takes no efforts: of the answer's length, which includes it, at most half.
fn budget_of(
    effort: Effort,
    request: &Request,
    unsupported: &mut Unsupported,
) -> Result<Option<u32>, Error> {
    let budget: u32 = match effort {
        Effort::None => return Ok(None),
        Effort::Minimal | Effort::Low => LEAST_BUDGET,
        Effort::Medium => 4 * LEAST_BUDGET,
        Effort::High => 16 * LEAST_BUDGET,
        Effort::XHigh | Effort::Max => 31 * LEAST_BUDGET,
    };
    let length = request.max_output_tokens.unwrap_or(u32::MAX);
    if length <= LEAST_BUDGET {
        let problem = "this model thinks in 1024 tokens or more; set max_output_tokens above that";
        unsupported.field("reasoning.effort", problem)?;
        return Ok(None);
    }
    Ok(Some(budget.min(length / 2).max(LEAST_BUDGET)))
}

/// Whether the conversation is in the middle of a turn, waiting for the model to go on with results of its tools, that
/// did not begin with a thought of this provider's: models that think by budget take no such turn while they think.
fn is_amid_foreign_turn(messages: &[Message], kind: Kind) -> bool {
    let own = |part: &Part| matches!(part, Part::Reasoning { opaque, .. } if opaque.iter().any(|it| it.provider == kind.as_str()));
    let mut turn = messages.iter().rev().take_while(|it| it.role != Role::User);
    let begun = turn.by_ref().filter(|it| it.role == Role::Assistant).last();
    let ends_with_results = messages.last().is_some_and(|it| it.role == Role::Tool);
    ends_with_results && begun.is_some_and(|it| !it.parts.first().is_some_and(own))
}

#[cfg(test)]
mod tests;
