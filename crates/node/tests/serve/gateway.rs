//! A node in this process with its control plane, and clients of both edges.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tollgate_node::{Bounds, Config};
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::{CompleteRequest, Message, Part, Role, part};
use tonic::transport::Channel;

use crate::control::Control;

/// The key that every test calls with.
pub(crate) const KEY: &str = "tg_test";

/// A node and what it was started with.
pub(crate) struct Gateway {
    pub(crate) control: Control,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
    control_address: SocketAddr,
    bounds: Bounds,
    ready: watch::Receiver<bool>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Gateway {
    /// Starts a control plane with a policy, and a node that runs it.
    pub(crate) async fn start(policy: &str) -> Self {
        Self::start_within(policy, Bounds::default()).await
    }

    /// The same, with a node of these bounds.
    pub(crate) async fn start_within(policy: &str, bounds: Bounds) -> Self {
        let bounds = Bounds {
            drain_timeout: Duration::from_secs(5),
            ..bounds
        };
        let (control, control_address) = Control::start(policy);
        control.add_key(KEY, "k1");
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Self::node(control, control_address, folder, bounds).await;
        gateway.ready().await;
        gateway
    }

    async fn node(
        control: Control,
        control_address: SocketAddr,
        folder: tempfile::TempDir,
        bounds: Bounds,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, ready) = watch::channel(false);
        let config = Config {
            name: "node-1".to_owned(),
            control: vec![format!("http://{control_address}")],
            token: None,
            data_dir: folder.path().to_owned(),
            advertised_address: address.to_string(),
            limits: bounds.clone(),
            readiness: Some(readiness),
        };
        let shutdown = CancellationToken::new();
        let serve = tollgate_node::serve(config, listener, shutdown.clone());
        let serving = tokio::task::spawn(async move { serve.await.unwrap() });
        Self {
            control,
            address,
            folder,
            control_address,
            bounds,
            ready,
            shutdown,
            serving,
        }
    }

    /// Waits until the node serves.
    pub(crate) async fn ready(&mut self) {
        tokio::time::timeout(Duration::from_secs(10), self.ready.wait_for(|ready| *ready))
            .await
            .expect("ready in time")
            .unwrap();
    }

    /// Begins to stop the node.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the node has stopped.
    pub(crate) async fn stopped(self) -> tempfile::TempDir {
        tokio::time::timeout(Duration::from_secs(10), self.serving)
            .await
            .expect("stops in time")
            .unwrap();
        self.folder
    }

    /// Stops the node and starts another on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let (control, control_address) = (self.control.clone(), self.control_address);
        let bounds = self.bounds.clone();
        self.begin_stop();
        let folder = self.stopped().await;
        Self::node(control, control_address, folder, bounds).await
    }

    /// A request of the HTTP edge.
    pub(crate) fn post(&self, body: &serde_json::Value) -> reqwest::RequestBuilder {
        client()
            .post(format!("http://{}/v1/chat/completions", self.address))
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// A client of the gRPC edge.
    pub(crate) async fn grpc(&self) -> CompletionServiceClient<Channel> {
        CompletionServiceClient::connect(format!("http://{}", self.address))
            .await
            .unwrap()
    }
}

pub(crate) fn client() -> reqwest::Client {
    // A client wants it even for plain HTTP; another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
}

/// A chat request of the HTTP edge.
pub(crate) fn chat(model: &str, stream: bool) -> serde_json::Value {
    serde_json::json!({
        "model": model, "stream": stream, "messages": [{ "role": "user", "content": "say something" }],
    })
}

/// A chat request of the gRPC edge, with the key.
pub(crate) fn ask(model: &str) -> tonic::Request<CompleteRequest> {
    let part = Part {
        part: Some(part::Part::Text("say something".to_owned())),
        ..Part::default()
    };
    let message = Message {
        role: Role::User.into(),
        parts: vec![part],
        name: String::new(),
    };
    let mut request = tonic::Request::new(CompleteRequest {
        model: model.to_owned(),
        messages: vec![message],
        ..CompleteRequest::default()
    });
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {KEY}").parse().unwrap());
    request
}
