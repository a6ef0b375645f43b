//! What an operator does meanwhile: policy, keys, a look at the limits. All of it by the command line.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::time::Instant;

use super::fleet::{TOKEN, urls};
use super::member::{Member, OF_A_KIND};
use super::stage::{self, Amounts};

/// How long one try may take: a replica may be stopped or cut off.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long to try, at one replica after the other.
const TRY_FOR: Duration = Duration::from_secs(90);

/// Speaks to the control plane.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    tollgate: PathBuf,
    policy: PathBuf,
    window_s: u64,
}

/// A key that callers use.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
}

/// A counter as `tollgate limits` shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Counter {
    pub(super) counter: String,
    pub(super) limit: u64,
    pub(super) spent: u64,
    pub(super) outstanding: u64,
    pub(super) free: u64,
    /// Charged for dead processes, and perhaps not spent.
    pub(super) suspense: u64,
    /// Charged beyond the limit.
    pub(super) debt: u64,
    pub(super) nodes: Vec<Share>,
}

/// A node's part of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Share {
    pub(super) granted: u64,
    pub(super) returned: u64,
    pub(super) spent: u64,
    /// What its closing has freed.
    pub(super) freed: u64,
    pub(super) suspense: u64,
}

impl Operator {
    /// One who runs `tollgate`, keeps files in `dir`, and writes policies of windows of this length.
    pub(super) fn new(tollgate: &Path, dir: &Path, window_s: u64) -> Self {
        Self {
            tollgate: tollgate.to_owned(),
            policy: dir.join("policy.yaml"),
            window_s,
        }
    }

    /// Makes these amounts the policy where `current` is the current revision, and returns the new one.
    ///
    /// The revision guards against a try that was given up and takes effect later: of all tries one succeeds,
    /// and none after that.
    pub(super) async fn apply(&self, amounts: &Amounts, current: u64) -> anyhow::Result<u64> {
        let provider = format!("http://{}/v1", Member::Provider.serves_at());
        let text = stage::policy(amounts, self.window_s, &provider);
        std::fs::write(&self.policy, text).context("write the policy")?;
        let path = self.policy.display().to_string();
        let expected = current.to_string();
        let apply = ["apply", "--output", "json", "-f", &path];
        let deadline = Instant::now() + TRY_FOR;
        for first in (0..OF_A_KIND).cycle() {
            let guarded = [&apply[..], &["--expect", &expected]].concat();
            match self.once(first, &guarded).await {
                Ok(said) => return revision(&said),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => {}
            }
            let dry = [&apply[..], &["--dry-run"]].concat();
            if let Ok(said) = self.once(first, &dry).await {
                // Nobody else applies anything: it was an earlier try.
                let now = revision(&said)?;
                if now > current {
                    return Ok(now);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("there is no control replica")
    }

    /// Makes a key.
    pub(super) async fn create_key(&self, subject: &str) -> anyhow::Result<Key> {
        #[derive(Deserialize)]
        struct Created {
            key: Identified,
            secret: String,
        }
        #[derive(Deserialize)]
        struct Identified {
            id: String,
        }
        let arguments = ["keys", "create", "--subject", subject, "--output", "json"];
        let said = self.persist(&arguments).await?;
        let created: Created = serde_json::from_str(&said).context("read the key")?;
        Ok(Key {
            id: created.key.id,
            secret: created.secret,
        })
    }

    /// The live state of all limits, from the replica that hands them out.
    pub(super) async fn limits(&self) -> anyhow::Result<Vec<Counter>> {
        #[derive(Deserialize)]
        struct Listed {
            limits: Vec<Counter>,
        }
        let said = self.persist(&["limits", "--output", "json"]).await?;
        let listed: Listed = serde_json::from_str(&said).context("read the limits")?;
        Ok(listed.limits)
    }

    /// Runs a command until it succeeds, beginning at each replica in turn.
    async fn persist(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let deadline = Instant::now() + TRY_FOR;
        for first in (0..OF_A_KIND).cycle() {
            match self.once(first, arguments).await {
                Ok(said) => return Ok(said),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("no replica did it within {TRY_FOR:?}")));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        anyhow::bail!("there is no control replica")
    }

    async fn once(&self, first: u8, arguments: &[&str]) -> anyhow::Result<String> {
        let mut controls: Vec<Member> = Member::controls().collect();
        controls.rotate_left(usize::from(first));
        let mut command = Command::new(&self.tollgate);
        command
            .args(arguments)
            .env("TOLLGATE_CONTROL", urls(controls.into_iter()))
            .env("TOLLGATE_TOKEN", TOKEN);
        let mut command = tokio::process::Command::from(command);
        let output = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output).await;
        let output = output
            .context("no answer in time")?
            .context("start tollgate")?;
        ensure!(
            output.status.success(),
            "tollgate {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).context("read what tollgate said")
    }
}

/// The current revision, in what `apply` says.
fn revision(said: &str) -> anyhow::Result<u64> {
    let said: serde_json::Value =
        serde_json::from_str(said).with_context(|| format!("read what apply said: {said}"))?;
    let revision = said["revision"]["revision"].as_u64();
    Ok(revision.unwrap_or(0))
}
