//! The seam between the canonical conversation and a provider's wire format.

mod api;
mod embeddings;
mod stream;

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use crate::chat::{Request, Response, Warning};
use crate::failure::Failure;
use crate::unsupported::Unsupported;
use crate::{
    Error, anthropic, bedrock, cohere, counting, gemini, models, openai, options, responses, stored,
};
use stream::Format;

pub use api::Api;
pub use stream::StreamDecoder;

/// A kind of provider: which wire format it speaks, and in which dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `OpenAI` itself.
    OpenAi,
    /// Any server that offers `OpenAI`'s chat completions.
    OpenAiCompatible,
    /// Anthropic's messages.
    Anthropic,
    /// `OpenAI`'s models at Azure.
    AzureOpenAi,
    /// Google Gemini, at AI Studio or Vertex AI.
    Gemini,
    /// Mistral AI.
    Mistral,
    /// Cohere's chat API, version 2.
    Cohere,
    /// AWS Bedrock's Converse.
    Bedrock,
}

impl Kind {
    /// Every kind that has a codec.
    pub const ALL: [Self; 8] = [
        Self::OpenAi,
        Self::OpenAiCompatible,
        Self::AzureOpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Mistral,
        Self::Cohere,
        Self::Bedrock,
    ];

    /// The name used in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiCompatible => "openai_compatible",
            Self::Anthropic => "anthropic",
            Self::AzureOpenAi => "azure_openai",
            Self::Gemini => "gemini",
            Self::Mistral => "mistral",
            Self::Cohere => "cohere",
            Self::Bedrock => "bedrock",
        }
    }

    /// The kind of that name, if it has a codec. `simulated` has none: see the module `simulated`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a request is sent to, as far as its encoding depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model by the provider's name for it.
    pub model: &'a str,
    /// The model by the name that others know it by, where the provider's is one of the operator's own making.
    pub base_model: &'a str,
    /// The provider by its name in the policy, by which files say whose they are.
    pub provider: &'a str,
    /// The version of the interface, where the provider has several; see `azure_openai` in policies.
    pub api_version: Option<&'a str>,
    /// Whether what the provider has no words for is left out and told as a warning; else the request
    /// is refused.
    pub drop_unsupported: bool,
}

impl<'a> Target<'a> {
    /// A model, with everything else as it is by default.
    #[must_use]
    pub fn of(model: &'a str) -> Self {
        Self {
            model,
            base_model: model,
            provider: "",
            api_version: None,
            drop_unsupported: false,
        }
    }
}

/// A request ready to be sent, but for the address of the provider and the credential.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// What to append to the provider's base URL, with its leading slash: a path, already encoded as
    /// in a URL, and perhaps a query.
    pub path: Cow<'static, str>,
    /// The headers, credential not included: see `Codec::authorize`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What was left out, where `Target::drop_unsupported` allows it.
    pub warnings: Vec<Warning>,
}

impl HttpRequest {
    /// A `POST` of JSON whose answer is of type `accept`.
    pub(crate) fn post<T: Serialize + ?Sized>(
        path: impl Into<Cow<'static, str>>,
        accept: &'static str,
        body: &T,
    ) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(Error::Encode)?;
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        Ok(Self {
            method: Method::POST,
            path: path.into(),
            headers,
            body: Bytes::from(body),
            warnings: Vec::new(),
        })
    }

    /// A `GET` of JSON.
    pub(crate) fn get(path: impl Into<Cow<'static, str>>) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self {
            method: Method::GET,
            path: path.into(),
            headers: HeaderMap::from_iter([(ACCEPT, json)]),
            body: Bytes::new(),
            warnings: Vec::new(),
        }
    }
}

