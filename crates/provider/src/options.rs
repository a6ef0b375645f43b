//! Provider options for one kind of provider.
//!
//! A request may be served by providers of several kinds, and what one of them knows another refuses.
//! So options that stand under a kind's name are for that kind alone; all others are for whichever
//! provider gets the request.

use serde_json::{Map, Value};

use crate::Error;
use crate::codec::Kind;

/// The options that a kind is sent; none where no kind is named, and all of them are meant.
///
/// # Errors
/// `Error::Invalid` where something other than options stands under a kind's name.
pub(crate) fn of_kind(
    options: &Map<String, Value>,
    kind: Kind,
) -> Result<Option<Map<String, Value>>, Error> {
    if !options.keys().any(|key| Kind::parse(key).is_some()) {
        return Ok(None);
    }
    let mut meant = Map::new();
    let mut own = Map::new();
    for (key, value) in options {
        match (Kind::parse(key), value) {
            (None, value) => {
                meant.insert(key.clone(), value.clone());
            }
            (Some(named), Value::Object(fields)) if named == kind => own.clone_from(fields),
            (Some(_), Value::Object(_)) => {}
            (Some(_), _) => {
                let path = format!("provider_options.{key}");
                return Err(Error::invalid(path, "must be an object"));
            }
        }
    }
    // What is said of the kind itself goes before what is said of all.
    meant.extend(own);
    Ok(Some(meant))
}

/// Refuses an option that would replace a field that the gateway writes itself, or rules out.
///
/// # Errors
/// `Error::Invalid` naming it.
pub(crate) fn check(options: &Map<String, Value>, reserved: &[&str]) -> Result<(), Error> {
    match options.keys().find(|key| reserved.contains(&key.as_str())) {
        Some(key) => Err(Error::invalid(
            format!("provider_options.{key}"),
            "the gateway writes this field itself; use the request's own field for it",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Error;
    use crate::chat::{Message, Request, Role};
    use crate::codec::{Codec, Kind, Target};

    fn sent(kind: Kind, options: Value) -> Result<Value, Error> {
        let Value::Object(provider_options) = options else {
            panic!("options are an object");
        };
        let request = Request {
            messages: vec![Message::text(Role::User, "hi")],
            max_output_tokens: Some(1),
            provider_options,
            ..Request::default()
        };
        let sent = Codec::new(kind).encode(&request, &Target::of("m"), false)?;
        Ok(serde_json::from_slice(&sent.body).unwrap())
    }

    #[test]
    fn options_under_a_kinds_name_are_for_that_kind_alone() {
        let options = json!({
            "anthropic": {"inference_geo": "eu", "shared": 1},
            "openai": {"verbosity": "low"},
            "shared": 2,
        });
        let claude = sent(Kind::Anthropic, options.clone()).unwrap();
        assert_eq!(claude["inference_geo"], "eu");
        assert_eq!(claude["shared"], 1);
        let openai = sent(Kind::OpenAi, options).unwrap();
        assert_eq!(openai["verbosity"], "low");
        assert_eq!(openai["shared"], 2);
        for other in [&claude["verbosity"], &openai["inference_geo"]] {
            assert_eq!(*other, Value::Null);
        }
        for kind in ["anthropic", "openai"] {
            assert_eq!(claude.get(kind), None);
            assert_eq!(openai.get(kind), None);
        }
    }

    /// Tools that a provider runs, and what else it offers beside the conversation: what stands in a field of its own
    /// passes, and what would replace a field of the gateway's is refused by name.
    #[test]
    fn what_only_one_provider_offers_passes_or_is_refused_by_name() {
        let cases = [
            (Kind::OpenAi, "web_search_options", "tools"),
            (Kind::OpenAiCompatible, "search_parameters", "tools"),
            (Kind::AzureOpenAi, "data_sources", "tools"),
            (Kind::Mistral, "safe_prompt", "tools"),
            (Kind::Anthropic, "container", "tools"),
            (Kind::Gemini, "cachedContent", "tools"),
            (Kind::Cohere, "documents", "tools"),
            (Kind::Bedrock, "guardrailConfig", "toolConfig"),
        ];
        assert_eq!(cases.map(|(kind, ..)| kind.as_str()).len(), Kind::ALL.len());
        for (kind, passes, refused) in cases {
            let value = json!({"a": [1]});
            let given = sent(kind, json!({ kind.as_str(): { passes: value } })).unwrap();
            assert_eq!(given[passes], value, "{}", kind.as_str());
            let error = sent(kind, json!({ kind.as_str(): { refused: [value] } })).unwrap_err();
            let field = format!("provider_options.{refused}");
            assert_eq!(error.field(), Some(&*field), "{}", kind.as_str());
        }
    }

    #[test]
    fn they_replace_no_field_of_the_gateway_either() {
        let error = sent(Kind::Anthropic, json!({"anthropic": {"model": "x"}})).unwrap_err();
        assert_eq!(error.field(), Some("provider_options.model"));
        assert!(sent(Kind::OpenAi, json!({"anthropic": {"model": "x"}})).is_ok());
        let error = sent(Kind::OpenAi, json!({"anthropic": 1})).unwrap_err();
        assert_eq!(error.field(), Some("provider_options.anthropic"));
    }
}
