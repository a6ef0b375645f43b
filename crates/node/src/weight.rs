//! What requests take that are kept longer than it takes to send them.

use tollgate_provider::chat::{DocumentSource, Part, Request, Source};

/// The bytes of memory that a request takes, or a copy of it, nearly.
pub(crate) fn weight(request: &Request) -> usize {
    let parts = request.messages.iter().flat_map(|it| &it.parts);
    let tools = request.tools.iter().map(|it| {
        let schema = it.parameters.as_ref().map_or(0, |it| it.get().len());
        it.name.len() + schema
    });
    parts.map(part_weight).chain(tools).sum()
}

/// Contents of files are shared, not copied.
fn part_weight(part: &Part) -> usize {
    match part {
        Part::Text(text) | Part::Refusal(text) | Part::Reasoning { text, .. } => text.len(),
        Part::Cited { text, citations } => text.len() + 256 * citations.len(),
        Part::ToolCall(call) => call.name.len() + call.arguments.len(),
        Part::ToolResult { parts, .. } => parts.iter().map(part_weight).sum(),
        Part::Document(document) => match &document.source {
            DocumentSource::Text { text, .. } => text.len(),
            DocumentSource::File(source) => source_weight(source),
        },
        Part::Image(image) => source_weight(&image.source),
        Part::Audio { .. } => 0,
    }
}

fn source_weight(source: &Source) -> usize {
    match source {
        Source::Url(url) => url.len(),
        Source::Bytes { .. } => 0,
    }
}
