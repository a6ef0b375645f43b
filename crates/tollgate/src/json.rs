//! Any message of the contract as JSON, driven by its descriptor.
//!
//! The form is proto3's JSON mapping with the contract's own field names, numbers as numbers, and fields at
//! their defaults kept, so that a script finds every field every time.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::error::Error;

static CONTRACT: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(tollgate_proto::FILE_DESCRIPTOR_SET).ok());

/// `message`, whose full name is `name`, as JSON.
///
/// # Errors
/// Only if `name` is not the message's name, a fault of the caller's.
pub(crate) fn of(message: &impl Message, name: &str) -> Result<Value, Error> {
    let fault = |why: String| Error::Failed(format!("cannot show {name} as JSON: {why}"));
    let pool = CONTRACT.as_ref();
    let descriptor = pool.and_then(|pool| pool.get_message_by_name(name));
    let descriptor = descriptor.ok_or_else(|| fault("no such message".to_owned()))?;
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor, bytes.as_slice())
        .map_err(|error| fault(error.to_string()))?;
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true)
        .skip_default_fields(false);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_proto::admin::v1::{ListNodesResponse, Node};

    #[test]
    fn messages_keep_their_names_numbers_and_defaults() {
        let response = ListNodesResponse {
            nodes: vec![Node {
                name: "a".to_owned(),
                revision: 3,
                ..Node::default()
            }],
            revision: 1 << 60,
        };
        let value = of(&response, "tollgate.admin.v1.ListNodesResponse").unwrap();
        assert_eq!(value["revision"], 1u64 << 60);
        assert_eq!(value["nodes"][0]["name"], "a");
        assert_eq!(value["nodes"][0]["connected"], false);
        assert_eq!(value["nodes"][0]["rejected_reason"], "");
    }

    #[test]
    fn a_wrong_name_is_an_error() {
        assert!(of(&Node::default(), "tollgate.admin.v1.Nobody").is_err());
    }
}
