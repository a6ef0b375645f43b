//! A policy as text: YAML (of which JSON is a part) to the contract's messages and back.
//!
//! One mapping, driven by the descriptors, so that a field added to the contract can be written at once: the
//! names are the contract's, values of enums are short and lower-case (`fixed`), lengths of time are `250ms`, `30s`,
//! `5m`, `1h`, money is a decimal number of US dollars, and of a oneof one names the member.
//!
//! Texts come from outside, so size, depth and what aliases amount to are bounded, and every fault is told at
//! once, with its path, its place, and what to write instead.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, MessageDescriptor};

use crate::fault::{Fault, Place};
use crate::{Error, pb};

mod known;
mod read;
mod scalar;
mod tree;
mod write;

/// Messages that have a form of their own.
const DURATION: &str = "google.protobuf.Duration";
const WINDOW: &str = "tollgate.policy.v1.Window";
const USD: &str = "tollgate.policy.v1.Usd";
const WEIGHT: &str = "tollgate.policy.v1.Weight";

/// Longest text of all sources together, in bytes: several times the largest policy that can be stored.
pub const MAX_TEXT: usize = 4 << 20;

static POLICY: LazyLock<MessageDescriptor> = LazyLock::new(descriptor);

#[expect(
    clippy::expect_used,
    reason = "the descriptors are compiled into the program beside this code, and every test of this module reads them"
)]
fn descriptor() -> MessageDescriptor {
    DescriptorPool::decode(tollgate_proto::FILE_DESCRIPTOR_SET)
        .ok()
        .and_then(|pool| pool.get_message_by_name("tollgate.policy.v1.Policy"))
        .expect("the contract describes policies")
}

/// A text that holds a policy or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Name of the file, for messages.
    pub name: &'a str,
    /// Its bytes: UTF-8, any number of YAML documents.
    pub text: &'a [u8],
}

