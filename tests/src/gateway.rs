//! A gateway of one control plane and one node, as processes, for programs that measure or try it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tollgate_proto::completion::v1 as pb;

use crate::process::{Process, Ready, free_address, run};

/// What a caller says, in text.
pub(crate) fn user(text: String) -> pb::Message {
    let part = pb::Part {
        part: Some(pb::part::Part::Text(text)),
        ..pb::Part::default()
    };
    pb::Message {
        role: pb::Role::User.into(),
        parts: vec![part],
        ..pb::Message::default()
    }
}

/// Both processes; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) node: Process,
    pub(crate) control: Process,
    cli: Cli,
}

impl Gateway {
    /// Starts both, with their files in `directory` and these variables for the node, and applies a policy. Returns
    /// when the node serves by it.
    pub(crate) async fn start(
        program: &Path,
        directory: &Path,
        policy: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let cli = Cli::new(program, directory)?;
        let control = cli.start_control().await?;
        let node = cli.start_node(variables).await?;
        let path = directory.join("policy.yaml");
        fs::write(&path, policy).context("write the policy")?;
        run(cli.operator("apply").arg("--wait").arg("-f").arg(&path))?;
        Ok(Self { node, control, cli })
    }

    /// Where callers call.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.cli.node)
    }

    /// Units of a limit that were spent, as its owner knows, over all its counters or of one, `NAME/PART=…`.
    pub(crate) fn spent(&self, limit: &str) -> anyhow::Result<u64> {
        let mut list = self.cli.operator("limits");
        list.args(["--output", "json"]);
        let all: serde_json::Value =
            serde_json::from_str(&run(&mut list)?).context("read the limits")?;
        let counters = all["limits"].as_array().map_or(&[][..], Vec::as_slice);
        let of = counters.iter().filter(|it| {
            let counter = it["counter"].as_str().unwrap_or_default();
            let rest = counter.strip_prefix(limit);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let spent = of.map(|it| it["spent"].as_u64());
        let sum: Option<u64> = spent.sum();
        sum.with_context(|| format!("no number in {all}"))
    }

    /// Creates a key and returns its secret.
    pub(crate) fn key(&self, subject: &str) -> anyhow::Result<String> {
        let mut create = self.cli.operator("keys");
        create.args(["create", "--subject", subject, "--output", "json"]);
        let created: serde_json::Value =
            serde_json::from_str(&run(&mut create)?).context("read the created key")?;
        let key = created["secret"].as_str();
        let key = key.with_context(|| format!("no `secret` in {created}"))?;
        Ok(key.to_owned())
    }
}

/// The command line of the gateway and the addresses its two services get.
#[derive(Debug)]
struct Cli {
    program: PathBuf,
    directory: PathBuf,
    control: String,
    control_ops: String,
    node: String,
    node_ops: String,
}

impl Cli {
    fn new(program: &Path, directory: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            control: free_address()?,
            control_ops: free_address()?,
            node: free_address()?,
            node_ops: free_address()?,
        })
    }

    async fn start_control(&self) -> anyhow::Result<Process> {
        let store = format!("embedded:{}", self.path("control")?.display());
        let mut command = self.command("control");
        command.args(["--store", &store, "--listen", &self.control]);
        command.args(["--ops-listen", &self.control_ops]);
        let ready = Ready::Http(format!("http://{}/readyz", self.control_ops));
        Process::spawn("tollgate control", &mut command, ready).await
    }

    /// A node without a policy is up, but not ready to serve.
    async fn start_node(&self, variables: &[(&str, &str)]) -> anyhow::Result<Process> {
        let control = format!("http://{}", self.control);
        let mut command = self.command("node");
        command.args(["--control", &control, "--data-dir"]);
        command.arg(self.path("node")?);
        command.args(["--listen", &self.node, "--ops-listen", &self.node_ops]);
        command.envs(variables.iter().copied());
        let ready = Ready::Http(format!("http://{}/healthz", self.node_ops));
        Process::spawn("tollgate node", &mut command, ready).await
    }

    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(path)
    }

    fn operator(&self, verb: &str) -> Command {
        let mut command = self.command(verb);
        command.env("TOLLGATE_CONTROL", format!("http://{}", self.control));
        command
    }

    /// What the person who runs the program has set for a gateway of their own must not leak in.
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.as_encoded_bytes().starts_with(b"TOLLGATE_")) {
            command.env_remove(name);
        }
        command.arg(verb);
        command
    }
}
