//! Real processes: a control plane on a real store, nodes, and the fake provider.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tollgate_proto::admin::v1::key_service_client::KeyServiceClient;
use tollgate_proto::admin::v1::node_service_client::NodeServiceClient;
use tollgate_proto::admin::v1::policy_service_client::PolicyServiceClient;
use tollgate_proto::admin::v1::{CreateKeyRequest, ListNodesRequest, ListNodesResponse};
use tollgate_tests::process::{Process, Ready};
use tollgate_tests::provider::MockProvider;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::caller::Caller;
use super::condition::eventually;
use super::environment;
use super::etcd::Etcd;
use super::logs::{self, Request as Logged};

/// How long anything that has no deadline of its own may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where the control plane keeps its state.
#[derive(Debug, Clone, Copy)]
pub enum Store {
    Embedded,
    Etcd,
}

/// What is started.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub store: Store,
    /// Replicas of the control plane.
    pub controls: usize,
    pub nodes: usize,
    /// What nodes and operators prove themselves by.
    pub token: Option<&'static str>,
}

/// Everything that a scenario needs. Dropping it ends all processes.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub controls: Vec<Control>,
    pub provider: MockProvider,
    pub etcd: Option<Etcd>,
    token: Option<&'static str>,
    /// Dropped last: the processes have their files in it.
    dir: TempDir,
}

/// A replica of the control plane, running or not.
#[derive(Debug)]
pub struct Control {
    name: String,
    /// `http://ADDRESS`, the same after a restart.
    url: String,
    pub process: Option<Process>,
}

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    name: String,
    /// `http://ADDRESS`, the same after a restart.
    pub url: String,
    pub process: Option<Process>,
    log: PathBuf,
}

/// A key that callers use.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

impl Cluster {
    /// Starts a control plane and so many nodes, and applies `policy`, in which `PROVIDER` stands for the
    /// fake provider's address.
    pub async fn start(store: Store, nodes: usize, policy: &str) -> anyhow::Result<Self> {
        let shape = Shape {
            store,
            controls: 1,
            nodes,
            token: None,
        };
        let cluster = Self::without_policy(shape).await?;
        cluster.apply(policy)?;
        Ok(cluster)
    }

