//! The same seam for embeddings.

use http::HeaderMap;

use super::{Codec, HttpRequest, Kind, Target};
use crate::embeddings::{Input, Request, Response};
use crate::failure::{Class, Failure};
use crate::unsupported::Unsupported;
use crate::{Error, bedrock, cohere, gemini, openai, options};

impl Codec {
    /// Encodes a request for embeddings.
    ///
    /// # Errors
    /// As from `encode`, and `Error::Unsupported` naming the model where the kind has no embeddings.
    pub fn encode_embeddings(
        &self,
        request: &Request,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let own = options::of_kind(&request.provider_options, self.kind)?;
        let given = own.as_ref().unwrap_or(&request.provider_options);
        let mut unsupported = Unsupported::new(self.kind, target);
        for (index, input) in request.inputs.iter().enumerate() {
            if matches!(input, Input::Image(image) if image.detail.is_some()) {
                let field = format!("inputs[{index}].image.detail");
                unsupported.field(field, "it looks at every picture in the same way")?;
            }
        }
        let encode = match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => {
                openai::embeddings::encode
            }
            Kind::Gemini if self.is_vertex() => gemini::vertex::encode,
            Kind::Gemini => gemini::embeddings::encode,
            Kind::Cohere => cohere::embeddings::encode,
            Kind::Bedrock => bedrock::embeddings::encode,
            Kind::Anthropic => return Err(unsupported.refuse("model", "it has no embeddings")),
        };
        let mut encoded = encode(request, target, given, &mut unsupported)?;
        encoded.warnings = unsupported.into_warnings();
        Ok(encoded)
    }

    /// Decodes a 200 that answers a request for embeddings.
    ///
    /// # Errors
    /// A `Failure` when it has not one vector for each input, of what was asked for.
    pub fn decode_embeddings(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        request: &Request,
    ) -> Result<Response, Failure> {
        match self.kind {
            Kind::OpenAi | Kind::OpenAiCompatible | Kind::AzureOpenAi | Kind::Mistral => {
                openai::embeddings::decode(self.kind, body, request)
            }
            Kind::Gemini => gemini::embeddings::decode(body, request),
            Kind::Cohere => cohere::embeddings::decode(body, request),
            Kind::Bedrock => bedrock::embeddings::decode(headers, body, request),
            Kind::Anthropic => Err(Failure::new(Class::Server, "it has no embeddings")),
        }
    }
}
