//! Provider options for one kind of provider.
//!
//! A request may be served by providers of several kinds, and what one of them knows another refuses.
//! So options that stand under a kind's name are for that kind alone; all others are for whichever
//! provider gets the request.

use serde_json::{Map, Value};

use crate::Error;
use crate::codec::Kind;
use crate::unsupported::Unsupported;

/// What only OpenAI's own interface knows of what its callers write, and others refuse without saying why.
const OF_OPENAI: [&str; 6] = [
    "store",
    "verbosity",
    "safety_identifier",
    "prediction",
    "prompt_cache_options",
    "web_search_options",
];

/// The same without what is OpenAI's alone, where another kind is meant and not named; none where all may stay. That
/// nothing is to be stored is true wherever nothing is.
///
/// # Errors
/// It may not be left out.
pub(crate) fn without_foreign(
    options: &Map<String, Value>,
    unsupported: &mut Unsupported,
) -> Result<Option<Map<String, Value>>, Error> {
    let is_openai = match unsupported.kind() {
        Kind::OpenAi | Kind::AzureOpenAi | Kind::OpenAiCompatible => true,
        Kind::Anthropic | Kind::Gemini | Kind::Mistral | Kind::Cohere | Kind::Bedrock => false,
    };
    let mut left = None;
    let foreign = |name: &str| !is_openai && OF_OPENAI.contains(&name);
    for (name, value) in options.iter().filter(|(name, _)| foreign(name)) {
        if !stores_nothing(name, value) {
            let problem =
                "only OpenAI knows it; to send it here too, write it under the kind's name";
            unsupported.field(format!("provider_options.{name}"), problem)?;
        }
        left.get_or_insert_with(|| options.clone()).remove(name);
    }
    Ok(left)
}

/// Whether an option says that nothing is to be stored.
pub(crate) fn stores_nothing(name: &str, value: &Value) -> bool {
    name == "store" && *value == Value::Bool(false)
}

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
        Some(key) => Err(written(key)),
        None => Ok(()),
    }
}

/// The error for an option that would replace a field which the gateway writes itself.
pub(crate) fn written(path: &str) -> Error {
    Error::invalid(
        format!("provider_options.{path}"),
        "the gateway writes this field itself; use the request's own field for it",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Error;
    use crate::chat::{Message, Request, Role};
    use crate::codec::{Api, Codec, Kind, Target};

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
    fn what_is_openais_alone_goes_nowhere_else_unless_the_kind_is_named() {
        for kind in Kind::ALL {
            let of_openai = matches!(
                kind,
                Kind::OpenAi | Kind::AzureOpenAi | Kind::OpenAiCompatible
            );
            let body = sent(kind, json!({"store": false})).unwrap();
            assert_eq!(body.get("store").is_some(), of_openai, "{kind:?}");
            for (name, value) in [("verbosity", json!("low")), ("store", json!(true))] {
                let answer = sent(kind, json!({name: value}));
                match answer {
                    Ok(body) => assert!(of_openai && body[name] == value, "{kind:?}: {body}"),
                    Err(error) => {
                        assert!(!of_openai, "{kind:?}: {error}");
                        assert_eq!(error.field(), Some(&*format!("provider_options.{name}")));
                    }
                }
                let named = sent(kind, json!({kind.as_str(): {name: value}})).unwrap();
                assert_eq!(named[name], value, "{kind:?}");
            }
            let target = Target {
                drop_unsupported: true,
                ..Target::of("m")
            };
            let request = Request {
                messages: vec![Message::text(Role::User, "hi")],
                max_output_tokens: Some(1),
                provider_options: [("verbosity".to_owned(), json!("low"))]
                    .into_iter()
                    .collect(),
                ..Request::default()
            };
            let left = Codec::new(kind).encode(&request, &target, false).unwrap();
            assert_eq!(left.warnings.is_empty(), of_openai, "{kind:?}");
        }
    }

    #[test]
    fn to_store_nothing_is_what_responses_do_anyway() {
        let codec = Codec::new(Kind::OpenAi).over(Api::Responses).unwrap();
        for options in [json!({"store": false}), json!({"openai": {"store": false}})] {
            let request = Request {
                messages: vec![Message::text(Role::User, "hi")],
                provider_options: options.as_object().unwrap().clone(),
                ..Request::default()
            };
            let sent = codec.encode(&request, &Target::of("m"), false).unwrap();
            let body: Value = serde_json::from_slice(&sent.body).unwrap();
            assert_eq!(body["store"], false, "{options}");
        }
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
