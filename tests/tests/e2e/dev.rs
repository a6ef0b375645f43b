//! `tollgate dev`: ready fast, and every command it prints works as printed.

use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;
use tollgate_tests::process::{Process, Ready};

use super::caller::Caller;
use super::cluster::{PATIENCE, texts};
use super::environment;
use super::shell::Shell;

/// The last line of what it prints.
const READY: &str = "Stop with Ctrl-C.";

/// A running `tollgate dev`, with the directory that its temporary one is made in.
pub struct Dev {
    pub process: Process,
    _temporary: TempDir,
}

async fn start(arguments: &[&str]) -> anyhow::Result<Dev> {
    start_with(arguments, None).await
}

/// Starts it on free ports, with a key for OpenAI or without one.
pub async fn start_with(arguments: &[&str], openai: Option<&str>) -> anyhow::Result<Dev> {
    let temporary = tempfile::tempdir()?;
    let mut command = environment::tollgate(&["dev"])?;
    for flag in ["--listen", "--control-listen", "--ops-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.args(arguments);
    // Keys that whoever runs the tests happens to have.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().ends_with("_API_KEY") {
            command.env_remove(name);
        }
    }
    command.envs(openai.map(|key| ("OPENAI_API_KEY", key)));
    command.env("TMPDIR", temporary.path());
    let process = Process::spawn("dev", &mut command, Ready::line(READY)).await?;
    Ok(Dev {
        process,
        _temporary: temporary,
    })
}

/// What follows a word on its line of the output.
pub fn fact(output: &str, word: &str) -> anyhow::Result<String> {
    let line = output
        .lines()
        .find_map(|line| line.trim().strip_prefix(word));
    let text = line
        .with_context(|| format!("`{word}` in {output}"))?
        .trim();
    Ok(text.split([' ', ',']).next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_completion_comes_soon_after_the_start() -> anyhow::Result<()> {
    let started = Instant::now();
    let dev = start(&[]).await?;
    let output = dev.process.output()?;
    let url = fact(&output, "Tollgate is ready at")?;
    let caller = Caller::new(&url, &fact(&output, "demo key")?)?;
    caller.complete("demo", "Say hello.").await?;
    let took = started.elapsed();
    // The promise is a second, and it is for what users run; an unoptimised build gets some more.
    let promise = if cfg!(debug_assertions) { 3 } else { 1 };
    assert!(took < Duration::from_secs(promise), "{took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_printed_command_works() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let directory = tempfile::tempdir()?;
    let shell = Shell::new(directory.path())?;
    let output = dev.process.output()?;
    let (_, commands) = output
        .split_once("Paste any of these")
        .context("commands")?;
    let (commands, _) = commands.split_once(READY).context("commands")?;
    let blocks = commands.split("\n\n").skip(1);
    let blocks: Vec<&str> = blocks.filter(|block| !block.trim().is_empty()).collect();
    let expected = [
        "\"finish_reason\":\"stop\"",
        "data: [DONE]",
        "output tokens",
        "Say hello.",
        "is this policy already",
        "current revision: 1",
        "key-requests",
    ];
    assert_eq!(blocks.len(), expected.len(), "{blocks:#?}");
    for (block, expected) in blocks.into_iter().zip(expected) {
        let said = shell.paste(block)?;
        assert!(said.contains(expected), "{block}\n=> {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_keeps_policy_and_key() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("dev").display().to_string();
    let mut dev = start(&["--data-dir", &home]).await?;
    let key = fact(&dev.process.output()?, "demo key")?;
    assert!(dev.process.terminate(PATIENCE).await?.success());

    let dev = start(&["--data-dir", &home]).await?;
    let output = dev.process.output()?;
    assert_eq!(fact(&output, "demo key")?, key);
    let caller = Caller::new(&fact(&output, "Tollgate is ready at")?, &key)?;
    caller.complete("demo", "Say hello.").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_and_a_wrong_setting_say_what_to_change() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let taken = fact(&dev.process.output()?, "Tollgate is ready at")?;
    let taken = taken.trim_start_matches("http://");
    for (arguments, code, said) in [
        (vec!["dev", "--listen", taken], 1, "--listen"),
        (vec!["dev", "--listen", "nowhere"], 2, "--listen"),
        (vec!["control"], 2, "--store"),
        (vec!["control", "--store", "redis://x:1"], 64, "etcd://"),
        (vec!["node", "--data-dir", "/tmp"], 2, "--control"),
        (
            vec!["control", "--store", "embedded:x", "--listen", "0.0.0.0:0"],
            64,
            "--token",
        ),
        (
            vec!["dev", "--log", "a=loud", "--listen", "127.0.0.1:0"],
            64,
            "a=loud",
        ),
        (vec!["apply", "-f", "no/such/file"], 1, "no/such/file"),
        (
            vec!["nodes", "--control", "http://127.0.0.1:9"],
            1,
            "TOLLGATE_CONTROL",
        ),
    ] {
        let output = environment::tollgate(&arguments)?.output()?;
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: `{said}` in {err}");
    }
    Ok(())
}
