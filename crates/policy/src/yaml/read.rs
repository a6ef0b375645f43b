//! From a tree of nodes to a message, driven by the message's descriptor.

use std::collections::HashMap;

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage, Value,
};

use super::known;
use super::scalar::{CALENDAR, Wrong, quoted, read_money, read_time, read_weight};
use super::tree::{Content, Entry, Node};
use super::{DURATION, USD, WEIGHT, WINDOW, short_name};
use crate::fault::{Fault, Place};
use crate::{nearest, path};

/// Reads trees into one message and remembers what was wrong and where everything was.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
    /// Where each path is written.
    pub(super) places: HashMap<String, Place>,
}

impl Reader {
    /// Reads a mapping into a message. What the message holds already stays: maps and lists grow, and an entry
    /// that is there twice is a fault.
    pub(super) fn message(&mut self, message: &mut DynamicMessage, node: &Node, at: &str) {
        if node.is_null() {
            return;
        }
        let Content::Mapping(entries) = &node.content else {
            let fault = Fault::new(
                at,
                format!("is {} where a mapping is expected", node.noun()),
            );
            self.faults
                .push(fault.hint(fields_hint(message)).at(node.place.clone()));
            return;
        };
        let mut members = HashMap::new();
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        for entry in entries {
            let Some(field) = message.descriptor().get_field_by_name(&entry.key) else {
                self.unknown_field(message, entry, at);
                continue;
            };
            let here = path::field(at, field.name());
            if let Some(first) = seen.insert(&entry.key, &entry.place) {
                self.twice(here, first, &entry.place);
                continue;
            }
            self.note(&here, &entry.place);
            if entry.node.is_null() {
                continue;
            }
            if let Some(first) = other_member(&field, &mut members) {
                let problem = format!("`{}` and `{first}` exclude each other", field.name());
                let fault = Fault::new(here, problem).hint("write only one of them");
                self.faults.push(fault.at(entry.place.clone()));
                continue;
            }
            self.field(message, &field, &entry.node, &here);
        }
    }

    fn field(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        node: &Node,
        at: &str,
    ) {
        if field.is_map() {
            self.map(message, field, node, at);
        } else if field.is_list() {
            self.list(message, field, node, at);
        } else if let Some(value) = self.value(&field.kind(), node, at) {
            message.set_field(field, value);
        }
    }

    fn map(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        node: &Node,
        at: &str,
    ) {
        let Content::Mapping(entries) = &node.content else {
            let fault = Fault::new(
                at,
                format!("is {} where a mapping is expected", node.noun()),
            );
            self.faults.push(
                fault
                    .hint("write `name: { ... }` entries")
                    .at(node.place.clone()),
            );
            return;
        };
        let Kind::Message(pair) = field.kind() else {
            return;
        };
        let kind = pair.map_entry_value_field().kind();
        for entry in entries {
            let here = path::entry(at, &entry.key);
            if let Some(first) = self.places.get(&here).cloned() {
                self.twice(here, &first, &entry.place);
                continue;
            }
            self.note(&here, &entry.place);
            // An entry is there even if it is empty or faulty: others may refer to it.
            let value = self.value(&kind, &entry.node, &here);
            let value = value.unwrap_or_else(|| Value::default_value(&kind));
            if let Some(map) = message.get_field_mut(field).as_map_mut() {
                map.insert(MapKey::String(entry.key.clone()), value);
            }
        }
    }

    fn list(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        node: &Node,
        at: &str,
    ) {
        let Content::List(items) = &node.content else {
            let fault = Fault::new(at, format!("is {} where a list is expected", node.noun()));
            self.faults.push(
                fault
                    .hint("write `[ ... ]`, or one `- ` line per item")
                    .at(node.place.clone()),
            );
            return;
        };
        for node in items {
            // Counted over everything read so far, so that paths of merged files are those of the whole policy.
            let index = message.get_field(field).as_list().map_or(0, <[Value]>::len);
            let here = path::item(at, index);
            self.note(&here, &node.place);
            // A faulty item keeps its place, so that the paths of those after it are right.
            let value = self.value(&field.kind(), node, &here);
            let value = value.unwrap_or_else(|| Value::default_value(&field.kind()));
            if let Some(list) = message.get_field_mut(field).as_list_mut() {
                list.push(value);
            }
        }
    }

    fn value(&mut self, kind: &Kind, node: &Node, at: &str) -> Option<Value> {
        let message = kind.as_message();
        if let Some(it) =
            message.filter(|it| !matches!(it.full_name(), DURATION | WINDOW | USD | WEIGHT))
        {
            let mut message = DynamicMessage::new(it.clone());
            self.message(&mut message, node, at);
            return Some(Value::Message(message));
        }
        let read = text(node).and_then(|text| scalar(kind, text));
        read.map_err(|(problem, hint)| {
            let hint = Some(hint).filter(|hint| !hint.is_empty());
            self.faults.push(
                Fault::new(at, problem)
                    .maybe_hint(hint)
                    .at(node.place.clone()),
            );
        })
        .ok()
    }

    fn unknown_field(&mut self, message: &DynamicMessage, entry: &Entry, at: &str) {
        let descriptor = message.descriptor();
        let here = path::entry(at, &entry.key);
        let fault = if known::field_is_planned(descriptor.name(), &entry.key) {
            Fault::new(
                here,
                format!("`{}` is not supported by this version yet", entry.key),
            )
            .hint("leave it out")
        } else {
            let advice = known::advice(descriptor.name(), &entry.key).map(str::to_owned);
            let fields: Vec<_> = descriptor.fields().collect();
            let near = || nearest::hint(&entry.key, fields.iter().map(FieldDescriptor::name));
            Fault::new(here, "there is no such field").maybe_hint(advice.or_else(near))
        };
        self.faults.push(fault.at(entry.place.clone()));
    }