    /// The same in any shape, and before a policy is applied.
    pub async fn without_policy(shape: Shape) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("create a directory")?;
        let etcd = match shape.store {
            Store::Embedded => None,
            Store::Etcd => Some(Etcd::start(dir.path()).await?),
        };
        let mut cluster = Self {
            nodes: Vec::new(),
            controls: Vec::new(),
            provider: MockProvider::start()?,
            etcd,
            token: shape.token,
            dir,
        };
        for index in 0..shape.controls {
            cluster.controls.push(Control {
                name: format!("control-{index}"),
                url: "http://127.0.0.1:0".to_owned(),
                process: None,
            });
            cluster.start_control(index).await?;
        }
        for index in 0..shape.nodes {
            cluster.add_node(index).await?;
        }
        cluster.wait_connected(shape.nodes).await?;
        Ok(cluster)
    }

    /// Starts a replica of the control plane, at the address it had if it ran before.
    pub async fn start_control(&mut self, index: usize) -> anyhow::Result<()> {
        let store = match &self.etcd {
            Some(etcd) => etcd.store(),
            None => format!("embedded:{}", self.dir.path().join("control").display()),
        };
        let control = &mut self.controls[index];
        let address = control.url.trim_start_matches("http://");
        let mut command = environment::tollgate(&["control", "--store", &store])?;
        command.args(["--name", &control.name, "--listen", address]);
        command.args(["--ops-listen", "127.0.0.1:0"]);
        command.envs(self.token.map(|token| ("TOLLGATE_TOKEN", token)));
        let log = self.dir.path().join(format!("{}.log", control.name));
        let ready = Ready::line("ready control http://");
        let process = Process::spawn_logged(&control.name, &mut command, &log, ready).await?;
        control.url = process.ready_url()?.to_owned();
        control.process = Some(process);
        Ok(())
    }

    async fn add_node(&mut self, index: usize) -> anyhow::Result<()> {
        let name = format!("node-{index}");
        let log = self.dir.path().join(format!("{name}.log"));
        self.nodes.push(Node {
            name,
            url: "http://127.0.0.1:0".to_owned(),
            process: None,
            log,
        });
        self.start_node(index).await
    }

    /// Starts a node, at the address it had if it ran before.
    pub async fn start_node(&mut self, index: usize) -> anyhow::Result<()> {
        let controls = self.control_urls();
        let node = &mut self.nodes[index];
        let data = self.dir.path().join(&node.name).display().to_string();
        let address = node.url.trim_start_matches("http://");
        let mut command = environment::tollgate(&["node", "--control", &controls])?;
        command.args(["--name", &node.name, "--data-dir", &data]);
        command.args(["--listen", address, "--ops-listen", "127.0.0.1:0"]);
        command.envs(self.token.map(|token| ("TOLLGATE_TOKEN", token)));
        let ready = Ready::line("listening node http://");
        let process = Process::spawn_logged(&node.name, &mut command, &node.log, ready).await?;
        node.url = process.ready_url()?.to_owned();
        node.process = Some(process);
        Ok(())
    }

    /// `http://ADDRESS` of every replica of the control plane, separated by commas.
    fn control_urls(&self) -> String {
        let urls: Vec<&str> = self.controls.iter().map(|c| c.url.as_str()).collect();
        urls.join(",")
    }

    /// Runs `tollgate` as an operator and returns all it wrote.
    pub fn tollgate(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = environment::tollgate(arguments)?;
        command.env("TOLLGATE_CONTROL", self.control_urls());
        let command = command.stdin(Stdio::null());
        command.output().context("run tollgate")
    }

    /// The same where it must succeed; returns what it printed.
    pub fn tollgate_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.tollgate(arguments)?;
        let (out, err) = texts(&output);
        ensure!(output.status.success(), "tollgate {arguments:?}: {err}");
        Ok(out)
    }

    /// A path for a test's own file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `policy` to a file, with the provider's address in it.
    pub fn policy_file(&self, policy: &str) -> anyhow::Result<String> {
        let path = self.dir.path().join("policy.yaml");
        let text = policy.replace("PROVIDER", &self.provider.base_url());
        std::fs::write(&path, text).context("write the policy")?;
        Ok(path.display().to_string())
    }

    /// Applies a policy and waits until all nodes run it.
    pub fn apply(&self, policy: &str) -> anyhow::Result<String> {
        let file = self.policy_file(policy)?;
        self.tollgate_ok(&["apply", "--wait", "-f", &file])
    }

    /// A channel to the first replica of the control plane.
    async fn channel(&self) -> anyhow::Result<Admin> {
        let first = self.controls.first().context("a control plane")?;
        self.channel_to(first).await
    }

    async fn channel_to(&self, control: &Control) -> anyhow::Result<Admin> {
        let endpoint = Channel::from_shared(control.url.clone())?;
        let channel = endpoint.connect().await.context("connect to control")?;
        Ok(InterceptedService::new(channel, Token(self.token)))
    }

    /// A client of the policy.
    pub async fn policy(&self) -> anyhow::Result<PolicyServiceClient<Admin>> {
        Ok(PolicyServiceClient::new(self.channel().await?))
    }

    /// Makes a key of no tier of its own.
    pub async fn key(&self, subject: &str) -> anyhow::Result<Key> {
        let request = CreateKeyRequest {
            subject: subject.to_owned(),
            ..CreateKeyRequest::default()
        };
        self.create_key(request).await
    }

    /// Makes a key.
    pub async fn create_key(&self, request: CreateKeyRequest) -> anyhow::Result<Key> {
        let mut client = KeyServiceClient::new(self.channel().await?);
        let created = client.create_key(request).await?.into_inner();
        Ok(Key {
            id: created.key.context("a key")?.id,
            secret: created.secret,
        })
    }

    /// What the control plane knows of the nodes. A replica knows those that are connected to it.
    pub async fn list_nodes(&self) -> anyhow::Result<ListNodesResponse> {
        let mut all = ListNodesResponse::default();
        for control in &self.controls {
            let mut client = NodeServiceClient::new(self.channel_to(control).await?);
            let list = client.list_nodes(ListNodesRequest {}).await?.into_inner();
            all.nodes.extend(list.nodes);
            all.revision = all.revision.max(list.revision);
        }
        Ok(all)
    }

    /// Waits until so many nodes are connected.
    pub async fn wait_connected(&self, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} nodes are connected");
        eventually(&what, PATIENCE, async || {
            let nodes = self.list_nodes().await?.nodes;
            let connected = nodes.iter().filter(|node| node.connected).count();
            Ok((connected == count).then_some(()))
        })
        .await?;
        Ok(())
    }

    /// A gRPC caller of one node.
    pub fn caller(&self, node: usize, key: &Key) -> anyhow::Result<Caller> {
        Caller::new(&self.nodes[node].url, &key.secret)
    }

    /// All that a node has written.
    pub fn node_log(&self, index: usize) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.nodes[index].log).context("read the log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether a node's snapshot on disk holds these bytes.
    pub fn snapshot_holds(&self, index: usize, bytes: &[u8]) -> bool {
        let file = self
            .dir
            .path()
            .join(&self.nodes[index].name)
            .join("snapshot");
        let snapshot = std::fs::read(file).unwrap_or_default();
        snapshot.windows(bytes.len()).any(|window| window == bytes)
    }

    /// All requests that the nodes have logged.
    pub fn requests(&self) -> anyhow::Result<Vec<Logged>> {
        let mut all = Vec::new();
        for node in &self.nodes {
            all.extend(logs::requests(&node.log)?);
        }
        Ok(all)
    }

    /// Waits until the nodes have logged `count` requests, and returns them: a request's line is written
    /// after its answer.
    pub async fn wait_requests(&self, count: usize) -> anyhow::Result<Vec<Logged>> {
        let what = format!("{count} requests are logged");
        let all = eventually(&what, PATIENCE, async || {
            let all = self.requests()?;
            Ok((all.len() >= count).then_some(all))
        });
        Ok(all.await?.0)
    }
}

