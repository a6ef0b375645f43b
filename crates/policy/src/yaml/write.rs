//! From a message to its humane form, in the order of the contract's fields, leaving out what is not set.

use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage, Value,
};
use serde::ser::{SerializeMap, Serializer};

use super::scalar::{write_money, write_time, write_weight};
use super::{DURATION, USD, WEIGHT, WINDOW, short_name};
use crate::pb;

/// A value in its humane form.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Humane {
    Text(String),
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    List(Vec<Humane>),
    Mapping(Vec<(String, Humane)>),
}

impl serde::Serialize for Humane {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(it) => serializer.serialize_str(it),
            Self::Bool(it) => serializer.serialize_bool(*it),
            Self::Signed(it) => serializer.serialize_i64(*it),
            Self::Unsigned(it) => serializer.serialize_u64(*it),
            Self::Float(it) => serializer.serialize_f64(*it),
            Self::List(items) => serializer.collect_seq(items),
            Self::Mapping(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl From<Humane> for serde_json::Value {
    fn from(humane: Humane) -> Self {
        match humane {
            Humane::Text(it) => it.into(),
            Humane::Bool(it) => it.into(),
            Humane::Signed(it) => it.into(),
            Humane::Unsigned(it) => it.into(),
            Humane::Float(it) => it.into(),
            Humane::List(items) => items.into_iter().map(Self::from).collect(),
            Humane::Mapping(entries) => {
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| (key, Self::from(value)));
                Self::Object(entries.collect())
            }
        }
    }
}

/// The humane form of a message.
pub(super) fn message(it: &DynamicMessage) -> Humane {
    match it.descriptor().full_name() {
        DURATION => Humane::Text(write_time(
            number(it, "seconds") * 1_000_000_000 + number(it, "nanos"),
        )),
        WINDOW => Humane::Text(window(it)),
        USD => Humane::Text(write_money(
            i64::try_from(number(it, "nanos")).unwrap_or(i64::MAX),
        )),
        WEIGHT => Humane::Text(write_weight(
            u32::try_from(number(it, "thousandths")).unwrap_or(u32::MAX),
        )),
        _ => {
            let descriptor = it.descriptor();
            let set = descriptor.fields().filter(|field| it.has_field(field));
            Humane::Mapping(
                set.map(|field| {
                    (
                        field.name().to_owned(),
                        value(&it.get_field(&field), &field),
                    )
                })
                .collect(),
            )
        }
    }
}

fn window(it: &DynamicMessage) -> String {
    let calendar = it.get_field_by_name("calendar");
    super::write_window(pb::Window {
        seconds: u32::try_from(number(it, "seconds")).unwrap_or(u32::MAX),
        calendar: calendar
            .and_then(|value| value.as_enum_number())
            .unwrap_or(0),
    })
}

fn value(it: &Value, field: &FieldDescriptor) -> Humane {
    match it {
        Value::List(items) => {
            Humane::List(items.iter().map(|it| single(it, &field.kind())).collect())
        }
        Value::Map(entries) => {
            let Kind::Message(pair) = field.kind() else {
                return Humane::Mapping(Vec::new());
            };
            let kind = pair.map_entry_value_field().kind();
            let mut entries: Vec<_> = entries
                .iter()
                .map(|(key, it)| (name(key), single(it, &kind)))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Humane::Mapping(entries)
        }
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::EnumNumber(_)
        | Value::Message(_) => single(it, &field.kind()),
    }
}

fn single(it: &Value, kind: &Kind) -> Humane {
    match it {
        Value::Bool(it) => Humane::Bool(*it),
        Value::I32(it) => Humane::Signed(i64::from(*it)),
        Value::I64(it) => Humane::Signed(*it),
        Value::U32(it) => Humane::Unsigned(u64::from(*it)),
        Value::U64(it) => Humane::Unsigned(*it),
        Value::F32(it) => Humane::Float(f64::from(*it)),
        Value::F64(it) => Humane::Float(*it),
        Value::String(it) => Humane::Text(it.clone()),
        Value::Bytes(it) => Humane::Text(String::from_utf8_lossy(it).into_owned()),
        Value::EnumNumber(it) => enumeration(kind.as_enum(), *it),
        Value::Message(it) => message(it),
        // Lists of lists and the like do not exist on the wire.
        Value::List(_) | Value::Map(_) => Humane::List(Vec::new()),
    }
}

/// A value that this version has no name for is written as its number, rather than dropped.
fn enumeration(descriptor: Option<&EnumDescriptor>, number: i32) -> Humane {
    let name = descriptor.and_then(|it| {
        it.get_value(number)
            .map(|value| short_name(it, value.name()))
    });
    name.map_or(Humane::Signed(i64::from(number)), Humane::Text)
}

fn name(key: &MapKey) -> String {
    match key {
        MapKey::Bool(it) => it.to_string(),
        MapKey::I32(it) => it.to_string(),
        MapKey::I64(it) => it.to_string(),
        MapKey::U32(it) => it.to_string(),
        MapKey::U64(it) => it.to_string(),
        MapKey::String(it) => it.clone(),
    }
}

fn number(it: &DynamicMessage, field: &str) -> i128 {
    let Some(value) = it.get_field_by_name(field) else {
        return 0;
    };
    let signed = value.as_i64().or_else(|| value.as_i32().map(i64::from));
    signed
        .or_else(|| value.as_u32().map(i64::from))
        .map_or(0, i128::from)
}