/// A request in the form in which it leaves, for a credential that signs all of it. Every field must
/// be exactly what is sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a Method,
    /// Value of the `host` header: the host, and the port unless it is the scheme's own.
    pub host: &'a str,
    /// The path, encoded as in a URL, that of the base URL included.
    pub path: &'a str,
    /// The query, without its question mark; empty for none.
    pub query: &'a str,
    /// The headers so far.
    pub headers: &'a mut HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl Outgoing<'_> {
    /// Adds a header that holds a credential. It is marked sensitive, so that `Debug` of the headers
    /// does not show it.
    pub(crate) fn secret(&mut self, name: HeaderName, value: &str) -> Result<(), Error> {
        let mut value = HeaderValue::try_from(value).map_err(|_| Error::Credential)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Adds the credential as a bearer token.
    pub(crate) fn bearer(&mut self, credential: &str) -> Result<(), Error> {
        self.secret(AUTHORIZATION, &format!("Bearer {credential}"))
    }
}

/// Encodes for and decodes from one kind of provider. Holds no state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    kind: Kind,
    api: Api,
    /// Empty where none is needed.
    region: String,
    /// Whether Gemini is spoken as Vertex AI does.
    vertex: bool,
}

impl Codec {
    /// The codec of a kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            api: Api::default(),
            region: String::new(),
            vertex: false,
        }
    }

    /// The same codec over another interface; none where the kind does not have it.
    #[must_use]
    pub fn over(self, api: Api) -> Option<Self> {
        api.is_of(self.kind).then_some(Self { api, ..self })
    }

    /// The same codec for a provider in that region, as signatures name it.
    #[must_use]
    pub fn in_region(self, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..self
        }
    }

    /// The same codec for a provider at that address, which says where one service offers a format in two ways.
    #[must_use]
    pub fn at(self, base_url: &str) -> Self {
        Self {
            vertex: self.kind == Kind::Gemini && gemini::vertex::is_at(base_url),
            ..self
        }
    }

    /// Whether Gemini is spoken as Vertex AI does.
    pub(crate) fn is_vertex(&self) -> bool {
        self.vertex
    }

    /// The kind this codec speaks for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The interface it speaks.
    #[must_use]
    pub fn api(&self) -> Api {
        self.api
    }

    /// Encodes a request. With `stream`, the provider is always asked to report usage at the end.
    ///
    /// # Errors
    /// `Error::Unsupported` naming the first field the provider has no words for, unless the target
    /// says to leave it out, and `Error::Invalid` for a provider option that would replace a field
    /// the gateway sets.
    pub fn encode(
        &self,
        request: &Request,
        target: &Target<'_>,
        stream: bool,
    ) -> Result<HttpRequest, Error> {
        let mut unsupported = Unsupported::new(self.kind, target);
        let all = &request.provider_options;
        let shared = options::without_foreign(all, &mut unsupported)?;
        let meant = options::of_kind(shared.as_ref().unwrap_or(all), self.kind)?;
        let own;
        let request = match meant.or(shared) {
            None => request,
            Some(provider_options) => {
                own = Request {
                    provider_options,
                    ..request.clone()
                };
                &own
            }
        };
        stored::check(&request.messages, self.kind, target)?;
        let mut encoded = self.encode_meant(request, target, stream)?;
        encoded.warnings.extend(unsupported.into_warnings());
        Ok(encoded)
    }

    /// Encodes a request whose options are for this kind.
    fn encode_meant(
        &self,
        request: &Request,
        target: &Target<'_>,
        stream: bool,
    ) -> Result<HttpRequest, Error> {
        if self.api == Api::Responses {
            return responses::encode(request, target, self.kind, stream);
        }
        match self.kind {
            Kind::OpenAi => openai::encode(request, target, &openai::OPENAI, stream),
            Kind::OpenAiCompatible => openai::encode(request, target, &openai::COMPATIBLE, stream),
            Kind::AzureOpenAi => openai::encode(request, target, &openai::AZURE, stream),
            Kind::Mistral => openai::encode(request, target, &openai::MISTRAL, stream),
            Kind::Gemini => gemini::encode(request, target, stream),
            Kind::Anthropic => anthropic::encode(request, target, stream),
            Kind::Cohere => cohere::encode(request, target, stream),
            Kind::Bedrock => bedrock::encode(request, target, stream),
        }
    }

    /// The question which models a credential can reach, for the first part of the list or the one that an earlier
    /// part named. None where the kind has no such list at the address that completions go to.
    #[must_use]
    pub fn list_models(&self, page: Option<&str>) -> Option<HttpRequest> {
        models::encode(self.kind, page).filter(|_| !self.vertex)
    }

    /// The request once more without the model's thoughts so far, where the provider has refused it because it cannot
    /// read them: they are another account's. None where it was refused for anything else, or holds none.
    #[must_use]
    pub fn without_unreadable_thoughts(
        &self,
        request: &Request,
        refused: &Failure,
    ) -> Option<Request> {
        match self.api {
            Api::Responses => responses::without_unreadable(request, self.kind, refused),
            Api::ChatCompletions => None,
        }
    }

    /// Decodes the body of a 200 that answers `list_models`.
    ///
    /// # Errors
    /// A `Failure` when the body is no list of models.
    pub fn decode_models(&self, body: &[u8]) -> Result<models::Page, Failure> {
        models::decode(body)
    }

    /// The question how many tokens a request has. None where the kind does not count requests.
    ///
    /// # Errors
    /// As from `encode`.
    pub fn count_tokens(
        &self,
        request: &Request,
        target: &Target<'_>,
    ) -> Result<Option<HttpRequest>, Error> {
        counting::encode(self, request, target)
    }

    /// Decodes the body of a 200 that answers `count_tokens`.
    ///
    /// # Errors
    /// A `Failure` when the body tells no count.
    pub fn decode_count(&self, body: &[u8]) -> Result<u64, Failure> {
        counting::decode(body)
    }

    /// Writes the credential into the headers where this kind of provider looks for it, or signs the
    /// request with it; `now` dates a signature. Call it last.
    ///
    /// # Errors
    /// `Error::Credential` when the credential cannot be part of a header or has not the form that
    /// this kind needs.
    pub fn authorize(
        &self,
        request: &mut Outgoing<'_>,
        credential: &str,
        now: SystemTime,
    ) -> Result<(), Error> {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::Mistral | Kind::Cohere => {
                request.bearer(credential)
            }
            Kind::AzureOpenAi => openai::authorize_azure(request, credential),
            Kind::Gemini => gemini::authorize(request, credential, self.vertex),
            Kind::Anthropic => request.secret(HeaderName::from_static("x-api-key"), credential),
            Kind::Bedrock => bedrock::authorize(request, credential, &self.region, now),
        }
    }

    /// Decodes the body of a 200 that was not streamed.
    ///
    /// # Errors
    /// A `Failure` when the body is not a whole answer: an error object, an answer without choices,
    /// not JSON at all.
    pub fn decode(&self, body: &[u8]) -> Result<Response, Failure> {
        if self.api == Api::Responses {
            return responses::decode(body, self.kind);
        }
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => {
                openai::decode(body)
            }
            Kind::Gemini => gemini::decode(body),
            Kind::Anthropic => anthropic::decode(body),
            Kind::Cohere => cohere::decode(body),
            Kind::Bedrock => bedrock::decode(body),
        }
    }

    /// A decoder for the body of a 200 that is streamed; `choices` is `Request::choice_count`.
    ///
    /// Only for a body that may be a stream: where a provider answers a streaming request with plain
    /// JSON, `decode` finds out what it says.
    #[must_use]
    pub fn stream_decoder(&self, choices: u32) -> StreamDecoder {
        let format = match self.kind {
            kind if self.api == Api::Responses => {
                Format::Responses(responses::stream_decoder(kind))
            }
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => {
                Format::OpenAi(openai::stream_decoder(choices))
            }
            Kind::Anthropic => Format::Anthropic(anthropic::stream_decoder()),
            Kind::Gemini => Format::Gemini(gemini::stream_decoder(choices)),
            Kind::Cohere => Format::Cohere(cohere::stream_decoder()),
            Kind::Bedrock => Format::Bedrock(bedrock::stream_decoder()),
        };
        StreamDecoder::of(format)
    }

    /// Classifies an answer whose status is not 2xx. `body` may be cut short; `now` is for waits
    /// given as a date.
    #[must_use]
    pub fn classify(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Failure {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => {
                openai::classify(status, headers, body, now)
            }
            Kind::Gemini => gemini::classify(status, headers, body, now),
            Kind::Anthropic => anthropic::classify(status, headers, body, now),
            Kind::Cohere => cohere::classify(status, headers, body, now),
            Kind::Bedrock => bedrock::classify(status, headers, body, now),
        }
    }
}
