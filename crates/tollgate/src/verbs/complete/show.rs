//! A streamed answer as text, and one line that says what it took.

use std::time::Duration;

use tollgate_proto::completion::v1::{
    Cost, RouteTaken, StreamCompleteResponse, Usage, part_delta::Delta,
};

use crate::caller;
use crate::table::visible;

/// What has been shown of an answer, and the facts at its end.
#[derive(Debug)]
pub(super) struct Shown {
    /// Whether it goes to a terminal, which a model's text must not drive.
    terminal: bool,
    ends_line: bool,
    usage: Option<Usage>,
    cost: Option<Cost>,
    route: Option<RouteTaken>,
}

impl Shown {
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            terminal,
            ends_line: true,
            usage: None,
            cost: None,
            route: None,
        }
    }

    /// The text that a piece adds.
    pub(super) fn push(&mut self, piece: &StreamCompleteResponse) -> String {
        if piece.usage.is_some() {
            self.usage.clone_from(&piece.usage);
        }
        if piece.cost.is_some() {
            self.cost.clone_from(&piece.cost);
        }
        if piece.route.is_some() {
            self.route.clone_from(&piece.route);
        }
        let parts = piece.choices.iter().flat_map(|choice| &choice.parts);
        let texts = parts.filter_map(|part| match &part.delta {
            Some(Delta::Text(text) | Delta::Refusal(text)) => Some(text.as_str()),
            Some(
                Delta::Reasoning(_) | Delta::ToolCall(_) | Delta::Audio(_) | Delta::Citation(_),
            )
            | None => None,
        });
        let text: String = texts.collect();
        if let Some(last) = text.chars().last() {
            self.ends_line = last == '\n';
        }
        if self.terminal { harmless(&text) } else { text }
    }

    /// What brings the cursor to a new line.
    pub(super) fn line_end(&self) -> &'static str {
        if self.ends_line { "" } else { "\n" }
    }

    /// Usage, cost and route in one line.
    pub(super) fn summary(&self, took: Duration) -> String {
        let (cost, route) = (self.cost.as_ref(), self.route.as_ref());
        caller::summary(self.usage.as_ref(), cost, route, took)
    }
}

/// Keeps line ends and tabs, escapes other control characters.
fn harmless(text: &str) -> String {
    let lines = text.split_inclusive(['\n', '\t']);
    lines
        .map(|line| {
            let body = line.trim_end_matches(['\n', '\t']);
            format!("{}{}", visible(body), &line[body.len()..])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_text_cannot_drive_the_terminal() {
        assert_eq!(
            harmless("a\tb\n\nc\u{1b}]0;x\u{7}"),
            "a\tb\n\nc\\u{1b}]0;x\\u{7}"
        );
    }
}
