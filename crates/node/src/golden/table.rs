//! The tables of what each kind of provider knows: `crates/provider/README.md`.
//!
//! The first is made of the fixtures. The second, of answers, is written by hand; what is checked of it is that the
//! tests it names exist, and that it leaves nothing out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tollgate_provider::chat::{Aside, Chunk, Delta, FinishReason, Usage, UsageSource};
use tollgate_provider::{Class, Kind};

use super::features::FEATURES;
use super::{Fixture, Outcome, blessed, by_grpc, folder, outcomes};

const BEGIN: &str = "<!-- made by `cargo test -p tollgate-node golden` -->\n";
const END: &str = "<!-- end -->\n";
/// The folders of `crates/provider/src` whose formats are the columns of the second table.
const FORMATS: [&str; 6] = [
    "openai",
    "anthropic",
    "gemini",
    "cohere",
    "bedrock",
    "responses",
];

fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../provider")
}

fn readme() -> String {
    std::fs::read_to_string(crate_folder().join("README.md")).unwrap()
}

/// Why something is refused, each reason once, by its number.
#[derive(Default)]
pub(super) struct Reasons(Vec<String>);

impl Reasons {
    /// The list of them, below a table.
    pub(super) fn notes(&self) -> String {
        let mut out = "\n".to_owned();
        for (index, reason) in self.0.iter().enumerate() {
            let _ = writeln!(out, "{}. {reason}", index + 1);
        }
        out.push('\n');
        out
    }

    fn number(&mut self, refusal: &str, kind: Kind) -> usize {
        // A refusal names the field, the kind and the reason.
        let marker = format!("{}: ", kind.as_str());
        let reason = refusal.split_once(&marker).map_or(refusal, |(_, it)| it);
        if let Some(at) = self.0.iter().position(|known| known == reason) {
            return at + 1;
        }
        self.0.push(reason.to_owned());
        self.0.len()
    }
}

fn row(feature: &str, reasons: &mut Reasons) -> String {
    let read = |name: &str| std::fs::read(folder().join(format!("{name}.json"))).unwrap();
    let (text, plain) = (read(feature), read("plain"));
    let fixture: Fixture<'_> = serde_json::from_slice(&text).unwrap();
    let plain: Fixture<'_> = serde_json::from_slice(&plain).unwrap();
    let stream = feature == "streaming";
    let with = outcomes(&by_grpc(fixture.grpc), stream);
    let without = outcomes(&by_grpc(fixture.without.unwrap_or(plain.grpc)), false);
    let edges = fixture.http.map_or("gRPC", |_| "both");
    let with = with.iter().map(|(column, it)| (column.codec.kind(), it));
    let without = without.iter().map(|(_, it)| it);
    let mut out = head(feature, "golden", edges);
    out.push_str(&cells(feature == "plain", with.zip(without), reasons));
    out
}

/// The first cells of a row.
pub(super) fn head(feature: &str, folder: &str, edges: &str) -> String {
    let title = feature.replace('_', " ");
    format!("| [{title}](../node/{folder}/{feature}.txt) | {edges} |")
}

