//! The canonical conversation: what every edge decodes into and every codec encodes from.
//!
//! It is the union of what the supported providers can say, not the smallest common part: a codec
//! that cannot express a field refuses the request and names the field, so nothing is dropped
//! unseen on the way from caller to model.

mod aside;
mod assemble;
mod citation;
mod feature;
mod join;
mod json;
mod message;
mod request;
mod response;

pub use aside::{Aside, Details};
pub(crate) use aside::{Retold, details};
pub use assemble::Assembler;
pub use citation::{Citation, Location, Unit};
pub(crate) use citation::{CitedBlock, Extent, MOST_CITATIONS, Ruler};
pub use feature::Feature;
pub use json::Json;
pub use message::{
    Audio, Document, DocumentSource, Image, Message, Opaque, Part, Role, Source, StoredFile,
    ToolCall,
};
pub use request::{
    AudioOutput, CachePlace, CachePoint, Effort, Function, JsonSchema, MAX_JSON_DEPTH, Modality,
    PromptCache, ProviderTool, Reasoning, Request, ResponseFormat, Tool, ToolChoice,
};
pub use response::{
    Billed, Choice, Chunk, Delta, FinishReason, Response, Tier, Usage, UsageSource, Warning,
};
