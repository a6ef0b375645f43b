//! One provider, as this node reaches it. The only way to a provider over the network.
//!
//! A provider's client lives as long as anything uses it: a policy change that does not touch the provider
//! keeps its connections, one that does builds another client and lets the old one finish its requests.
//! Requests are built from scratch: nothing of the caller's headers, address or choice of destination gets
//! into them.

mod client;
mod embed;
mod ended;
mod exchange;
mod http1;
mod inquiry;
mod key;
mod live;
mod pool;
mod simulated;
mod suits;

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tollgate_policy::table::{self, Deployment, Endpoint, Kind, Protocol, Provider};
use tollgate_provider::chat::{Request, Response, Warning};
use tollgate_provider::{Api, Codec, Target};
use url::{Position, Url};

use client::{Body, Client};

use crate::address::{self, Refused};
use crate::clock;

pub(crate) use ended::{Ended, Reached};
pub(crate) use key::{Fingerprint, Key};
pub(crate) use live::LiveStream;
pub(crate) use suits::suits;

/// Most bytes of an answer that is not streamed.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;

/// Most bytes read of an answer that reports an error.
const LONGEST_ERROR: usize = 64 * 1024;

/// Whoever wants to see the headers of a provider's answer, of whatever status.
pub(crate) type Heard<'a> = &'a (dyn Fn(&HeaderMap) + Sync);

/// A provider as this node reaches it.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What the policy says of it.
    pub(crate) provider: Arc<Provider>,
    key: Arc<Key>,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Http(Box<Http>),
    Simulated,
    /// The provider cannot be called at all, and why.
    Broken(String),
}

#[derive(Debug)]
struct Http {
    client: Client,
    codec: Codec,
    /// The same over its Responses, where it may have them.
    responses: Option<Codec>,
    base_url: String,
    api_version: Option<String>,
    /// Why the address that the policy gives may not be called, where it is no name and that shows at once.
    refused: Option<Refused>,
    /// The addresses of the first paths, parsed once: hardly any provider has more.
    urls: [OnceLock<(String, Arc<Url>)>; 4],
}

// === impl Upstream ===

impl Upstream {
    /// Prepares to call a provider. Never fails: what is wrong shows when it is called, so that one bad
    /// provider does not keep a policy from running.
    pub(crate) fn new(provider: &Arc<Provider>) -> Self {
        let transport = match &provider.kind {
            Kind::Http(endpoint) => Http::build(provider, endpoint),
            Kind::Simulated(_) => Ok(Transport::Simulated),
        };
        Self {
            key: Arc::new(Key::new(&provider.credential, clock::boot_time())),
            transport: transport.unwrap_or_else(Transport::Broken),
            provider: Arc::clone(provider),
        }
    }

