//! Where servers that imitate `OpenAI` differ from it.
//!
//! | | `openai` | `openai_compatible` | `azure_openai` | `mistral` | why |
//! |---|---|---|---|---|---|
//! | output limit | `max_completion_tokens` | `max_tokens` | as `openai` | `max_tokens` | `OpenAI`'s reasoning models refuse the old name, most imitators know only that |
//! | developer messages | `developer` | `system` | `system` | `system` | the newer role is unknown to most chat templates and to some models at Azure |
//! | reasoning of earlier turns | left out | `reasoning_content` beside tool calls, else left out; `reasoning_details` that came with it | left out | signed thoughts as parts of the message, else left out | `OpenAI` has no field for it and keeps it on its side; `DeepSeek` and Moonshot demand it back while tools are being called and ignore or refuse it otherwise; routers want the `reasoning_details` back that they told, in any case |
//! | `top_k` | refused | sent | refused | sent | `OpenAI` refuses the field, most imitators have it |
//! | path | `/chat/completions` | same | of the v1 or the classic interface, see `azure` | same | a deployment is part of Azure's classic address |
//! | usage in streams | asked for | asked for | asked for | comes unasked | Mistral refuses any field it does not know |
//! | `user`, `logit_bias`, names | sent | sent | sent | refused | same |
//! | seed, "some tool" | `seed`, `required` | same | same | `random_seed`, `any` | Mistral's names for them |
//! | tools without parameters | no `parameters` | same | same | an empty object | Mistral requires them |
//! | ids of tool calls | as they are | same | same | nine letters and digits | Mistral refuses others, see `mistral` |
//! | a last message of the assistant's | as it is | same | same | marked as a prefix | Mistral refuses it otherwise |
//! | tools that the server runs | refused | sent | refused | refused | `OpenAI` and Mistral have them in other interfaces only, imitators here |
//! | sound in answers, keys of the prompt cache | asked for, sent | same | same | refused, left out | Mistral has none |
//! | documents, audio, refusals | `file`, `input_audio`, `refusal` | same | same | `document_url`, bare `input_audio`, text | Mistral's forms of them |

use crate::chat::Role;
use crate::codec::Kind;

/// The differences, all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// The kind that speaks it.
    pub(super) kind: Kind,
    /// Which field limits the output.
    pub(super) limit: LimitField,
    /// What developer messages are sent as.
    pub(super) developer: Role,
    /// Whether the reasoning of a turn goes back: as the `reasoning_details` that it came with, or, where tools were
    /// called, as `reasoning_content`.
    pub(super) returns_reasoning: bool,
    /// Whether the state of calls goes back to the model, as Google's models want it.
    pub(super) returns_call_state: bool,
    /// Whether tools that the server itself runs stand among the others.
    pub(super) own_tools: bool,
    /// Whether `top_k` is known.
    pub(super) top_k: bool,
    /// Whose forms and names are used where Mistral has its own.
    pub(super) forms: Forms,
}

impl Dialect {
    /// With what a server of this dialect wants for the sake of that model.
    pub(super) fn for_model(self, model: &str) -> Self {
        Self {
            returns_call_state: self.kind == Kind::OpenAiCompatible && model.contains("gemini"),
            ..self
        }
    }
}

/// Which field limits the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitField {
    MaxTokens,
    MaxCompletionTokens,
}

/// Whose forms and names are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forms {
    OpenAi,
    Mistral,
}

/// `OpenAI`'s own.
pub(crate) const OPENAI: Dialect = Dialect {
    kind: Kind::OpenAi,
    limit: LimitField::MaxCompletionTokens,
    developer: Role::Developer,
    returns_reasoning: false,
    returns_call_state: false,
    own_tools: false,
    top_k: false,
    forms: Forms::OpenAi,
};

/// What most imitators understand.
pub(crate) const COMPATIBLE: Dialect = Dialect {
    kind: Kind::OpenAiCompatible,
    limit: LimitField::MaxTokens,
    developer: Role::System,
    returns_reasoning: true,
    returns_call_state: false,
    own_tools: true,
    top_k: true,
    forms: Forms::OpenAi,
};

/// Azure's.
pub(crate) const AZURE: Dialect = Dialect {
    kind: Kind::AzureOpenAi,
    limit: LimitField::MaxCompletionTokens,
    developer: Role::System,
    returns_reasoning: false,
    returns_call_state: false,
    own_tools: false,
    top_k: false,
    forms: Forms::OpenAi,
};

/// Mistral's.
pub(crate) const MISTRAL: Dialect = Dialect {
    kind: Kind::Mistral,
    limit: LimitField::MaxTokens,
    developer: Role::System,
    returns_reasoning: false,
    returns_call_state: false,
    own_tools: false,
    top_k: true,
    forms: Forms::Mistral,
};
