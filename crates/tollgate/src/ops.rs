//! What machines ask about a running process: `/metrics`, `/healthz`, `/readyz`; and for people `/shadows`, how copies of
//! requests fared.
//!
//! HTTP/1.1 on a listener of its own, so that probes and scrapes neither compete with callers nor reach
//! beyond the machine by accident. It shows no secret and no prompt, and takes no orders.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tollgate_telemetry::metrics::{Metrics, UPKEEP_INTERVAL};

use crate::shadows;

/// Connections served at once; further ones wait.
const CONNECTIONS: usize = 64;
/// How long a client may take to say what it wants.
const HEADER_WITHIN: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Debug, Clone)]
pub(crate) struct Ops {
    /// The metrics.
    pub(crate) metrics: Metrics,
    /// Whether the process wants to be sent requests.
    pub(crate) ready: watch::Receiver<bool>,
}

impl Ops {
    /// Serves until it is dropped, and keeps the metrics' memory bounded meanwhile.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            let accept = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            tokio::select! {
                _ = upkeep.tick() => self.metrics.upkeep(),
                Some(_ended) = connections.join_next() => {}
                (place, accepted) = accept => match accepted {
                    Ok((stream, _peer)) => {
                        let connection = self.clone().connection(stream);
                        connections.spawn(async move {
                            connection.await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection for metrics and health");
                        // Out of file descriptors, most likely: asking again at once would spin.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let response = self.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WITHIN)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection for metrics and health broke");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, text) = match request.uri().path() {
            _ if !reads => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
            "/metrics" => (StatusCode::OK, self.metrics.render()),
            "/healthz" => (StatusCode::OK, "alive\n".to_owned()),
            "/readyz" => self.readiness(),
            "/shadows" => (StatusCode::OK, shadows::report(&self.metrics.render())),
            _ => (
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz, /readyz and /shadows\n".to_owned(),
            ),
        };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn readiness(&self) -> (StatusCode, String) {
        match *self.ready.borrow() {
            true => (StatusCode::OK, "ready\n".to_owned()),
            false => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: no policy yet, or going down\n".to_owned(),
            ),
        }
    }
}
