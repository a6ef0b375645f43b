//! Deployments: one model at one provider each.

use std::sync::Arc;

use super::{Api, CounterSpec, Provider};
use crate::pb;
use crate::price::Price;

/// How a model is told to go on with an answer that another began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// By a last message that is the assistant's.
    LastMessage,
    /// The same, and the field `continue_final_message` of the request.
    ContinueFinalMessage,
}

impl Prefill {
    pub(super) fn of(it: pb::Prefill) -> Option<Self> {
        match it {
            pb::Prefill::Unspecified => None,
            pb::Prefill::LastMessage => Some(Self::LastMessage),
            pb::Prefill::ContinueFinalMessage => Some(Self::ContinueFinalMessage),
        }
    }
}

/// What a request may ask of a model that not every model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Pictures in the conversation.
    Images,
    /// Files in the conversation.
    Documents,
    /// Sound in the conversation, or as an answer.
    Audio,
    /// Tools.
    Tools,
    /// An answer that follows a schema.
    JsonSchema,
    /// How much to think.
    Reasoning,
}

impl Feature {
    pub(super) fn of(it: pb::Feature) -> Option<Self> {
        Some(match it {
            pb::Feature::Unspecified => return None,
            pb::Feature::Images => Self::Images,
            pb::Feature::Documents => Self::Documents,
            pb::Feature::Audio => Self::Audio,
            pb::Feature::Tools => Self::Tools,
            pb::Feature::JsonSchema => Self::JsonSchema,
            pb::Feature::Reasoning => Self::Reasoning,
        })
    }
}

/// One model at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its place in [`Table::deployments`](super::Table::deployments).
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub provider: Arc<Provider>,
    /// The model's name there.
    pub model: String,
    /// The model's name by which others know it.
    pub base_model: String,
    /// Which of the provider's interfaces conversations go over.
    pub api: Api,
    /// What it costs. None: unknown, which is not nothing.
    pub price: Option<Price>,
    /// How it is told to go on with an answer. None: it cannot be.
    pub prefill: Option<Prefill>,
    /// What its model does not take.
    pub lacks: Vec<Feature>,
    /// What its provider lets through to it, and to the account: the counters that must admit an attempt, in the order
    /// of [`Table::limits`](super::Table::limits).
    pub ceilings: Vec<CounterSpec>,
}
