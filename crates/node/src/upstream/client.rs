//! The connections to one provider, and requests over them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderMap, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tollgate_policy::table::Provider;
use url::Url;

use super::Ended;
use super::http1::framing::Framing;
use super::http1::{Broken, Connection, Request};
use super::pool::{ConnectError, Connector, Pool, Stream, causes};
use crate::address::Resolver;
use crate::workers;

/// How often and how long to look for the end of a body that says nothing more.
const MOST_READS: usize = 4;
const MOMENT: Duration = Duration::from_secs(1);

/// Reaches one provider.
#[derive(Debug)]
pub(super) struct Client {
    /// One for each worker thread, so that a request and its connection stay on one.
    pools: Vec<Arc<Pool>>,
}

/// What a provider answered; its body is still to be read.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// A body on its way. Dropping it before its end closes the connection, which is how a provider learns that nobody
/// wants the rest.
#[derive(Debug)]
pub(super) struct Body {
    /// None once the body is over and the connection serves others.
    connection: Option<Connection<Stream>>,
    framing: Framing,
    /// Where the connection goes afterwards; none if it cannot carry another request.
    pool: Option<Arc<Pool>>,
}

// === impl Client ===

impl Client {
    /// Prepares to reach the provider at `base`.
    ///
    /// # Errors
    /// What is wrong with the address, or with TLS on this machine.
    pub(super) fn new(provider: &Provider, base: &Url) -> Result<Self, String> {
        let secure = base.scheme() == "https";
        let host = base.host_str().ok_or("its address names no host")?;
        let origin: Uri = base[..url::Position::AfterPort]
            .parse()
            .map_err(|error| format!("its address: {error}"))?;
        let tls = secure.then(|| tls(host)).transpose()?;
        let mut tcp = HttpConnector::new_with_resolver(Resolver {
            public_only: !provider.internal,
        });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = Connector {
            origin,
            tls,
            tcp,
            within: provider.timeouts.connect,
        };
        let pools = (0..workers::deserved()).map(|_| Pool::new(connector.clone()));
        Ok(Self {
            pools: pools.collect(),
        })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// No connection, or no answer.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Response, Ended> {
        let pool = self.pools.get(workers::current());
        let pool = pool.ok_or_else(|| Ended::never("this thread has no connections".to_owned()))?;
        let bytes = request.to_bytes();
        loop {
            let (mut connection, idle) = match pool.take() {
                Some(connection) => (connection, true),
                None => (pool.connect().await?, false),
            };
            match connection.exchange(&bytes).await {
                Ok(answer) => {
                    let mut body = Body {
                        connection: Some(connection),
                        framing: answer.framing,
                        pool: answer.keep_alive.then(|| Arc::clone(pool)),
                    };
                    body.settle();
                    return Ok(Response {
                        status: answer.status,
                        headers: answer.headers,
                        body,
                    });
                }
                // The provider closed it just now, and has seen nothing of the request.
                Err(Broken::Unsent) if idle => {}
                Err(broken) => return Err(broken.into()),
            }
        }
    }
}

fn tls(host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    // Fails where another part of the process has installed one: just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig::builder()
        .with_platform_verifier()
        .map_err(|error| format!("read this machine's certificates: {error}"))?
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|error| format!("`{host}` is no name for TLS: {error}"))?;
    Ok((Arc::new(config), name))
}

// === impl Body ===

impl Body {
    /// Hands `sink` what comes next, all that has arrived of it. False once the body is over.
    ///
    /// # Errors
    /// The body broke off or is no HTTP.
    pub(super) async fn read(&mut self, sink: impl FnMut(&[u8])) -> Result<bool, Ended> {
        let Some(connection) = &mut self.connection else {
            return Ok(false);
        };
        let more = connection.read(&mut self.framing, sink).await?;
        self.settle();
        Ok(more)
    }

    /// How long the body says it is.
    pub(super) fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::UntilClose | Framing::Over => None,
        }
    }

    /// Gives the connection back once the body is over.
    fn settle(&mut self) {
        if !self.framing.is_over() {
            return;
        }
        if let (Some(connection), Some(pool)) = (self.connection.take(), &self.pool)
            && connection.is_clean()
        {
            pool.put(connection);
        }
    }

    /// Nothing more is wanted but the end, so that the connection can be kept: mostly it is there already, else it is
    /// waited for a moment.
    pub(super) fn finish(mut self) {
        let Some(pool) = self.pool.clone() else {
            return;
        };
        for _ in 0..MOST_READS {
            match self.read(|_| {}).now_or_never() {
                Some(Ok(true)) => {}
                Some(Ok(false) | Err(_)) => return,
                None => break,
            }
        }
        pool.spawn(async move {
            // Without its end in time, the connection is closed.
            let _ = tokio::time::timeout(MOMENT, self.read(|_| {})).await;
        });
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unsent => Self::never(broken.to_string()),
            Broken::Io(_) | Broken::Closed | Broken::Malformed(_) => {
                Self::broken(broken.to_string())
            }
        }
    }
}

impl From<ConnectError> for Ended {
    fn from(error: ConnectError) -> Self {
        match &error {
            ConnectError::TimedOut(_) => Self::connect_timed_out(error.to_string()),
            ConnectError::Tls(_) => Self::never(error.to_string()),
            ConnectError::Tcp(cause) => {
                match causes(&**cause).find_map(|cause| cause.downcast_ref()) {
                    Some(refused) => Self::address(refused),
                    None => Self::never(error.to_string()),
                }
            }
        }
    }
}
