//! A gRPC connection to a node or to the control plane, with the caller's credential on every call.

use std::error::Error as _;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::secret::Secret;
use crate::status;

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take where the caller asks for nothing slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Largest message taken: a whole policy can be some megabytes.
pub(crate) const LARGEST_MESSAGE: usize = 64 << 20;

/// What kind of service is talked to, and the settings that lead to it.
#[derive(Debug)]
pub(crate) struct Service {
    /// What it is called.
    pub(crate) name: &'static str,
    /// How to say where it is.
    pub(crate) address: &'static str,
    /// How to prove oneself to it.
    pub(crate) credential: &'static str,
    /// Where it mostly is.
    example: &'static str,
}

/// The control plane.
pub(crate) static CONTROL: Service = Service {
    name: "control plane",
    address: "--control or TOLLGATE_CONTROL",
    credential: "--token or TOLLGATE_TOKEN",
    example: "http://127.0.0.1:8081",
};

/// A node.
pub(crate) static NODE: Service = Service {
    name: "node",
    address: "--node or TOLLGATE_NODE",
    credential: "--key or TOLLGATE_KEY (`tollgate keys create` makes a key)",
    example: "http://127.0.0.1:8080",
};

/// A channel that adds the credential.
pub(crate) type Channel = InterceptedService<transport::Channel, Bearer>;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Remote {
    service: &'static Service,
    url: String,
    channel: Channel,
}

impl Remote {
    /// Connects to the first of `urls` that answers.
    ///
    /// # Errors
    /// What is wrong with an address or the credential, or why the last address did not answer.
    pub(crate) async fn connect(
        service: &'static Service,
        urls: &[String],
        secret: Option<&Secret>,
    ) -> Result<Self, Error> {
        let bearer = Bearer::new(service, secret)?;
        let mut failure = Error::Config(format!("set {}", service.address));
        for url in urls {
            let endpoint = endpoint(service, url)?;
            match endpoint.connect().await {
                Ok(channel) => {
                    return Ok(Self {
                        service,
                        url: url.clone(),
                        channel: InterceptedService::new(channel, bearer),
                    });
                }
                Err(error) => failure = unreachable(service, url, &cause(&error)),
            }
        }
        Err(failure)
    }

    /// The channel, for a client.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Waits for a call, at most half a minute.
    ///
    /// # Errors
    /// The status as a text that says what to do next.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        self.call_within(ANSWER_WITHIN, call).await
    }

    /// Waits for a call, at most `limit`.
    ///
    /// # Errors
    /// The status as a text that says what to do next.
    pub(crate) async fn call_within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.explain(&status)),
            Err(_elapsed) => Err(Error::Failed(format!(
                "the {} at {} has not answered within {limit:?}",
                self.service.name, self.url
            ))),
        }
    }

    /// Turns a status into a text that says what to do next.
    pub(crate) fn explain(&self, status: &Status) -> Error {
        if status.code() == tonic::Code::Unauthenticated {
            return Error::Failed(format!(
                "the {} at {} does not accept the credential: {}; set {}",
                self.service.name,
                self.url,
                status.message(),
                self.service.credential
            ));
        }
        // Only a status made on this side, for a broken connection, has a source.
        match status.source() {
            Some(_) => unreachable(self.service, &self.url, &cause(status)),
            None => Error::Failed(status::explain(status)),
        }
    }
}

fn endpoint(service: &Service, url: &str) -> Result<Endpoint, Error> {
    let wrong = |why: &str| {
        Error::Config(format!(
            "`{url}` is no address of a {}: {why}; set {} to one such as {}",
            service.name, service.address, service.example
        ))
    };
    if url.starts_with("https://") {
        return Err(wrong("this version speaks plain http:// only"));
    }
    if !url.starts_with("http://") {
        return Err(wrong("it begins with http://"));
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(&cause(&error)))?;
    Ok(endpoint.connect_timeout(CONNECT_WITHIN).tcp_nodelay(true))
}

fn unreachable(service: &Service, url: &str, cause: &str) -> Error {
    Error::Failed(format!(
        "cannot reach the {} at {url}: {cause}; is it running? Set {}",
        service.name, service.address
    ))
}

/// The innermost reason, which is the one that says something.
fn cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Adds `authorization: Bearer …` to each call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl Bearer {
    fn new(service: &Service, secret: Option<&Secret>) -> Result<Self, Error> {
        let Some(secret) = secret else {
            return Ok(Self(None));
        };
        let parsed = format!("Bearer {}", secret.expose()).parse();
        let mut value: MetadataValue<Ascii> = parsed.map_err(|_not_ascii| {
            Error::Config(format!(
                "the credential has characters that cannot be sent; set {}",
                service.credential
            ))
        })?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}