/// The cells of a row, each of what comes of a request with the feature, and without it.
pub(super) fn cells<'a>(
    plain: bool,
    outcomes: impl Iterator<Item = ((Kind, &'a Outcome), &'a Outcome)>,
    reasons: &mut Reasons,
) -> String {
    let mut out = String::new();
    for ((kind, with), without) in outcomes {
        let cell = match with {
            _ if !plain && with == without => "untold".to_owned(),
            Outcome::Sent(_) => "yes".to_owned(),
            Outcome::LeftOut { refusal, .. } => {
                format!("no, or left out ({})", reasons.number(refusal, kind))
            }
            Outcome::Refused(refusal) => format!("no ({})", reasons.number(refusal, kind)),
        };
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
    out
}

/// The first table and its notes.
fn requests() -> String {
    let mut reasons = Reasons::default();
    let mut out = "\n| a request with | edges |".to_owned();
    let columns = super::columns();
    for column in &columns {
        let _ = write!(out, " {} |", column.title);
    }
    let _ = writeln!(out, "\n|---|---|{}", "---|".repeat(columns.len()));
    for feature in FEATURES {
        out.push_str(&row(feature, &mut reasons));
    }
    out.push_str(&reasons.notes());
    out
}

/// Holds the part of the README after a line against what it should say, or writes it anew.
#[track_caller]
pub(super) fn compare_part(begin: &str, made: &str) {
    let readme = readme();
    let (front, rest) = readme.split_once(begin).unwrap();
    let (table, back) = rest.split_once(END).unwrap();
    if blessed() {
        let text = format!("{front}{begin}{made}{END}{back}");
        std::fs::write(crate_folder().join("README.md"), text).unwrap();
    } else {
        assert!(
            table == made,
            "crates/provider/README.md is not what `golden` says:\n{made}"
        );
    }
}

#[test]
fn the_readme_says_what_each_kind_takes() {
    compare_part(BEGIN, &requests());
}

/// The rows of the second table: title, and a cell for each format.
fn answers(readme: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, after) = readme.split_once("\n| an answer with |").unwrap();
    let rows = after
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        (cells.next().unwrap(), cells.collect())
    })
    .collect()
}

/// The words of a title that may be a link.
fn unlinked(title: &str) -> &str {
    let link = title.strip_prefix('[').and_then(|it| it.split_once(']'));
    link.map_or(title, |(words, _)| words)
}

#[test]
fn the_readme_shows_what_callers_get_of_answers() {
    let readme = readme();
    let titles = answers(&readme).into_iter().map(|(title, _)| title);
    let shown: BTreeSet<_> = titles.filter(|title| title.starts_with('[')).collect();
    let is_shown = |name: &str| {
        let file = format!("](../node/golden/answers/{name}.txt)");
        shown.iter().any(|title| title.ends_with(&file))
    };
    let missing: Vec<_> = super::answers::FEATURES
        .into_iter()
        .filter(|name| !is_shown(name))
        .collect();
    assert!(missing.is_empty(), "no row shows {missing:?}");
    assert_eq!(shown.len(), super::answers::FEATURES.len());
}

