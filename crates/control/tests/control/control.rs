//! A running control plane for one test, on a loopback port of its own, and what speaks to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tollgate_control::app::{App, Config};
use tollgate_control::error::Result;
use tollgate_control::store::SharedStore;
use tollgate_control::store::embedded::Embedded;
use tollgate_proto::admin::v1::key_service_client::KeyServiceClient;
use tollgate_proto::admin::v1::limit_service_client::LimitServiceClient;
use tollgate_proto::admin::v1::node_service_client::NodeServiceClient;
use tollgate_proto::admin::v1::policy_service_client::PolicyServiceClient;
use tollgate_proto::admin::v1::{
    ApplyPolicyRequest, ApplyPolicyResponse, CreateKeyRequest, CreateKeyResponse, ListNodesRequest,
    ListPolicyRevisionsRequest, Node, PolicyRevision,
};
use tollgate_proto::node::v1::config_service_client::ConfigServiceClient;
use tollgate_proto::node::v1::stream_config_request::Message as Say;
use tollgate_proto::node::v1::stream_config_response::Message as Hear;
use tollgate_proto::node::v1::{
    Hello, KeyUpdate, PolicyAck, PolicyNack, PolicyUpdate, ResolveKey, StreamConfigRequest,
    StreamConfigResponse,
};
use tollgate_proto::policy::v1::Policy;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// Long enough for anything that is going to happen.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A control replica on a runtime of its own, so that all of it can be ended at any moment.
pub(crate) struct Control {
    pub(crate) channel: Channel,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<Result<()>>>,
    runtime: Option<Runtime>,
}

impl Control {
    pub(crate) async fn start(name: &str, store: &SharedStore) -> Self {
        Self::start_with(name, store, None).await
    }

    /// Starts a replica and waits until it is ready.
    pub(crate) async fn start_with(name: &str, store: &SharedStore, token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let config = Config {
            name: name.to_owned(),
            url: format!("http://{address}"),
            token: token.map(str::to_owned),
            drain: Duration::from_secs(5),
        };
        let app = App::new(config, store, shutdown.clone());
        let mut ready = app.ready();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = listener.into_std().unwrap();
        let serving =
            runtime.spawn(async move { app.serve(TcpListener::from_std(listener).unwrap()).await });
        timeout(LONG, ready.wait_for(|ready| *ready))
            .await
            .unwrap()
            .unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            channel: endpoint.connect().await.unwrap(),
            shutdown,
            serving: Some(serving),
            runtime: Some(runtime),
        }
    }

    /// Goes down in order and waits for the end.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let serving = self.serving.take().unwrap();
        timeout(LONG, serving).await.unwrap().unwrap().unwrap();
    }

    /// Ends at once, as a killed process would: nothing is released, nobody is told.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone())
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.channel.clone())
    }

    pub(crate) fn limits(&self) -> LimitServiceClient<Channel> {
        LimitServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn apply(&self, policy: Policy) -> Result<ApplyPolicyResponse, Status> {
        let request = ApplyPolicyRequest {
            policy: Some(policy),
            ..ApplyPolicyRequest::default()
        };
        Ok(self.policies().apply_policy(request).await?.into_inner())
    }

    pub(crate) async fn create_key(&self, subject: &str) -> CreateKeyResponse {
        let request = CreateKeyRequest {
            subject: subject.to_owned(),
            ..CreateKeyRequest::default()
        };
        self.keys().create_key(request).await.unwrap().into_inner()
    }

    pub(crate) async fn revisions(&self) -> Vec<PolicyRevision> {
        let request = ListPolicyRevisionsRequest::default();
        let response = self
            .policies()
            .list_policy_revisions(request)
            .await
            .unwrap();
        response.into_inner().revisions
    }

    pub(crate) async fn nodes(&self) -> Vec<Node> {
        let mut client = NodeServiceClient::new(self.channel.clone());
        let response = client.list_nodes(ListNodesRequest {}).await.unwrap();
        response.into_inner().nodes
    }
}

