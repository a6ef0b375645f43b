//! Connections to one provider that wait for their next request, at one thread.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower::{Service, ServiceExt};

use super::http1::Connection;
use crate::address::Resolver;

/// How many idle connections to keep, and for how long.
const MOST_IDLE: usize = 256;
const IDLE_TIME: Duration = Duration::from_secs(60);
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(10);

/// TCP, with TLS over it or without.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How to reach a provider.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// Scheme, host and port.
    pub(super) origin: http::Uri,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) tcp: HttpConnector<Resolver>,
    /// For the name, the connection and TLS together.
    pub(super) within: Duration,
}

/// The idle connections.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was used last is at the end, and is used next: the others get old and go.
    connections: Vec<Connection<Stream>>,
    swept: bool,
    /// Small work on connections; ends with the pool.
    tasks: JoinSet<()>,
}

/// No connection came about; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    #[error("connect: {}", chain(&**.0))]
    Tcp(Box<dyn StdError + Send + Sync>),
    #[error("TLS: {0}")]
    Tls(#[from] io::Error),
}

// === impl Connector ===

impl Connector {
    async fn connect(&self) -> Result<Connection<Stream>, ConnectError> {
        let connecting = timeout(self.within, self.stream());
        match connecting.await {
            Ok(stream) => Ok(Connection::new(stream?)),
            Err(_) => Err(ConnectError::TimedOut(self.within)),
        }
    }

    async fn stream(&self) -> Result<Stream, ConnectError> {
        let mut tcp = self.tcp.clone();
        let tcp = match tcp.ready().await {
            Ok(tcp) => tcp.call(self.origin.clone()).await,
            Err(error) => Err(error),
        };
        let stream = tcp
            .map_err(|error| ConnectError::Tcp(error.into()))?
            .into_inner();
        let Some((config, name)) = &self.tls else {
            return Ok(Either::Left(stream));
        };
        let tls = TlsConnector::from(Arc::clone(config));
        let stream = tls.connect(name.clone(), stream).await?;
        Ok(Either::Right(Box::new(stream)))
    }
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            connector,
            idle: Mutex::default(),
        })
    }

    /// An idle connection that is still open; none where there is none.
    pub(super) fn take(&self) -> Option<Connection<Stream>> {
        loop {
            let mut connection = self.idle.lock().connections.pop()?;
            if connection.used.elapsed() < IDLE_TIME && connection.is_idle() {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection<Stream>, ConnectError> {
        self.connector.connect().await
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(self: &Arc<Self>, mut connection: Connection<Stream>) {
        connection.used = Instant::now();
        let mut idle = self.idle.lock();
        if idle.connections.len() >= MOST_IDLE {
            return;
        }
        idle.connections.push(connection);
        if !idle.swept {
            idle.swept = true;
            idle.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Runs something that is short, or ends with the pool.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.idle.lock().spawn(task);
    }

    /// Closes what is too old or was closed by the provider. False where nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle.lock();
        idle.connections
            .retain_mut(|connection| connection.used.elapsed() < IDLE_TIME && connection.is_idle());
        idle.swept = !idle.connections.is_empty();
        idle.swept
    }
}

impl Idle {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }
}

/// Runs while a pool has idle connections.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match pool.upgrade() {
            Some(pool) if pool.sweep() => {}
            _ => return,
        }
    }
}

/// An error and its causes, in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

/// An error, what caused it, what caused that, and so on.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