/// The source of every test of a format.
fn sources(folder: &Path, out: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else {
            out.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_readme_names_tests_that_exist() {
    let readme = readme();
    let mut of_formats = Vec::new();
    for format in FORMATS {
        let mut source = String::new();
        sources(&crate_folder().join("src").join(format), &mut source);
        of_formats.push(source);
    }
    for (title, cells) in answers(&readme) {
        assert_eq!(cells.len(), FORMATS.len(), "{title}");
        for ((cell, format), source) in cells.iter().zip(FORMATS).zip(&of_formats) {
            if let Some(reason) = cell.strip_prefix("no: ") {
                assert!(!reason.is_empty(), "{title}, {format}");
                continue;
            }
            let test = cell.strip_prefix('`').and_then(|it| it.strip_suffix('`'));
            let test = test.unwrap_or_else(|| panic!("{title}, {format}: `{cell}` is no test"));
            let declared = format!("#[test]\nfn {test}() {{");
            assert!(
                source.contains(&declared),
                "{title}: {format} has no test {test}"
            );
        }
    }
}

fn of_chunk(chunk: &Chunk) -> &'static str {
    match chunk {
        Chunk::Warning(_) | Chunk::Start { .. } => "its id and model",
        Chunk::Delta { delta, .. } => match delta {
            Delta::Text(_) => "text",
            Delta::Refusal(_) => "a refusal explained",
            Delta::Reasoning(_) => "reasoning",
            Delta::ReasoningState(_) => "state of reasoning",
            Delta::ToolCall { .. } | Delta::ToolArguments { .. } => "parallel tool calls",
            Delta::ToolState { .. } => "state of tool calls",
            Delta::Audio(_) => "sound",
            Delta::Citation(_) => "sources of a text",
            Delta::Logprobs(_) => "log probabilities",
        },
        Chunk::Finish { reason, .. } => match reason {
            FinishReason::Stop
            | FinishReason::Length
            | FinishReason::ToolCalls
            | FinishReason::ContentFilter
            | FinishReason::Refusal
            | FinishReason::Other => "every finish reason",
        },
        Chunk::UsageReport(_) => "usage in the provider's own words",
        Chunk::Aside(aside) => match aside {
            Aside::Fingerprint(_) => "its configuration",
            Aside::StopSequence { .. } => "the text it stopped at",
            Aside::Detail { .. } => "details of its provider's own",
        },
        Chunk::Usage(usage) => of_usage(usage)[0],
    }
}

/// The rows for what usage tells.
fn of_usage(usage: &Usage) -> [&'static str; 4] {
    let Usage {
        input_total: _,
        output_total: _,
        source: _,
        cache_read: _,
        cache_write: _,
        cache_write_1h: _,
        input_audio: _,
        output_audio: _,
        input_image: _,
        output_image: _,
        tier: _,
        reasoning: _,
        billed: _,
        searches: _,
        ..
    } = usage;
    [
        "usage",
        "cached input in usage",
        "reasoning in usage",
        "usage that cannot be believed",
    ]
}

fn of_class(class: Class) -> &'static str {
    match class {
        Class::CallerError
        | Class::ContextTooLong
        | Class::ContentFilter
        | Class::KeyDead
        | Class::KeyLimited
        | Class::Ramping
        | Class::Overloaded
        | Class::Server
        | Class::Transport => "an error by its status and body",
        Class::Truncated => "a cut at any byte",
    }
}

#[test]
fn the_readme_leaves_nothing_out() {
    let readme = readme();
    let told: BTreeSet<_> = answers(&readme)
        .into_iter()
        .map(|(title, _)| unlinked(title))
        .collect();
    let delta = |delta| Chunk::Delta { choice: 0, delta };
    let usage = Usage::of(1, 1, UsageSource::Provider);
    let opaque = tollgate_provider::chat::Opaque {
        provider: String::new(),
        kind: String::new(),
        bytes: bytes::Bytes::new(),
    };
    let json = tollgate_provider::chat::Json::parse("1".to_owned()).unwrap();
    let (index, text) = (0, String::new());
    let chunks = [
        Chunk::Start {
            id: text.clone(),
            model: text.clone(),
        },
        delta(Delta::Text(text.clone())),
        delta(Delta::Refusal(text.clone())),
        delta(Delta::Reasoning(text.clone())),
        delta(Delta::ReasoningState(opaque.clone())),
        delta(Delta::ToolCall {
            index,
            id: text.clone(),
            name: text,
        }),
        delta(Delta::ToolState {
            index,
            state: opaque,
        }),
        delta(Delta::Audio(tollgate_provider::chat::Audio::default())),
        delta(Delta::Citation(tollgate_provider::chat::Citation::default())),
        delta(Delta::Logprobs(json.clone())),
        Chunk::Finish {
            choice: 0,
            reason: FinishReason::Stop,
        },
        Chunk::Aside(Aside::Fingerprint(String::new())),
        Chunk::Aside(Aside::StopSequence {
            choice: 0,
            text: String::new(),
        }),
        Chunk::Aside(Aside::Detail {
            choice: None,
            name: "",
            value: json.clone(),
        }),
        Chunk::UsageReport(json),
    ];
    let rows = chunks.iter().map(of_chunk).chain(of_usage(&usage));
    let rows = rows.chain([of_class(Class::Server), of_class(Class::Truncated)]);
    let missing: Vec<_> = rows.filter(|row| !told.contains(row)).collect();
    assert!(
        missing.is_empty(),
        "crates/provider/README.md says nothing of {missing:?}"
    );
}
