//! What is paid for apart from tokens of text.

use serde_json::Value;
use tollgate_policy::price::Part as Priced;
use tollgate_policy::table::{Api, Deployment, Feature, Kind, Protocol};
use tollgate_provider::chat::{Modality, Part, Request, Tool};
use tollgate_provider::embeddings::{self, Input};

use crate::bounds::{holds, searches};

/// Something that is paid for apart from tokens of text, and that a price of texts says nothing of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Where it stands in the request.
    pub(crate) field: String,
    /// What it is.
    pub(crate) wants: Wants,
}

/// What such a thing is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// A picture is to be embedded.
    Embedding,
    /// Sound goes in.
    Sound,
    /// The answer is to be spoken.
    Speech,
    /// A tool is there to search with.
    SearchTool,
    /// The model is to search.
    Search {
        /// The kind of provider that is told, where only one is.
        kind: Option<String>,
    },
    /// The request is to stay in the United States, for which Anthropic asks a tenth more of everything.
    Region {
        /// The same.
        kind: Option<String>,
    },
}

/// All such things that a completion asks for.
pub(super) fn of_completion(request: &Request) -> Vec<Extra> {
    let is_search = |tool: &Tool| matches!(tool, Tool::Provider(own) if searches(own));
    let tool = request.tools.iter().position(is_search);
    let tool = tool.map(|index| (format!("tools[{index}]"), Wants::SearchTool));
    let is_sound = |part: &Part| matches!(part, Part::Audio(_));
    let mut messages = request.messages.iter();
    let sound = messages.position(|message| holds(message, is_sound));
    let sound = sound.map(|index| (format!("messages[{index}]"), Wants::Sound));
    let speaks = request.modalities.contains(&Modality::Audio);
    let speech = speaks.then(|| ("output_modalities".to_owned(), Wants::Speech));
    let all = tool.into_iter().chain(sound).chain(speech);
    let all = all.chain(options(request));
    all.map(|(field, wants)| Extra { field, wants }).collect()
}

/// The first picture that is to be embedded.
pub(super) fn of_embeddings(request: &embeddings::Request) -> Vec<Extra> {
    let is_image = |input: &Input| matches!(input, Input::Image(_));
    let index = request.inputs.iter().position(is_image);
    let extra = |index| Extra {
        field: format!("inputs[{index}].image"),
        wants: Wants::Embedding,
    };
    index.map(extra).into_iter().collect()
}

/// Whether a model is to search whatever its tools. It does once, and does not tell.
pub(crate) fn has_search_option(request: &Request) -> bool {
    options(request).any(|(_, wants)| matches!(wants, Wants::Search { .. }))
}

/// What options have the provider do, for all kinds or under the name of one.
fn options(request: &Request) -> impl Iterator<Item = (String, Wants)> {
    request.provider_options.iter().flat_map(|(name, value)| {
        let own =
            wanted(name, value, None).map(|wants| (format!("provider_options.{name}"), wants));
        let of_kind = value.as_object().into_iter().flatten();
        let of_kind = of_kind.filter_map(move |(option, value)| {
            let wants = wanted(option, value, Some(name))?;
            Some((format!("provider_options.{name}.{option}"), wants))
        });
        own.into_iter().chain(of_kind)
    })
}

/// What an option has the provider do that is paid for apart. It searches by OpenAI's option, xAI's and OpenRouter's.
fn wanted(option: &str, value: &Value, kind: Option<&String>) -> Option<Wants> {
    let is_web = |plugin: &Value| plugin["id"] == "web";
    let searches = match option {
        "web_search_options" => true,
        "search_parameters" => value["mode"] != "off",
        "plugins" => value.as_array()?.iter().any(is_web),
        "inference_geo" if value == "us" => {
            let kind = kind.cloned();
            return Some(Wants::Region { kind });
        }
        _ => false,
    };
    searches.then(|| Wants::Search {
        kind: kind.cloned(),
    })
}

// === impl Extra ===

impl Extra {
    /// The part of a price that says what it costs.
    pub(crate) fn part(&self) -> Priced {
        match self.wants {
            Wants::Embedding => Priced::InputImage,
            Wants::Sound => Priced::InputAudio,
            Wants::Speech => Priced::OutputAudio,
            Wants::SearchTool | Wants::Search { .. } => Priced::Search,
            Wants::Region { .. } => Priced::Input,
        }
    }

