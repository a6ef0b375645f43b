//! A real etcd, one member, on ports of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tollgate_tests::process::{Process, Ready};

/// A running etcd, which can be killed and started again on the same data and ports.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    client: u16,
    peer: u16,
    data: PathBuf,
}

impl Etcd {
    /// Starts one with its data below `dir`.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let (client, peer) = (free_port()?, free_port()?);
        let data = dir.join("etcd");
        let process = spawn(client, peer, &data).await?;
        Ok(Self {
            process,
            client,
            peer,
            data,
        })
    }

    /// What to write after `--store`.
    pub fn store(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.client)
    }

    /// `kill -9`, then starts it again.
    pub async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process = spawn(self.client, self.peer, &self.data).await?;
        Ok(())
    }

    /// Saves a backup.
    pub fn back_up(&self, file: &Path) -> anyhow::Result<()> {
        let endpoint = format!("--endpoints=http://127.0.0.1:{}", self.client);
        let mut command = etcdctl()?;
        command.args([&endpoint, "snapshot", "save"]).arg(file);
        run(&mut command)
    }

    /// Puts a cluster restored from a backup in this one's place, as the README says.
    pub async fn restore(&mut self, file: &Path) -> anyhow::Result<()> {
        self.process.kill()?;
        self.data = self.data.with_extension("restored");
        let peer = format!("http://127.0.0.1:{}", self.peer);
        let mut command = etcdctl()?;
        command.args(["snapshot", "restore"]).arg(file);
        command.arg("--data-dir").arg(&self.data);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        command.args(["--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster-token", "restored"]);
        run(&mut command)?;
        self.process = spawn(self.client, self.peer, &self.data).await?;
        Ok(())
    }
}

/// The tool, which lies beside the server or on the path.
fn etcdctl() -> anyhow::Result<Command> {
    let server = PathBuf::from(super::environment::required("TOLLGATE_TEST_ETCD")?);
    let beside = server.with_file_name("etcdctl");
    let program = if beside.exists() {
        beside
    } else {
        "etcdctl".into()
    };
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3");
    Ok(command)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {text}");
    Ok(())
}

async fn spawn(client: u16, peer: u16, data: &Path) -> anyhow::Result<Process> {
    let program = super::environment::required("TOLLGATE_TEST_ETCD")?;
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(data);
    command.args(["--listen-client-urls", &client]);
    command.args(["--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer]);
    command.args(["--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    let ready = Ready::Http(format!("{client}/health"));
    Process::spawn("etcd", &mut command, ready).await
}

/// A port that nobody listens on now; etcd must be told its own address before it has one.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.port())
}
