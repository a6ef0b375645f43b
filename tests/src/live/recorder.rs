//! Stands between the gateway and a provider, and keeps what the provider answers, in memory only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::{Client, StatusCode, redirect};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What belongs to one connection, and not to what is said over it.
const OF_CONNECTION: [HeaderName; 3] = [HOST, CONNECTION, TRANSFER_ENCODING];

/// An answer of the provider's.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// What was asked, without the query.
    pub(super) path: String,
    pub(super) status: StatusCode,
    pub(super) media_type: String,
    /// All that has come of it.
    pub(super) body: Vec<u8>,
}

/// Passes requests on until it is dropped.
#[derive(Debug)]
pub(super) struct Recorder {
    url: String,
    kept: Arc<Kept>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Answer>>);

#[derive(Debug)]
struct Way {
    client: Client,
    /// Scheme and authority of the provider.
    origin: String,
    kept: Arc<Kept>,
}

impl Recorder {
    /// Listens on the loopback for what is meant for the provider at `base`.
    pub(super) async fn start(base: &str) -> anyhow::Result<Self> {
        let wrong = || format!("`{base}` is no address such as https://api.example.com/v1");
        let uri: Uri = base.parse().with_context(wrong)?;
        let scheme = uri.scheme_str().with_context(wrong)?;
        let authority = uri.authority().with_context(wrong)?;
        let path = uri.path().trim_end_matches('/');
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}{path}", listener.local_addr()?);
        // Fails where another part of the process has installed one: just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Like the gateway: straight there, and nowhere else.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build()?;
        let kept = Arc::new(Kept::default());
        let way = Arc::new(Way {
            client,
            origin: format!("{scheme}://{authority}"),
            kept: Arc::clone(&kept),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, way));
        Ok(Self {
            url,
            kept,
            _server: server,
        })
    }

    /// What to give the gateway as the provider's address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What the provider has answered so far.
    pub(super) fn answers(&self) -> Vec<Answer> {
        self.kept.with(|answers| answers.clone())
    }
}

impl Kept {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<Answer>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(listener: TcpListener, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    // An accept that fails is the end: whoever calls next is told by the gateway.
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_connection(stream, Arc::clone(&way)));
    }
}

async fn serve_connection(stream: TcpStream, way: Arc<Way>) {
    let service = service_fn(move |request| {
        let way = Arc::clone(&way);
        async move { Ok::<_, Infallible>(way.pass(request).await) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Whoever hung up knows it.
    let _hung_up = served.await;
}

type Body = UnsyncBoxBody<Bytes, reqwest::Error>;

impl Way {
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        match self.answer(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let told = Full::from(format!("the provider cannot be reached: {error:#}"));
                let mut answer = Response::new(told.map_err(|never| match never {}).boxed_unsync());
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                answer
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let asked = head.uri.path_and_query().map_or("/", |it| it.as_str());
        let response = self
            .client
            .request(head.method, format!("{}{asked}", self.origin))
            .headers(without_those_of_connections(head.headers))
            .body(body.collect().await?.to_bytes())
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        let (mut head, body) = Response::<reqwest::Body>::from(response).into_parts();
        head.headers = without_those_of_connections(head.headers);
        let media_type = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|it| it.to_str().ok());
        let at = self.kept.with(|answers| {
            answers.push(Answer {
                path,
                status: head.status,
                media_type: media_type.unwrap_or_default().to_owned(),
                body: Vec::new(),
            });
            answers.len() - 1
        });
        // Kept before it is passed on: when a caller has its answer, all that made it is here.
        let kept = Arc::clone(&self.kept);
        let body = body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                kept.with(|answers| answers[at].body.extend_from_slice(data));
            }
            frame
        });
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }
}

fn without_those_of_connections(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_provider_that_is_not_there_is_told_by_no_more_than_that() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}/v1/", free.local_addr().unwrap());
        drop(free);
        let recorder = Recorder::start(&base).await.unwrap();
        assert!(recorder.url().ends_with("/v1"), "{}", recorder.url());
        let asked = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = asked.get(format!("{}/models?key=secret", recorder.url()));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let text = answer.text().await.unwrap();
        assert!(
            text.starts_with("the provider cannot be reached: "),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
        assert!(recorder.answers().is_empty());
    }

    #[tokio::test]
    async fn an_address_says_where_it_is() {
        for base in ["", "api.example.com", "/v1"] {
            assert!(Recorder::start(base).await.is_err(), "{base}");
        }
    }
}