impl Control {
    /// `http://ADDRESS` of its services.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `http://ADDRESS` of its metrics and health.
    pub fn ops(&self) -> anyhow::Result<String> {
        ops_url(self.process.as_ref())
    }

    /// `kill -9`.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        crash(&mut self.process)
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        stop(&mut self.process).await
    }
}

impl Node {
    /// `http://ADDRESS` of its metrics and health.
    pub fn ops(&self) -> anyhow::Result<String> {
        ops_url(self.process.as_ref())
    }

    /// `kill -9`.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        crash(&mut self.process)
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        stop(&mut self.process).await
    }
}

fn crash(process: &mut Option<Process>) -> anyhow::Result<()> {
    let mut process = process.take().context("the process runs")?;
    process.kill()?;
    Ok(())
}

async fn stop(process: &mut Option<Process>) -> anyhow::Result<()> {
    let mut process = process.take().context("the process runs")?;
    let status = process.terminate(PATIENCE).await?;
    ensure!(status.success(), "{} ended with {status}", process.name());
    Ok(())
}

/// Adds the operators' token.
#[derive(Debug, Clone, Copy)]
pub struct Token(Option<&'static str>);

/// A channel to the control plane.
pub type Admin = InterceptedService<Channel, Token>;

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = self.0 {
            let value = format!("Bearer {token}").parse();
            let value = value.map_err(|_| Status::internal("a token that cannot be sent"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// What follows `ops` in a ready line.
fn ops_url(process: Option<&Process>) -> anyhow::Result<String> {
    let line = process.context("the process runs")?.ready_line();
    let (_, url) = line.split_once(" ops ").context("`ops` in a ready line")?;
    Ok(url.trim().to_owned())
}

/// Standard output and standard error.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