/// Reads one policy from all the sources together and validates it.
///
/// # Errors
/// Every fault of structure and meaning, each with its place. Faults of meaning that may only follow from a fault
/// of structure are left out: those of the same value, of what is around it, and of what the faulty part lacks.
pub fn load(sources: &[Source<'_>]) -> Result<pb::Policy, Vec<Fault>> {
    let Draft {
        policy,
        mut faults,
        places,
    } = draft(sources);
    let broken: Vec<String> = faults.iter().map(|fault| fault.path.clone()).collect();
    let follows = |fault: &Fault| {
        let at = fault.path.as_str();
        // What was not written may be what stands there under a wrong name.
        let lacking = !places.contains_key(at);
        broken
            .iter()
            .any(|it| is_within(it, at) || is_within(at, it) || (lacking && part(it) == part(at)))
    };
    let meaning = crate::validate(&policy)
        .into_iter()
        .filter(|fault| !follows(fault));
    faults.extend(meaning.map(|fault| located(fault, &places)));
    if faults.is_empty() {
        Ok(policy)
    } else {
        Err(faults)
    }
}

/// Reads one policy from all the sources together, without asking whether it makes sense.
///
/// # Errors
/// Every fault of structure: texts that are not YAML, fields and values that do not exist, entries defined twice.
pub fn parse(sources: &[Source<'_>]) -> Result<pb::Policy, Vec<Fault>> {
    let draft = draft(sources);
    if draft.faults.is_empty() {
        Ok(draft.policy)
    } else {
        Err(draft.faults)
    }
}

/// Adds to faults and [`warnings`](crate::warnings) of a policy where they are in the texts that it was read from.
#[must_use]
pub fn locate(faults: Vec<Fault>, sources: &[Source<'_>]) -> Vec<Fault> {
    let places = draft(sources).places;
    faults
        .into_iter()
        .map(|fault| located(fault, &places))
        .collect()
}

/// Writes a policy as YAML that [`parse`] reads back as the same policy.
///
/// # Errors
/// [`Error::Write`] where the YAML writer fails.
pub fn to_yaml(policy: &pb::Policy) -> Result<String, Error> {
    serde_saphyr::to_string(&humane(policy)).map_err(|error| Error::Write(error.to_string()))
}

/// Returns a policy as the JSON value of the same form.
#[must_use]
pub fn to_json(policy: &pb::Policy) -> serde_json::Value {
    humane(policy).into()
}

/// A window as it is written, such as `1h`.
pub(crate) fn write_window(it: pb::Window) -> String {
    // Number 0 says that the calendar does not decide.
    let calendar = usize::try_from(it.calendar - 1).ok();
    match calendar.and_then(|at| scalar::CALENDAR.get(at)) {
        Some(short) => (*short).to_owned(),
        None => scalar::write_time(i128::from(it.seconds) * 1_000_000_000),
    }
}

/// What was read, faulty or not.
#[derive(Default)]
struct Draft {
    policy: pb::Policy,
    faults: Vec<Fault>,
    places: HashMap<String, Place>,
}

fn draft(sources: &[Source<'_>]) -> Draft {
    let size: usize = sources.iter().map(|source| source.text.len()).sum();
    if size > MAX_TEXT {
        let problem =
            format!("the policy's text is {size} bytes long, at most {MAX_TEXT} are read");
        return Draft {
            faults: vec![Fault::new("", problem)],
            ..Draft::default()
        };
    }
    let mut message = DynamicMessage::new(POLICY.clone());
    let mut reader = read::Reader::default();
    for source in sources {
        match documents(source, &mut reader.faults) {
            Ok(documents) => {
                for document in documents {
                    reader.message(&mut message, &document, "");
                }
            }
            Err(fault) => reader.faults.push(fault),
        }
    }
    let read::Reader { mut faults, places } = reader;
    let policy = message.transcode_to().unwrap_or_else(|error| {
        faults.push(Fault::new(
            "",
            format!("does not fit the contract: {error}"),
        ));
        pb::Policy::default()
    });
    Draft {
        policy,
        faults,
        places,
    }
}

fn documents(
    source: &Source<'_>,
    faults: &mut Vec<Fault>,
) -> Result<Vec<std::sync::Arc<tree::Node>>, Fault> {
    let place = |line| Place {
        file: source.name.into(),
        line,
        column: 1,
    };
    let text = std::str::from_utf8(source.text).map_err(|error| {
        let valid = source.text.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Fault::new("", "is not UTF-8 text").at(place(line))
    })?;
    tree::read(source.name, text, faults)
}

fn humane(policy: &pb::Policy) -> write::Humane {
    let mut message = DynamicMessage::new(POLICY.clone());
    // Encoding cannot fail, and what the same contract encoded it decodes.
    match message.merge(policy.encode_to_vec().as_slice()) {
        Ok(()) => write::message(&message),
        Err(_) => write::Humane::Mapping(Vec::new()),
    }
}

/// The part of a policy that a path lies in: `limits[2]` for `limits[2].window`, `models.chat` for what is in it.
fn part(at: &str) -> &str {
    let section = section(at).len();
    let rest = at.get(section + 1..).unwrap_or_default();
    let end = rest
        .find(['.', '['])
        .map_or(at.len(), |end| section + 1 + end);
    at.get(..end).unwrap_or(at)
}

/// Whether a path is another one or lies in it: `limits[2].window` in `limits[2]`, everything in the empty path.
fn is_within(at: &str, around: &str) -> bool {
    let rest = at.strip_prefix(around);
    rest.is_some_and(|rest| around.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The section of a policy that a path lies in: `limits` for `limits[2].window`.
fn section(at: &str) -> &str {
    at.find(['.', '['])
        .and_then(|end| at.get(..end))
        .unwrap_or(at)
}

/// The fault with the place of its path, or of the nearest path around it.
fn located(mut fault: Fault, places: &HashMap<String, Place>) -> Fault {
    if fault.place.is_none() {
        fault.place = place(&fault.path, places);
    }
    if let Some(other) = fault.other.take().and_then(|path| place(&path, places)) {
        fault.problem = format!("{} (at {other})", fault.problem);
    }
    fault
}

fn place(path: &str, places: &HashMap<String, Place>) -> Option<Place> {
    let mut path = path;
    while !path.is_empty() {
        if let Some(place) = places.get(path) {
            return Some(place.clone());
        }
        path = path.get(..path.rfind(['.', '['])?)?;
    }
    None
}

/// The short name of an enum's value: `fixed` for `LIMIT_KIND_FIXED`.
fn short_name(enumeration: &EnumDescriptor, value: &str) -> String {
    let zero = enumeration.default_value();
    let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    value
        .strip_prefix(prefix)
        .unwrap_or(value)
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
