//! What a caller asks for.

mod extra;

use std::sync::Arc;

use tollgate_policy::complexity;
use tollgate_policy::condition::Features;
use tollgate_policy::price::Bounds;
use tollgate_policy::table::{Labels, Model};
use tollgate_provider::chat::{self, Part, ResponseFormat, Role};
use tollgate_provider::embeddings::{self, Input};

use crate::bounds::{bounds, embedding_bounds, has_audio, has_images};
use crate::counting::{Counted, Counting};
use crate::error::Error;

pub(crate) use extra::{Extra, Wants, has_search_option};

/// What a caller asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// That a conversation be answered.
    Completion {
        /// The conversation.
        request: Box<chat::Request>,
        /// Whether the answer is to be streamed.
        stream: bool,
    },
    /// Vectors.
    Embeddings(Box<embeddings::Request>),
}

/// Which kind of thing it is, for the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Operation {
    /// An answer in one piece.
    #[default]
    Completion,
    /// An answer piece by piece.
    Stream,
    /// Vectors.
    Embeddings,
}

// === impl Asked ===

impl Asked {
    /// Which kind of thing it is.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Completion { stream: false, .. } => Operation::Completion,
            Self::Completion { stream: true, .. } => Operation::Stream,
            Self::Embeddings(_) => Operation::Embeddings,
        }
    }

    /// The model, as the caller named it.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Completion { request, .. } => &request.model,
            Self::Embeddings(request) => &request.model,
        }
    }

    /// Whether the answer is to be streamed.
    pub(crate) fn streams(&self) -> bool {
        self.operation() == Operation::Stream
    }

    /// How many answers are asked for; vectors are none.
    pub(crate) fn choices(&self) -> u32 {
        match self {
            Self::Completion { request, .. } => request.choices.unwrap_or(1),
            Self::Embeddings(_) => 0,
        }
    }

    /// The caller's labels.
    pub(crate) fn metadata(&self) -> &Labels {
        match self {
            Self::Completion { request, .. } => &request.metadata,
            Self::Embeddings(request) => &request.metadata,
        }
    }

    /// The caller's name for its end user.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Completion { request, .. } => request.user.as_deref(),
            Self::Embeddings(request) => request.user.as_deref(),
        }
    }

    /// What is paid for apart from tokens of text.
    pub(crate) fn extras(&self) -> Vec<Extra> {
        match self {
            Self::Completion { request, .. } => extra::of_completion(request),
            Self::Embeddings(request) => extra::of_embeddings(request),
        }
    }

    /// How much work it asks for, from 0 to 1. Vectors are no work.
    pub(crate) fn complexity(&self) -> f64 {
        let Self::Completion { request, .. } = self else {
            return 0.0;
        };
        let messages = request.messages.iter().rev();
        let of_user = messages.filter(|it| it.role == Role::User);
        complexity::score(of_user.map(|message| message.parts.iter().filter_map(Part::as_text)))
    }

    /// What conditions of routes can tell apart about it, within these bounds, beside what takes work to find out.
    pub(crate) fn features(&self, bounds: &Bounds) -> Features<'_> {
        let plain = Features {
            input_tokens: bounds.input,
            max_output_tokens: bounds.output,
            complexity: 0.0,
            stream: self.streams(),
            has_tools: false,
            has_images: false,
            has_audio: false,
            has_schema: false,
            user: self.user().unwrap_or_default(),
            metadata: self.metadata(),
            budgets: &[],
        };
        match self {
            Self::Completion { request, .. } => Features {
                has_tools: !request.tools.is_empty(),
                has_images: has_images(request),
                has_audio: has_audio(request),
                has_schema: matches!(request.response_format, Some(ResponseFormat::JsonSchema(_))),
                ..plain
            },
            Self::Embeddings(request) => Features {
                has_images: request
                    .inputs
                    .iter()
                    .any(|it| matches!(it, Input::Image(_))),
                ..plain
            },
        }
    }

    /// Makes sure that the answer has a ceiling, the one that is reserved. Vectors are no output.
    ///
    /// # Errors
    /// The request wants more output than the model may give.
    pub(crate) fn cap_output(&mut self, model: &Model) -> Result<(), Error> {
        match self {
            Self::Completion { request, .. } => cap_output(request, model),
            Self::Embeddings(_) => Ok(()),
        }
    }

    /// Counts the tokens of what goes in.
    pub(crate) fn count(&self, counting: Arc<Counting>) -> Counted {
        match self {
            Self::Completion { request, .. } => counting.count(request),
            Self::Embeddings(request) => counting.count_inputs(request),
        }
    }

    /// The most that it may use, with so many tokens of input.
    pub(crate) fn bounds(&self, input: u64) -> Bounds {
        match self {
            Self::Completion { request, .. } => bounds(request, input),
            Self::Embeddings(request) => embedding_bounds(request, input),
        }
    }
}

fn cap_output(request: &mut chat::Request, model: &Model) -> Result<(), Error> {
    let most = model.max_output_tokens;
    match request.max_output_tokens {
        Some(0) => Err(Error::field("max_output_tokens", "must be at least 1")),
        Some(asked) if asked > most => Err(Error::field(
            "max_output_tokens",
            format!(
                "is {asked}, and model `{}` allows at most {most}",
                model.name
            ),
        )),
        Some(_) => Ok(()),
        None => {
            request.max_output_tokens = Some(most);
            Ok(())
        }
    }
}

// === impl Operation ===

impl Operation {
    /// The name used in logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Completion | Self::Stream => "completion",
            Self::Embeddings => "embeddings",
        }
    }
}
