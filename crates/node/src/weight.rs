//! What requests take that are kept longer than it takes to send them.

use tollgate_provider::chat::{DocumentSource, Part, Request, Source};

/// The bytes of memory that a request takes, nearly.
pub(crate) fn weight(request: &Request) -> usize {
    let parts = request.messages.iter().flat_map(|it| &it.parts);
    let tools = request.tools.iter().map(|it| {
        let schema = it.function().and_then(|it| it.parameters.as_ref());
        it.name().len() + schema.map_or(0, |it| it.get().len())
    });
    parts.map(part_weight).chain(tools).sum()
}

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
        Part::Audio(audio) => audio.data.len() + audio.transcript.len(),
    }
}

fn source_weight(source: &Source) -> usize {
    match source {
        Source::Url(url) => url.len(),
        Source::Bytes { data, .. } => data.len(),
        Source::Stored(_) => 0,
    }
}
