//! What the README says to do works, block by block.

use std::fmt::Write;

use anyhow::Context;

use super::dev::{self, fact};
use super::environment::repository;
use super::shell::Shell;

/// A block of code: its language and its text.
type Block = (String, String);

/// The blocks of a section of the README.
fn blocks(readme: &str, heading: &str) -> anyhow::Result<Vec<Block>> {
    let (_, section) = readme.split_once(heading).context("the heading")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in section.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            // Writing to a String cannot fail.
            (None, Some((_, text))) => drop(writeln!(text, "{line}")),
            (None, None) => {}
        }
    }
    Ok(blocks)
}

fn of_language(blocks: &[Block], wanted: &str) -> Vec<String> {
    let found = blocks.iter().filter(|(language, _)| language == wanted);
    found.map(|(_, text)| text.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_of_the_readme_works() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    // The policy names a key for OpenAI; nothing is sent there.
    let dev = dev::start_with(&[], Some("sk-not-a-key")).await?;
    let output = dev.process.output()?;
    let node = fact(&output, "Tollgate is ready at")?;
    let directory = tempfile::tempdir()?;
    std::os::unix::fs::symlink(repository().join("proto"), directory.path().join("proto"))?;
    let shell = Shell::new(directory.path())?
        .export("TOLLGATE_KEY", &fact(&output, "demo key")?)
        .export("TOLLGATE_NODE", &node)
        .export("TOLLGATE_CONTROL", &fact(&output, "operators")?);
    let address = node.trim_start_matches("http://");

    let calls = blocks(&readme, "## Call it\n")?;
    assert!(calls.len() >= 5, "{calls:#?}");
    for (language, text) in &calls {
        let text = text.replace("127.0.0.1:8080", address);
        let (said, expected) = match language.as_str() {
            "sh" if text.contains("grpc_tools.protoc") => (shell.paste(&text)?, ""),
            "sh" if text.contains("/v1/embeddings") => (shell.paste(&text)?, "\"embedding\":["),
            "sh" => (shell.paste(&text)?, "Say hello."),
            "python" => (shell.python(&text)?, "Say hello."),
            other => anyhow::bail!("a block of {other}"),
        };
        assert!(said.contains(expected), "{text}\n=> {said}");
    }

    let operator = blocks(&readme, "## Two planes\n")?;
    let policy = of_language(&operator, "yaml").pop().context("a policy")?;
    std::fs::write(directory.path().join("policy.yaml"), policy)?;
    let commands = of_language(&operator, "sh").into_iter();
    let mut commands = commands.filter(|text| text.contains("tollgate validate"));
    let commands = commands.next().context("the operator's commands")?;
    let said = shell.paste(&commands)?;
    for expected in [
        "the policy is valid",
        "revision 2 is applied",
        "tg_",
        "current revision: 2",
    ] {
        assert!(said.contains(expected), "`{expected}` in {said}");
    }
    let example = repository().join("deploy/policy.example.yaml");
    let said = shell.paste(&format!("tollgate validate -f '{}'", example.display()))?;
    assert!(said.contains("the policy is valid"), "{said}");
    Ok(())
}
