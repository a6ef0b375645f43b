//! Simple and hard work, told apart by its complexity.
//!
//! The prompts are those that the score is measured on, and labelled by whoever wrote them: the file says what that is
//! worth. Every prompt is sent to a model whose simple work goes to a cheap deployment, and to one that is always the strong
//! one; both answer with as many words.

use super::Stage;
use super::asker::Asker;
use super::summary::Mixed;

/// The model that tells work apart, and the one that does not.
pub(super) const MIXED: &str = "mixed";
pub(super) const STRONG: &str = "strong";
/// The deployments behind them, with about what a small model and a strong one cost.
pub(super) const CHEAP: (&str, &str) = ("mixed-cheap", "{ input: \"0.15\", output: \"0.60\" }");
pub(super) const DEAR: (&str, &str) = ("mixed-dear", "{ input: \"2.50\", output: \"10\" }");
/// What is simple.
pub(super) const CONDITION: &str = "request.complexity < 0.1";
/// What both answer with.
pub(super) const ANSWER: &str = "ok-200";

const PROMPTS: &str = include_str!("../../../crates/policy/examples/complexity/prompts.txt");

pub(super) async fn mixed(stage: &Stage) -> anyhow::Result<Mixed> {
    let mut asker = Asker::connect(stage).await?;
    let mut figures = Mixed::default();
    for (kind, text) in PROMPTS.lines().filter_map(|line| line.split_once('\t')) {
        let text = text.replace("\\n", "\n");
        let ours = asker.ask(MIXED, &text).await?;
        let always = asker.ask(STRONG, &text).await?;
        let is_cheap = u64::from(ours.by == CHEAP.0);
        let of_kind = if kind == "hard" {
            &mut figures.hard
        } else {
            &mut figures.easy
        };
        of_kind.prompts += 1;
        of_kind.sent_cheap += is_cheap;
        figures.nano_usd += ours.nano_usd;
        figures.always_strong_nano_usd += always.nano_usd;
    }
    Ok(figures)
}