    /// Whether the price of a deployment says what it costs. A search that every request makes may be in the price of
    /// requests; of regions the catalog says nothing.
    pub(crate) fn is_priced(&self, deployment: &Deployment) -> bool {
        deployment
            .price
            .as_ref()
            .is_some_and(|price| match self.wants {
                Wants::Region { .. } => price.is_stated,
                Wants::Search { .. } => price.knows(Priced::Search) || price.knows(Priced::Request),
                Wants::Embedding | Wants::Sound | Wants::Speech | Wants::SearchTool => {
                    price.knows(self.part())
                }
            })
    }

    /// What it is, in words.
    pub(crate) fn what(&self) -> &'static str {
        match self.wants {
            Wants::Embedding => "a picture",
            Wants::Sound => "sound",
            Wants::Speech => "for a spoken answer",
            Wants::SearchTool => "a tool for searches",
            Wants::Search { .. } => "for a search",
            Wants::Region { .. } => "for a region",
        }
    }

    /// Whether a deployment is told of it. Those that have no words for it do not do it, and so charge nothing for it.
    pub(crate) fn reaches(&self, deployment: &Deployment) -> bool {
        let Kind::Http(endpoint) = &deployment.provider.kind else {
            return self.wants == Wants::Embedding;
        };
        let feature = match self.wants {
            Wants::Sound | Wants::Speech => Some(Feature::Audio),
            Wants::SearchTool => Some(Feature::Tools),
            Wants::Embedding | Wants::Search { .. } | Wants::Region { .. } => None,
        };
        if feature.is_some_and(|it| deployment.lacks.contains(&it)) {
            return false;
        }
        let is_openai = match endpoint.protocol {
            Protocol::OpenAi | Protocol::AzureOpenAi | Protocol::OpenAiCompatible => {
                deployment.api == Api::ChatCompletions
            }
            Protocol::Anthropic
            | Protocol::Gemini
            | Protocol::Mistral
            | Protocol::Cohere
            | Protocol::Bedrock => false,
        };
        match (&self.wants, endpoint.protocol) {
            (Wants::Embedding, _)
            | (Wants::Speech, Protocol::Gemini)
            | (Wants::Sound, Protocol::Gemini | Protocol::Mistral | Protocol::Bedrock) => true,
            (Wants::Sound | Wants::Speech | Wants::Search { kind: None }, _) => is_openai,
            (Wants::Region { kind }, protocol) => {
                let is_meant = kind.as_ref().is_none_or(|kind| protocol.as_str() == kind);
                is_meant && protocol == Protocol::Anthropic
            }
            (Wants::Search { kind: Some(kind) }, protocol) => protocol.as_str() == kind,
            (Wants::SearchTool, protocol) => protocol.runs_tools(deployment.api),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_provider::chat::{Audio, Message, Role};

    use super::*;

    #[test]
    fn all_that_is_paid_for_apart_is_found() {
        let mut request = Request {
            messages: vec![Message::text(Role::User, "Hello.")],
            ..Request::default()
        };
        assert_eq!(of_completion(&request), []);
        let heard = Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Audio(Audio::default())],
        };
        request.messages.push(heard);
        request.modalities = vec![Modality::Text, Modality::Audio];
        let options = [
            ("web_search_options", json!({})),
            ("search_parameters", json!({ "mode": "off" })),
            ("plugins", json!([{ "id": "file-parser" }, { "id": "web" }])),
            ("openai", json!({ "web_search_options": {} })),
            (
                "openai_compatible",
                json!({ "search_parameters": { "mode": "auto" } }),
            ),
            ("anthropic", json!({ "inference_geo": "us" })),
            ("inference_geo", json!("global")),
            ("gemini", json!({ "x": 1, "plugins": "none" })),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value));
        request.provider_options = options.into_iter().collect();
        let found = of_completion(&request);
        let mut fields: Vec<_> = found.iter().map(|it| (&*it.field, it.part())).collect();
        fields.sort_unstable();
        let expected = [
            ("messages[1]", Priced::InputAudio),
            ("output_modalities", Priced::OutputAudio),
            ("provider_options.anthropic.inference_geo", Priced::Input),
            ("provider_options.openai.web_search_options", Priced::Search),
            (
                "provider_options.openai_compatible.search_parameters",
                Priced::Search,
            ),
            ("provider_options.plugins", Priced::Search),
            ("provider_options.web_search_options", Priced::Search),
        ];
        assert_eq!(fields, expected);
    }
}
