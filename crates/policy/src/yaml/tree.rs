//! YAML as a tree of nodes that know their place.
//!
//! Built from the parser's events rather than through serde, for two reasons: every node keeps its place in the
//! text, and scalars keep the text they were written as, so that `1.10` for a model's name stays `1.10`.
//!
//! Aliases share the node that they refer to, and what they would amount to if they were written out is bounded,
//! so that a small text cannot stand for a huge policy.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::fault::{Fault, Place};
use crate::path::shorten;

/// Deepest nesting. A policy needs seven levels.
const MAX_DEPTH: usize = 32;
/// Most nodes in a file, with aliases written out.
const MAX_NODES: usize = 200_000;

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Nodes in it, itself included, with aliases written out.
    size: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Content {
    /// A text, and whether it was written without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Arc<Node>>),
    /// A mapping, in the order of the text. A key may be there more than once, which YAML forbids: it is for the
    /// reader to report, who knows what is being read.
    Mapping(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Arc<Node>,
}

impl Node {
    /// Whether it stands for nothing at all.
    pub(super) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar { text, plain } => {
                *plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
            }
            Content::List(_) | Content::Mapping(_) => false,
        }
    }

    /// What it is, for messages.
    pub(super) fn noun(&self) -> &'static str {
        match &self.content {
            Content::Scalar { .. } => "a single value",
            Content::List(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// Reads every document of a text. Faults that do not hide the rest are added to `faults`.
///
/// # Errors
/// The fault that made it impossible to read on.
pub(super) fn read(
    file: &str,
    text: &str,
    faults: &mut Vec<Fault>,
) -> Result<Vec<Arc<Node>>, Fault> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.disallow_directives = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut reader = Reader {
        file: file.into(),
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        faults,
    };
    reader.documents()
}

struct Reader<'a> {
    file: Arc<str>,
    parser: Parser<'a, StrInput<'a>>,
    /// Finished nodes by the number of their anchor. One that is not finished is not here, so that no node can
    /// hold itself.
    anchors: HashMap<usize, Arc<Node>>,
    nodes: usize,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn documents(&mut self) -> Result<Vec<Arc<Node>>, Fault> {
        let mut documents = Vec::new();
        loop {
            let (event, _) = self.next()?;
            if event == Event::StreamEnd {
                return Ok(documents);
            }
            if matches!(event, Event::DocumentStart(..)) {
                self.anchors.clear();
                let (event, span) = self.next()?;
                documents.push(self.node(event, &span, 0)?);
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let marker = error.marker();
                let place = self.place(marker.line(), marker.col());
                Err(
                    Fault::new("", format!("is not valid YAML: {}", shorten(&error.info())))
                        .at(place),
                )
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the parser may gain kinds of events, and what is no value is none, whatever else it is"
    )]
    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Arc<Node>, Fault> {
        let place = self.place(span.start.line(), span.start.col());
        if depth > MAX_DEPTH {
            return Err(
                Fault::new("", format!("is nested more than {MAX_DEPTH} levels deep")).at(place),
            );
        }
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), &place);
                let plain = style == ScalarStyle::Plain;
                (
                    anchor,
                    Content::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), &place);
                (anchor, Content::List(self.list(depth)?))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), &place);
                (anchor, Content::Mapping(self.mapping(depth)?))
            }
            Event::Alias(anchor) => return self.alias(anchor, place),
            _ => return Err(Fault::new("", "is not valid YAML: a value is missing").at(place)),
        };
        self.count(1, &place)?;
        let size = 1 + children(&content).map(|node| node.size).sum::<usize>();
        let node = Arc::new(Node {
            place,
            content,
            size,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Arc<Node>>, Fault> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(items);
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Entry>, Fault> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let key = self.node(event, &span, depth + 1)?;
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            let Some((key, place)) = self.key(&key) else {
                continue;
            };
            entries.push(Entry { key, place, node });
        }
    }

    /// The text of a mapping's key. Other keys than texts are reported.
    fn key(&mut self, node: &Node) -> Option<(String, Place)> {
        let place = node.place.clone();
        match &node.content {
            Content::Scalar { text, plain: true } if text == "<<" => {
                let fault = Fault::new("", "merge keys (`<<`) are not part of YAML 1.2");
                self.faults
                    .push(fault.hint("use an alias for the whole value").at(place));
                None
            }
            Content::Scalar { text, .. } => Some((text.clone(), place)),
            Content::List(_) | Content::Mapping(_) => {
                let problem = format!("{} cannot be the key of a mapping", node.noun());
                self.faults
                    .push(Fault::new("", problem).hint("write a name").at(place));
                None
            }
        }
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<Arc<Node>, Fault> {
        let Some(node) = self.anchors.get(&anchor).map(Arc::clone) else {
            return Err(
                Fault::new("", "an alias refers to a value that it is itself part of").at(place),
            );
        };
        self.count(node.size, &place)?;
        Ok(node)
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let problem = format!("holds more than {MAX_NODES} values, with aliases written out");
        Err(Fault::new("", problem).at(place.clone()))
    }

    /// Tags of YAML's own schema say nothing that the contract does not; others mean something to somebody else.
    fn tag(&mut self, tag: Option<&Tag>, place: &Place) {
        if let Some(tag) = tag.filter(|tag| tag.is_custom()) {
            let problem = format!("the tag `{}` is not known", shorten(&tag.original()));
            self.faults.push(
                Fault::new("", problem)
                    .hint("leave it out")
                    .at(place.clone()),
            );
        }
    }

    fn place(&self, line: usize, column: usize) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line,
            // The parser counts columns from zero.
            column: column + 1,
        }
    }
}

fn children(content: &Content) -> Box<dyn Iterator<Item = &Arc<Node>> + '_> {
    match content {
        Content::Scalar { .. } => Box::new(std::iter::empty()),
        Content::List(items) => Box::new(items.iter()),
        Content::Mapping(entries) => Box::new(entries.iter().map(|entry| &entry.node)),
    }
}