    /// The key that it is called with.
    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// What an operator must know of a provider that cannot be called.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Err(problem) = &*self.key.current(clock::boot_time()) {
            return Some(problem.clone());
        }
        match &self.transport {
            Transport::Broken(problem) => Some(problem.clone()),
            Transport::Http(_) | Transport::Simulated => None,
        }
    }

    /// Whether a provider of the next policy can go on with this client.
    pub(crate) fn serves(&self, provider: &Provider) -> bool {
        let old = &self.provider;
        old.name == provider.name
            && old.kind == provider.kind
            && old.internal == provider.internal
            && old.timeouts == provider.timeouts
            && old.drop_unsupported == provider.drop_unsupported
            && old.credential == provider.credential
            && *self.key.current(clock::boot_time()) == key::read(&provider.credential)
    }

    /// Asks a deployment for a whole answer. The headers of whatever comes are shown to `heard`.
    pub(crate) async fn whole(
        &self,
        request: &Request,
        of: &Deployment,
        heard: Heard<'_>,
    ) -> Result<Response, Ended> {
        let Transport::Http(http) = &self.transport else {
            return simulated::whole(self.simulated()?, request, &of.model).await;
        };
        let sent = self.send(http, request, (of, false), heard);
        let (response, warnings) = sent.await?;
        let body = self.read_body(response.body, LONGEST_ANSWER).await?;
        let response = http.codec(of)?.decode(&body).map_err(Ended::no_answer)?;
        Ok(Response {
            warnings,
            ..response
        })
    }

    /// Asks a deployment for a stream, and returns it once the provider has accepted. The headers of whatever comes are shown to
    /// `heard`.
    pub(crate) async fn stream(
        &self,
        request: &Request,
        of: &Deployment,
        heard: Heard<'_>,
    ) -> Result<LiveStream, Ended> {
        let idle = self.provider.timeouts.idle;
        let Transport::Http(http) = &self.transport else {
            let script = simulated::script(self.simulated()?, request, &of.model);
            return Ok(LiveStream::simulated(script, idle));
        };
        let sent = self.send(http, request, (of, true), heard);
        let (response, warnings) = sent.await?;
        if let Some(other) = no_stream(&response) {
            return Err(Ended::bad_response(&format!(
                "asked for a stream, the provider answered with {other}"
            )));
        }
        let decoder = http.codec(of)?.stream_decoder(request.choice_count());
        Ok(LiveStream::http(response.body, decoder.joining(), idle).telling(warnings))
    }

    /// Looks whether a deployment's provider has words for a request.
    ///
    /// # Errors
    /// The field that it has none for.
    pub(crate) fn fits(
        &self,
        request: &Request,
        of: &Deployment,
        stream: bool,
    ) -> Result<(), Ended> {
        let Transport::Http(http) = &self.transport else {
            return Ok(());
        };
        let encoded = http
            .codec(of)?
            .encode(request, &self.target(http, of), stream);
        encoded
            .map(|_| ())
            .map_err(|error| Ended::inexpressible(&error))
    }

    fn simulated(&self) -> Result<&tollgate_policy::table::Simulated, Ended> {
        match (&self.provider.kind, &self.transport) {
            (Kind::Simulated(simulated), _) => Ok(simulated),
            (_, Transport::Broken(problem)) => Err(Ended::never(problem.clone())),
            _ => Err(Ended::never("the provider has no transport".to_owned())),
        }
    }

    /// Sends a request; once more without the model's thoughts where they are another account's, which a conversation
    /// that went over several deployments has.
    async fn send(
        &self,
        http: &Http,
        request: &Request,
        (of, stream): (&Deployment, bool),
        heard: Heard<'_>,
    ) -> Result<(client::Response, Vec<Warning>), Ended> {
        let refused = match self.send_once(http, request, (of, stream), heard).await {
            Err(ended) => ended,
            sent @ Ok(_) => return sent,
        };
        let codec = http.codec(of)?;
        let Some(without) = codec.without_unreadable_thoughts(request, &refused.failure) else {
            return Err(refused);
        };
        let sent = self.send_once(http, &without, (of, stream), heard);
        let (response, mut warnings) = sent.await?;
        warnings.push(Warning {
            field: "messages".to_owned(),
            problem: "thoughts of another account's cannot be read there and were left out",
        });
        Ok((response, warnings))
    }

    async fn send_once(
        &self,
        http: &Http,
        request: &Request,
        (of, stream): (&Deployment, bool),
        heard: Heard<'_>,
    ) -> Result<(client::Response, Vec<Warning>), Ended> {
        let mut encoded = http
            .codec(of)?
            .encode(request, &self.target(http, of), stream)
            .map_err(|error| Ended::inexpressible(&error))?;
        let warnings = std::mem::take(&mut encoded.warnings);
        Ok((self.exchange(http, encoded, heard).await?, warnings))
    }

    fn target<'a>(&'a self, http: &'a Http, of: &'a Deployment) -> Target<'a> {
        Target {
            model: &of.model,
            base_model: &of.base_model,
            provider: &self.provider.name,
            api_version: http.api_version.as_deref(),
            drop_unsupported: self.provider.drop_unsupported,
        }
    }

    /// Reads a body of at most so many bytes.
    async fn read_body(&self, mut answer: Body, longest: usize) -> Result<Vec<u8>, Ended> {
        let expected = answer.length().unwrap_or(0);
        let mut body = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).min(64 * 1024));
        loop {
            let more = answer.read(|bytes| body.extend_from_slice(bytes));
            match tokio::time::timeout(self.provider.timeouts.idle, more).await {
                Ok(Ok(false)) => return Ok(body),
                Ok(Ok(true)) if body.len() > longest => {
                    let longest = longest >> 20;
                    let problem = format!("the answer is longer than {longest} MiB");
                    return Err(Ended::bad_response(&problem));
                }
                Ok(Ok(true)) => {}
                Ok(Err(ended)) => return Err(ended),
                Err(_) => return Err(Ended::timed_out("the provider stopped within its answer")),
            }
        }
    }
}

