//! JSON as the contract's `Struct`.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tollgate_provider::chat::{Details, Json};

/// An object; none for any other value.
pub(super) fn of(json: &Json) -> Option<Struct> {
    match serde_json::from_str(json.get()) {
        Ok(serde_json::Value::Object(fields)) => Some(object(fields)),
        _ => None,
    }
}

/// What a provider tells beside an answer; none where it tells nothing.
pub(super) fn of_all(details: &Details) -> Option<Struct> {
    let mut all = Struct::default();
    for (name, json) in details {
        add(&mut all, name, json);
    }
    (!all.fields.is_empty()).then_some(all)
}

/// Adds a field, in the place of one of the same name.
pub(super) fn add(to: &mut Struct, name: &str, json: &Json) {
    if let Ok(json) = serde_json::from_str(json.get()) {
        to.fields.insert(name.to_owned(), value(json));
    }
}

fn object(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    let field = |(name, json)| (name, value(json));
    Struct {
        fields: fields.into_iter().map(field).collect(),
    }
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        // Numbers of a `Struct` are of 64 bits.
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(list) => Kind::ListValue(ListValue {
            values: list.into_iter().map(value).collect(),
        }),
        serde_json::Value::Object(fields) => Kind::StructValue(object(fields)),
    };
    Value { kind: Some(kind) }
}
