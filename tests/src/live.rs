//! A small paid suite against the real providers: do they answer as the fixtures say, in meaning and on the wire?
//!
//! A gateway is started with deployments at each provider whose key is in the environment, and asked over both edges for
//! each of a few things; what comes back is held against what every codec's fixtures promise. A recorder between the
//! two sees the answers as they come: fields that no fixture has, and fields of other types, are told by path and type.
//! Without any key, it is told what would be done. The answers themselves are not shown, and nothing is kept.

mod caller;
mod cases;
mod fixtures;
mod providers;
mod recorder;
mod shape;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;

use crate::gateway::Gateway;
use caller::Caller;
use cases::Case;
use fixtures::Shapes;
use providers::{Provider, chosen, plan, policy};
use recorder::{Answer, Recorder};
use shape::Shape;

/// What the program is told.
#[derive(Debug, Parser)]
#[command(about = "Asks the real providers, and prints where they differ from the fixtures")]
pub struct Options {
    /// The gateway's program.
    #[arg(long)]
    pub tollgate: PathBuf,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// To be shown.
    pub text: String,
    /// How many answers mean something else than they should.
    pub differ: usize,
    /// How many paths no fixture has, or has with other types.
    pub strange: usize,
}

/// Tries every provider for which `variables` hold what it takes; where there is none, tells what would be done.
pub async fn run(
    options: &Options,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<Report> {
    let chosen = chosen(variables);
    let mut report = Report {
        text: plan(&chosen),
        differ: 0,
        strange: 0,
    };
    if chosen.is_empty() {
        return Ok(report);
    }
    let mut recorders = Vec::new();
    for it in &chosen {
        recorders.push(Recorder::start(&it.address).await?);
    }
    let directory = tempfile::tempdir().context("create a directory")?;
    let keys: Vec<_> = chosen.iter().map(|it| (it.provider.key, it.key)).collect();
    let policy = policy(chosen.iter().zip(recorders.iter().map(Recorder::url)));
    let gateway = Gateway::start(&options.tollgate, directory.path(), &policy, &keys).await?;
    let caller = Caller::connect(&gateway).await?;
    let mut asked = 0;
    for (it, recorder) in chosen.iter().zip(&recorders) {
        let cases = it.cases();
        asked += cases.len();
        for case in cases {
            report.add(it.provider, case, &caller).await;
        }
        report.add_wire(it.provider, &recorder.answers())?;
    }
    let _ = writeln!(
        report.text,
        "\n{} of {asked} answers differ in what they mean, {} paths on the wire",
        report.differ, report.strange
    );
    Ok(report)
}

impl Report {
    async fn add(&mut self, provider: &Provider, case: &Case, caller: &Caller) {
        let begin = Instant::now();
        let differences = match case.run(caller, provider).await {
            Ok(differences) => differences,
            Err(error) => vec![format!("{error:#}")],
        };
        let spent = begin.elapsed().as_secs_f64();
        let head = format!("{:<18} {:<30} {spent:>6.2} s", provider.name(), case.name);
        if differences.is_empty() {
            let _ = writeln!(self.text, "{head}  as the fixtures say");
            return;
        }
        self.differ += 1;
        let _ = writeln!(self.text, "{head}  differs: {}", differences.join("; "));
    }

    /// Holds the answers of a provider, as they came, against the fixtures of its kind.
    fn add_wire(&mut self, provider: &Provider, answers: &[Answer]) -> anyhow::Result<()> {
        let fixtures = Shapes::of_fixtures(provider.kind)?;
        let (met, unread) = Shapes::of_answers(answers);
        let nothing = Shape::default();
        for (interface, shape) in met.iter() {
            let found = shape.beside(fixtures.get(interface).unwrap_or(&nothing));
            let head = format!("{:<18} {:<30}", provider.name(), interface.as_str());
            let _ = writeln!(
                self.text,
                "{head} on the wire: {} new paths, {} of other types; {} of the fixtures' not seen",
                found.unknown.len(),
                found.others.len(),
                found.unseen
            );
            for path in &found.unknown {
                let _ = writeln!(self.text, "    no fixture has  {path}");
            }
            for path in &found.others {
                let _ = writeln!(self.text, "    another type    {path}");
            }
            self.strange += found.unknown.len() + found.others.len();
        }
        for problem in &unread {
            let name = provider.name();
            let _ = writeln!(self.text, "{name:<18} cannot be compared: {problem}");
        }
        self.strange += unread.len();
        Ok(())
    }
}