// === impl Http ===

impl Http {
    fn build(provider: &Provider, endpoint: &Endpoint) -> Result<Transport, String> {
        let named = |problem| format!("{}: {problem}", provider.name);
        let base_url = endpoint.base_url.trim_end_matches('/').to_owned();
        let base =
            Url::parse(&base_url).map_err(|error| named(format!("`{base_url}`: {error}")))?;
        let refused = match provider.internal {
            true => None,
            false => address::check_literal(&base).err(),
        };
        if base.scheme() != "https" && !provider.internal && refused.is_none() {
            let problem = "only a provider with `internal: true` can be reached without TLS";
            return Err(named(problem.to_owned()));
        }
        let codec = Codec::new(codec_kind(endpoint.protocol))
            .in_region(&endpoint.region)
            .at(&base_url);
        Ok(Transport::Http(Box::new(Self {
            client: Client::new(provider, &base).map_err(named)?,
            responses: codec.clone().over(Api::Responses),
            codec,
            base_url,
            api_version: endpoint.api_version.clone(),
            refused,
            urls: Default::default(),
        })))
    }

    /// The codec that speaks to a deployment.
    fn codec(&self, of: &Deployment) -> Result<&Codec, Ended> {
        let codec = match of.api {
            table::Api::ChatCompletions => Some(&self.codec),
            table::Api::Responses => self.responses.as_ref(),
        };
        // A policy that says so is refused when it is applied.
        codec.ok_or_else(|| Ended::never(format!("{}: its provider has no Responses", of.name)))
    }

    fn url(&self, path: &str) -> Result<Arc<Url>, String> {
        let known = self.urls.iter().filter_map(OnceLock::get);
        if let Some((_, url)) = known.into_iter().find(|(known, _)| known == path) {
            return Ok(Arc::clone(url));
        }
        let url = Url::parse(&format!("{}{path}", self.base_url))
            .map_err(|error| format!("`{}{path}` is not an address: {error}", self.base_url))?;
        let url = Arc::new(url);
        // Where none is free, the paths are many, each for a request or two.
        let free = self.urls.iter().find(|slot| slot.get().is_none());
        if let Some(free) = free {
            // Another request may have been first.
            let _ = free.set((path.to_owned(), Arc::clone(&url)));
        }
        Ok(url)
    }
}

/// Host and port, as the `host` header has them.
fn authority(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// The codec that speaks a protocol.
fn codec_kind(protocol: Protocol) -> tollgate_provider::Kind {
    match protocol {
        Protocol::OpenAi => tollgate_provider::Kind::OpenAi,
        Protocol::OpenAiCompatible => tollgate_provider::Kind::OpenAiCompatible,
        Protocol::Anthropic => tollgate_provider::Kind::Anthropic,
        Protocol::AzureOpenAi => tollgate_provider::Kind::AzureOpenAi,
        Protocol::Gemini => tollgate_provider::Kind::Gemini,
        Protocol::Mistral => tollgate_provider::Kind::Mistral,
        Protocol::Cohere => tollgate_provider::Kind::Cohere,
        Protocol::Bedrock => tollgate_provider::Kind::Bedrock,
    }
}

/// How a body is coded (RFC 9110, section 8.4), where it is at all; the beginning of it, where it is long.
fn coding(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(CONTENT_ENCODING).into_iter();
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).trim().to_owned());
    let mut codings = lines.filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("identity"));
    let first = codings.next()?;
    Some(format!("{:?}", first.chars().take(40).collect::<String>()))
}

/// The media type of an answer that is certainly no stream. A missing or unusual one is given a chance: servers
/// are careless about it.
fn no_stream(response: &client::Response) -> Option<&str> {
    let kind = response.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = kind.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/json"]
        .into_iter()
        .find(|known| bare.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
