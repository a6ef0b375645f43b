//! `cargo xtask prices`: writes the price catalog anew from the data that a pinned package carries.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{process, tools};

/// Where the catalog lies.
const CATALOG: &str = "crates/policy/src/price/catalog.jsonl";
/// What writes it.
const PROGRAM: &str = "crates/xtask/src/prices/catalog.py";
/// The day from which on prices are taken: what was over by then is left out. To be moved on with the package.
const SINCE: &str = "2026-11-26";

/// Writes the catalog. What changed is for git to say.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    if let Some(argument) = arguments.first() {
        bail!("`cargo xtask prices` takes no argument, and got `{argument}`");
    }
    let python = tools::python(workspace)?;
    let package = tools::genai_prices(workspace)?;
    let mut program = Command::new(python);
    program
        .arg(workspace.root().join(PROGRAM))
        .args([tools::GENAI_PRICES, SINCE])
        .env("PYTHONPATH", package);
    let catalog = process::capture(&mut program)
        .with_context(|| format!("{PROGRAM} does not understand the package's data"))?;
    let path = workspace.root().join(CATALOG);
    std::fs::write(&path, &catalog).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{CATALOG}: {} lines", catalog.lines().count());
    Ok(ExitCode::SUCCESS)
}
