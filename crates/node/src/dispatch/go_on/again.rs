//! What a deployment is asked that is to go on with an answer.

use std::borrow::Cow;

use tollgate_policy::table::{Deployment, Kind, OnCut, Prefill, Protocol};
use tollgate_provider::chat::{
    Effort, Message, Modality, Request, ResponseFormat, Role, ToolChoice,
};
use tollgate_provider::tokens;

use super::Echo;
use crate::asked::Asked;
use crate::dispatch::Case;

/// A text that is shorter than this is asked for anew where the provider repeats it: it might only look like it.
const LEAST_REPEATED: usize = 16;

/// A request for an answer of which the caller has seen the beginning.
pub(in crate::dispatch) struct Again<'a> {
    pub(in crate::dispatch) request: Cow<'a, Request>,
    /// What is left out of the answer.
    pub(in crate::dispatch) echo: Echo,
}

impl<'a> Case<'a> {
    /// What a deployment is asked, if that is more than what the caller asked.
    pub(in crate::dispatch) fn again(&self, deployment: &Deployment) -> Option<Again<'a>> {
        let (seen, request) = (self.seen?, self.conversation()?);
        let prefilled = self.prefill(deployment).and_then(|how| {
            let begun = seen.trim_end();
            let request = prefilled(request, how, begun)?;
            let echo = Echo::of_rest(seen, repeats(deployment));
            Some(Again {
                request: Cow::Owned(request),
                echo,
            })
        });
        Some(prefilled.unwrap_or_else(|| Again {
            request: Cow::Borrowed(request),
            echo: Echo::of_all(seen),
        }))
    }

    /// Whether a deployment is asked to go on with the text that the caller has seen.
    pub(super) fn prefills(&self, target: usize) -> bool {
        let deployment = self.request.revision.deployment(target);
        deployment.is_some_and(|(it, _)| self.prefill(it).is_some())
    }

    fn prefill(&self, deployment: &Deployment) -> Option<Prefill> {
        let how = deployment.prefill?;
        let (seen, request) = (self.seen?, self.conversation()?);
        let is_long = !repeats(deployment) || seen.len() >= LEAST_REPEATED;
        let wanted = self.request.model.on_cut == OnCut::Prefill;
        (wanted && is_long && can_be_begun(request)).then_some(how)
    }

    fn conversation(&self) -> Option<&'a Request> {
        match &self.request.asked {
            Asked::Completion { request, .. } => Some(request),
            Asked::Embeddings(_) => None,
        }
    }
}

/// Whether an answer can be begun for the model: one that has to be JSON, spoken, thought about, or a call cannot.
fn can_be_begun(request: &Request) -> bool {
    let effort = request.reasoning.map(|it| it.effort);
    let is_text = matches!(request.response_format, None | Some(ResponseFormat::Text));
    let is_free = matches!(
        request.tool_choice,
        None | Some(ToolChoice::Auto | ToolChoice::None)
    );
    let is_unbegun = request
        .messages
        .last()
        .is_some_and(|it| it.role != Role::Assistant);
    let is_silent = !request.modalities.contains(&Modality::Audio);
    let thinks = !matches!(effort, None | Some(Some(Effort::None)));
    is_text && is_free && is_unbegun && is_silent && !thinks
}

/// Whether a provider repeats the beginning that it is given.
fn repeats(deployment: &Deployment) -> bool {
    match &deployment.provider.kind {
        Kind::Http(endpoint) => endpoint.protocol == Protocol::Mistral,
        Kind::Simulated(_) => false,
    }
}

/// The request with the beginning of its answer. None where nothing is left to be said.
fn prefilled(request: &Request, how: Prefill, begun: &str) -> Option<Request> {
    if begun.is_empty() {
        return None;
    }
    let said = u32::try_from(tokens::count_text(begun)).ok()?;
    let left = request.max_output_tokens?.checked_sub(said);
    let mut request = Request {
        max_output_tokens: Some(left.filter(|left| *left > 0)?),
        ..request.clone()
    };
    // Providers refuse one that ends with white space.
    let message = Message::text(Role::Assistant, begun);
    request.messages.push(message);
    match how {
        Prefill::LastMessage => {}
        Prefill::ContinueFinalMessage => {
            let options = &mut request.provider_options;
            options.insert("continue_final_message".to_owned(), true.into());
            options.insert("add_generation_prompt".to_owned(), false.into());
        }
    }
    Some(request)
}
