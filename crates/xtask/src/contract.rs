//! The contract under `proto/`: lint, format, and the promise that it never breaks a state of it that landed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::check::Outcome;
use crate::workspace::Workspace;
use crate::{process, tools};

/// How many of the newest commits to the contract are compared with.
const COMMITS: &str = "50";

/// `buf lint`, by the rules of `buf.yaml`.
pub(crate) fn lint(workspace: &Workspace) -> Result<Outcome> {
    process::run(&mut buf(workspace, &["lint"])?)?;
    Ok(Outcome::Passed)
}

/// `buf format`: shows what it would change.
pub(crate) fn format(workspace: &Workspace) -> Result<Outcome> {
    process::run(&mut buf(workspace, &["format", "--diff", "--exit-code"])?)
        .context("the diff above is what `buf format -w` would change")?;
    Ok(Outcome::Passed)
}

/// `buf breaking` against every different state of `proto/` among the newest commits that touched it.
///
/// Callers generate clients from any commit, not from the last one alone: a field that was added and taken
/// away again is in somebody's generated code. So a v1 package must stay compatible with every state that
/// ever landed, and what is compared with is the history itself, not a copy that somebody has to update.
pub(crate) fn breaking(workspace: &Workspace) -> Result<Outcome> {
    let states = earlier_states(workspace)?;
    if states.is_empty() {
        return Ok(Outcome::NotChecked(nothing_earlier(workspace)));
    }
    let mut broken = Vec::new();
    for state in &states {
        let folder = state.exported(workspace)?;
        let against = folder.to_string_lossy();
        if process::run(&mut buf(workspace, &["breaking", "--against", &against])?).is_err() {
            broken.push(state.commit.as_str());
        }
    }
    if !broken.is_empty() {
        bail!(
            "proto/ breaks callers generated at {}: keep what was there, mark it deprecated, add beside it",
            broken.join(", ")
        );
    }
    println!("compatible with {} earlier states", states.len());
    Ok(Outcome::Passed)
}

/// Why there is nothing to compare with.
fn nothing_earlier(workspace: &Workspace) -> String {
    let reason = "the git history holds no earlier state of proto/";
    let shallow = workspace
        .git(&["rev-parse", "--is-shallow-repository"])
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"true"));
    if shallow {
        format!("{reason}: this is a shallow clone, `git fetch --unshallow` completes it")
    } else {
        reason.to_owned()
    }
}

/// One state of `proto/` in the history.
#[derive(Debug)]
struct State {
    /// The newest commit that has it, abbreviated.
    commit: String,
    /// Git's name for the folder's content: equal content has an equal name.
    tree: String,
}

impl State {
    /// Where the state's files are, put there if they are not yet. The name of the folder is that of its
    /// content, so one that is there is right.
    fn exported(&self, workspace: &Workspace) -> Result<PathBuf> {
        let folder = workspace.target().join("contract").join(&self.tree);
        if folder.exists() {
            return Ok(folder);
        }
        let unfinished = folder.with_extension("unfinished");
        std::fs::create_dir_all(&unfinished)
            .with_context(|| format!("cannot create {}", unfinished.display()))?;
        let archive = unfinished.join("proto.tar");
        let mut export = workspace.git(&["archive", "--format=tar", "--output"]);
        process::capture(export.arg(&archive).arg(&self.tree))?;
        let mut unpack = Command::new("tar");
        process::capture(unpack.arg("-xf").arg(&archive).arg("-C").arg(&unfinished))?;
        std::fs::remove_file(&archive).context("cannot remove an unpacked archive")?;
        std::fs::rename(&unfinished, &folder)
            .with_context(|| format!("cannot move {}", unfinished.display()))?;
        Ok(folder)
    }
}

/// The states of `proto/` in the history that differ from one another and from the files as they are now.
fn earlier_states(workspace: &Workspace) -> Result<Vec<State>> {
    if !process::succeeds(&mut workspace.git(&["rev-parse", "--verify", "--quiet", "HEAD"])) {
        return Ok(Vec::new());
    }
    let mut log = workspace.git(&["log", "--full-history", "--format=%h", "-n", COMMITS]);
    let commits = process::capture(log.args(["--", "proto"]))?;
    let mut seen: Vec<String> = current_state(workspace)?.into_iter().collect();
    let mut states = Vec::new();
    for commit in commits.lines() {
        // A commit that took the folder away has no state of it.
        let name = format!("{commit}:proto");
        let Ok(tree) =
            process::capture(&mut workspace.git(&["rev-parse", "--verify", "--quiet", &name]))
        else {
            continue;
        };
        let tree = tree.trim().to_owned();
        if !seen.contains(&tree) {
            seen.push(tree.clone());
            states.push(State {
                commit: commit.to_owned(),
                tree,
            });
        }
    }
    Ok(states)
}

/// The name of the present state of `proto/`, unless it has changes that are not committed.
fn current_state(workspace: &Workspace) -> Result<Option<String>> {
    let changes = process::capture(&mut workspace.git(&["status", "--porcelain", "--", "proto"]))?;
    if !changes.is_empty() {
        return Ok(None);
    }
    let tree =
        process::capture(&mut workspace.git(&["rev-parse", "--verify", "--quiet", "HEAD:proto"]));
    Ok(tree.ok().map(|tree| tree.trim().to_owned()))
}

fn buf(workspace: &Workspace, arguments: &[&str]) -> Result<Command> {
    let program: &Path = &tools::buf(workspace)?;
    let mut command = Command::new(program);
    command.current_dir(workspace.root()).args(arguments);
    Ok(command)
}