impl Drop for Control {
    /// A runtime may not wait for its end inside another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An embedded store in a directory.
pub(crate) fn embedded(directory: &Path) -> SharedStore {
    Arc::new(Embedded::open(directory).unwrap())
}

/// The embedded store of a replica that has just been killed, once its last task has let go of it.
pub(crate) async fn embedded_again(directory: &Path) -> SharedStore {
    let open = async {
        loop {
            match Embedded::open(directory) {
                Ok(store) => return Arc::new(store) as SharedStore,
                Err(error) => assert!(error.to_string().contains("is in use"), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, open)
        .await
        .expect("the killed replica still holds its store")
}

/// A policy of one model, with one limit of this name and amount per key and hour.
pub(crate) fn policy(limit: &str, requests: u64) -> Policy {
    let text = format!(
        "
providers: {{ fake: {{ kind: simulated }} }}
deployments: {{ one: {{ provider: fake, model: m }} }}
pools: {{ main: {{ targets: [ {{ deployment: one }} ] }} }}
models: {{ chat: {{ routes: [ {{ pools: [main] }} ] }} }}
limits: [ {{ name: {limit}, per: [key], requests: {requests}, window: 1h }} ]
"
    );
    let source = tollgate_policy::yaml::Source {
        name: "test.yaml",
        text: text.as_bytes(),
    };
    tollgate_policy::yaml::parse(&[source]).unwrap()
}

/// A node's configuration stream.
pub(crate) struct NodeStream {
    outbound: mpsc::Sender<StreamConfigRequest>,
    inbound: Streaming<StreamConfigResponse>,
}

impl NodeStream {
    pub(crate) async fn open(control: &Control, name: &str) -> Self {
        let mut client = ConfigServiceClient::new(control.channel.clone());
        let (outbound, requests) = mpsc::channel(64);
        let inbound = client
            .stream_config(ReceiverStream::new(requests))
            .await
            .unwrap();
        let stream = Self {
            outbound,
            inbound: inbound.into_inner(),
        };
        let hello = Hello {
            node: name.to_owned(),
            incarnation: 1,
            address: "127.0.0.1:8080".to_owned(),
            ..Hello::default()
        };
        stream.say(Say::Hello(hello)).await;
        stream
    }

    pub(crate) async fn say(&self, message: Say) {
        let message = StreamConfigRequest {
            message: Some(message),
        };
        self.outbound.send(message).await.unwrap();
    }

    pub(crate) async fn ack(&self, revision: u64) {
        self.say(Say::Ack(PolicyAck { revision })).await;
    }

    pub(crate) async fn nack(&self, revision: u64, reason: &str) {
        let reason = reason.to_owned();
        self.say(Say::Nack(PolicyNack { revision, reason })).await;
    }

    pub(crate) async fn resolve(&self, secret: &str) {
        let hash = blake3::hash(secret.as_bytes()).as_bytes().to_vec().into();
        self.say(Say::ResolveKey(ResolveKey { hash })).await;
    }

    /// The next message that is not a heartbeat, or how the stream ended.
    pub(crate) async fn hear(&mut self) -> Result<Hear, Status> {
        loop {
            let message = timeout(LONG, self.inbound.message())
                .await
                .expect("nothing came");
            match message?
                .expect("the stream ended")
                .message
                .expect("an empty message")
            {
                Hear::Heartbeat(_) => {}
                news @ (Hear::Policy(_) | Hear::Key(_)) => return Ok(news),
            }
        }
    }

    pub(crate) async fn policy(&mut self) -> PolicyUpdate {
        match self.hear().await.unwrap() {
            Hear::Policy(update) => update,
            other @ (Hear::Key(_) | Hear::Heartbeat(_)) => panic!("not a policy: {other:?}"),
        }
    }

    pub(crate) async fn key(&mut self) -> KeyUpdate {
        match self.hear().await.unwrap() {
            Hear::Key(update) => update,
            other @ (Hear::Policy(_) | Hear::Heartbeat(_)) => panic!("not a key: {other:?}"),
        }
    }
}