    fn twice(&mut self, at: String, first: &Place, second: &Place) {
        let fault = Fault::new(at, format!("is defined twice, first at {first}"));
        self.faults.push(
            fault
                .hint("rename or remove one of them")
                .at(second.clone()),
        );
    }

    fn note(&mut self, at: &str, place: &Place) {
        self.places
            .entry(at.to_owned())
            .or_insert_with(|| place.clone());
    }
}

/// The member of the same oneof that was seen before, if the field is in one.
fn other_member(field: &FieldDescriptor, seen: &mut HashMap<String, String>) -> Option<String> {
    let group = field.containing_oneof()?;
    seen.insert(group.name().to_owned(), field.name().to_owned())
}

fn text(node: &Node) -> Result<&str, Wrong> {
    match &node.content {
        Content::Scalar { .. } if node.is_null() => Err(("is empty".to_owned(), String::new())),
        Content::Scalar { text, .. } => Ok(text),
        Content::List(_) | Content::Mapping(_) => Err((
            format!("is {} where a single value is expected", node.noun()),
            String::new(),
        )),
    }
}

fn scalar(kind: &Kind, text: &str) -> Result<Value, Wrong> {
    match kind {
        Kind::Message(it) => match it.full_name() {
            DURATION => read_time(text).and_then(|nanos| duration(it, nanos)),
            WINDOW => match CALENDAR.iter().position(|short| *short == text) {
                // The first number of the enum says that nothing is set.
                Some(at) => Ok(single(it, "calendar", Value::EnumNumber(at as i32 + 1))),
                None => read_time(text).and_then(|nanos| window(it, nanos)),
            },
            WEIGHT => read_weight(text).map(|it_is| single(it, "thousandths", Value::U32(it_is))),
            _ => read_money(text).map(|nanos| single(it, "nanos", Value::I64(nanos))),
        },
        Kind::Enum(it) => enumeration(it, text).map(Value::EnumNumber),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => boolean(text).map(Value::Bool),
        Kind::Uint32 | Kind::Fixed32 => whole(text).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => whole(text).map(Value::U64),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => whole(text).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => whole(text).map(Value::I64),
        Kind::Float => whole(text).map(Value::F32),
        Kind::Double => whole(text).map(Value::F64),
        Kind::Bytes => Err(("cannot be written in YAML".to_owned(), String::new())),
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, Wrong> {
    // Rust's numbers may start with `+`, which no other reader of a policy would expect.
    let wrong = || {
        (
            format!("{} is not a number that fits here", quoted(text)),
            "write a whole number".to_owned(),
        )
    };
    if text.starts_with('+') {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

fn boolean(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err((
            format!("{} is neither true nor false", quoted(text)),
            "write `true` or `false`".to_owned(),
        )),
    }
}

fn enumeration(it: &EnumDescriptor, text: &str) -> Result<i32, Wrong> {
    let names: Vec<_> = it
        .values()
        .map(|value| (short_name(it, value.name()), value.number()))
        .collect();
    // The first value says that nothing is set. One does not write it.
    let names = names.get(1..).unwrap_or_default();
    if let Some((_, number)) = names.iter().find(|(name, _)| name == text) {
        return Ok(*number);
    }
    if known::value_is_planned(it.name(), text) {
        return Err((
            format!("`{text}` is not supported by this version yet"),
            choices(text, names),
        ));
    }
    Err((
        format!("{} is not known", quoted(text)),
        choices(text, names),
    ))
}

fn choices(text: &str, names: &[(String, i32)]) -> String {
    nearest::hint(text, names.iter().map(|(name, _)| name.as_str())).unwrap_or_default()
}

fn duration(it: &prost_reflect::MessageDescriptor, nanos: i128) -> Result<Value, Wrong> {
    let too_long = |_| ("is too long".to_owned(), String::new());
    let seconds = i64::try_from(nanos / 1_000_000_000).map_err(too_long)?;
    let rest = i32::try_from(nanos % 1_000_000_000).map_err(too_long)?;
    let mut message = DynamicMessage::new(it.clone());
    message.set_field_by_name("seconds", Value::I64(seconds));
    message.set_field_by_name("nanos", Value::I32(rest));
    Ok(Value::Message(message))
}

fn window(it: &prost_reflect::MessageDescriptor, nanos: i128) -> Result<Value, Wrong> {
    let hint = || {
        "write whole seconds, minutes or hours, such as `30s`, `5m` or `6h`, or `1d`, `1w`, `1mo`, `1q` or `1y`"
            .to_owned()
    };
    if nanos % 1_000_000_000 != 0 {
        return Err(("is not a whole number of seconds".to_owned(), hint()));
    }
    let seconds =
        u32::try_from(nanos / 1_000_000_000).map_err(|_| ("is too long".to_owned(), hint()))?;
    Ok(single(it, "seconds", Value::U32(seconds)))
}

/// A message of one field.
fn single(it: &prost_reflect::MessageDescriptor, field: &str, value: Value) -> Value {
    let mut message = DynamicMessage::new(it.clone());
    message.set_field_by_name(field, value);
    Value::Message(message)
}

fn fields_hint(message: &DynamicMessage) -> String {
    let descriptor = message.descriptor();
    let names: Vec<String> = descriptor
        .fields()
        .map(|field| format!("`{}`", field.name()))
        .collect();
    format!("its fields are {}", names.join(", "))
}
