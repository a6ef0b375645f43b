//! The processes: three etcd, three control replicas, three nodes, the fake provider.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::member::Member;
use super::network;
use crate::process::{Process, Ready, get};

/// What nodes and operators prove themselves by: beyond loopback the control plane wants a token.
pub(super) const TOKEN: &str = "a-token-of-this-run-alone";

/// Requests that the provider can keep in mind; a run has fewer.
const LEDGER: &str = "4000000";

/// The programs under test and around it.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) etcd: PathBuf,
    pub(super) tollgate: PathBuf,
    pub(super) provider: PathBuf,
}

/// All of them. Dropping it ends every process.
#[derive(Debug)]
pub(super) struct Fleet {
    programs: Programs,
    dir: PathBuf,
    running: BTreeMap<Member, Process>,
    /// Of those, the ones that were asked to end.
    leaving: BTreeSet<Member>,
}

impl Fleet {
    /// Starts everything and waits until it is ready, but for the nodes: they lack a policy.
    pub(super) async fn start(programs: Programs, dir: &Path) -> anyhow::Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let mut fleet = Self {
            programs,
            dir: dir.to_owned(),
            running: BTreeMap::new(),
            leaving: BTreeSet::new(),
        };
        for member in Member::all() {
            fleet.launch(member).await?;
        }
        for member in Member::etcds().chain(Member::controls()) {
            fleet.wait_ready(member).await?;
        }
        Ok(fleet)
    }

    /// Starts a member, for the first time or again.
    pub(super) async fn launch(&mut self, member: Member) -> anyhow::Result<()> {
        let mut command = self.command(member);
        let (name, log) = (member.to_string(), self.log(member));
        let process = Process::spawn_logged(&name, &mut command, &log, Ready::Started).await?;
        self.running.insert(member, process);
        Ok(())
    }

    /// Waits until a member says that it is ready.
    async fn wait_ready(&self, member: Member) -> anyhow::Result<()> {
        let path = match member {
            Member::Etcd(_) => "health",
            Member::Control(_) | Member::Node(_) => "readyz",
            Member::Provider => "_health",
        };
        let url = format!("http://{}/{path}", member.observed_at());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            if matches!(get(&url).await, Ok((200..=299, _))) {
                return Ok(());
            }
            ensure!(
                std::time::Instant::now() < deadline,
                "{member} is not ready; see {}",
                self.log(member).display()
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Where a member's output goes.
    pub(super) fn log(&self, member: Member) -> PathBuf {
        self.dir.join(format!("{member}.log"))
    }

    /// A running member.
    pub(super) fn process(&self, member: Member) -> Option<&Process> {
        self.running.get(&member)
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, member: Member) -> anyhow::Result<()> {
        self.leaving.remove(&member);
        let mut process = self.running.remove(&member).context("it runs")?;
        process.kill().map(drop)
    }

    /// `SIGTERM`.
    pub(super) fn ask_to_end(&mut self, member: Member) -> anyhow::Result<()> {
        self.leaving.insert(member);
        self.process(member).context("it runs")?.ask_to_end()
    }

    /// Whether a member that was asked to end has done so; if so it counts as not running.
    pub(super) fn has_ended(&mut self, member: Member) -> anyhow::Result<bool> {
        let process = self.running.get_mut(&member).context("it ran")?;
        let ended = process.try_wait()?.is_some();
        if ended {
            self.running.remove(&member);
            self.leaving.remove(&member);
        }
        Ok(ended)
    }

    /// Members that ended although nobody told them to. They are taken out, to be launched again.
    pub(super) fn fallen(&mut self) -> anyhow::Result<Vec<(Member, String)>> {
        let mut fallen = Vec::new();
        for (member, process) in &mut self.running {
            if let Some(status) = process.try_wait()?
                && !self.leaving.contains(member)
            {
                fallen.push((*member, status.to_string()));
            }
        }
        for (member, _) in &fallen {
            self.running.remove(member);
        }
        Ok(fallen)
    }

    fn command(&self, member: Member) -> Command {
        let listen = member.serves_at();
        match member {
            Member::Etcd(_) => self.etcd(member),
            Member::Control(_) => {
                let store: Vec<String> = Member::etcds().map(Member::serves_at).collect();
                let store = format!("etcd://{}", store.join(","));
                let mut command = self.tollgate(member, "control");
                command.args(["--store", &store, "--listen", &listen]);
                command
            }
            Member::Node(_) => {
                let mut command = self.tollgate(member, "node");
                command.args(["--control", &urls(Member::controls()), "--listen", &listen]);
                command.arg("--data-dir").arg(self.data(member));
                command
            }
            Member::Provider => {
                let mut command = network::inside(member, &self.programs.provider);
                command.args(["--listen", &listen, "--ledger-capacity", LEDGER]);
                command
            }
        }
    }

    fn tollgate(&self, member: Member, service: &str) -> Command {
        let mut command = network::inside(member, &self.programs.tollgate);
        command.args([service, "--name", &member.to_string()]);
        command.args(["--ops-listen", &member.observed_at()]);
        command.env("TOLLGATE_TOKEN", TOKEN);
        command
    }

    fn etcd(&self, member: Member) -> Command {
        let peer = |member: Member| format!("http://{}:2380", member.address());
        let client = format!("http://{}", member.serves_at());
        let cluster: Vec<String> = Member::etcds()
            .map(|member| format!("{member}={}", peer(member)))
            .collect();
        let mut command = network::inside(member, &self.programs.etcd);
        command.args(["--name", &member.to_string()]);
        command.arg("--data-dir").arg(self.data(member));
        command.args(["--listen-client-urls", &client]);
        command.args(["--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer(member)]);
        command.args(["--initial-advertise-peer-urls", &peer(member)]);
        command.args(["--initial-cluster", &cluster.join(",")]);
        command.args(["--initial-cluster-token", "chaos", "--logger", "zap"]);
        command
    }

    fn data(&self, member: Member) -> PathBuf {
        self.dir.join(member.to_string())
    }
}

/// Addresses separated by commas.
pub(super) fn urls(members: impl Iterator<Item = Member>) -> String {
    let urls: Vec<String> = members
        .map(|member| format!("http://{}", member.serves_at()))
        .collect();
    urls.join(",")
}
