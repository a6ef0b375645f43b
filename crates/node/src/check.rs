//! Whether a provider has what a policy says of it, asked without a node: from where an operator stands, with the
//! credential found there.

use tollgate_policy::table::Table;
use tollgate_provider::chat::{Message, Request, Role};
use tollgate_provider::tokens;

use crate::upstream::{Ended, Upstream};

/// What a request is counted by: instructions, a question and prose of about a page.
const INSTRUCTIONS: &str = "You are a careful assistant. Answer in two sentences.";
const PROSE: &str = "The harbour lay quiet. Two boats had come in with the tide, their nets still wet, and the \
    men talked of the price of herring as men had done there for three hundred years. ";

/// What was found of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// How many models its key can reach; none where it lists none.
    pub models: Option<usize>,
    /// Its deployments, by name.
    pub deployments: Vec<CheckedDeployment>,
}

/// What was found of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedDeployment {
    /// Its name in the policy.
    pub name: String,
    /// The model, by the provider's name.
    pub model: String,
    /// Whether the provider has the model; none where it lists none.
    pub there: Option<bool>,
    /// The tokens that the provider counts in a sample of prose; none where it does not count.
    pub counted: Option<u64>,
    /// What this gateway estimates for the same sample.
    pub estimated: u64,
}

/// Asks a provider of a policy which models it has and how it counts.
///
/// # Errors
/// In words: the policy has no such provider, or it did not answer as it should.
pub async fn provider(table: &Table, name: &str) -> Result<Checked, String> {
    let provider = table.providers().iter().find(|it| *it.name == *name);
    let provider = provider.ok_or_else(|| {
        let known: Vec<_> = table.providers().iter().map(|it| &*it.name).collect();
        format!(
            "the policy has no provider `{name}`, but {}",
            known.join(", ")
        )
    })?;
    let upstream = Upstream::new(provider);
    if let Some(fault) = upstream.fault() {
        return Err(fault);
    }
    let listed = upstream.models().await.map_err(|it| told(&it))?;
    let sample = Request {
        messages: vec![
            Message::text(Role::System, INSTRUCTIONS),
            Message::text(Role::User, PROSE.repeat(10)),
        ],
        max_output_tokens: Some(16),
        ..Request::default()
    };
    let estimated = tokens::estimate_request(&sample);
    let mut deployments = Vec::new();
    for deployment in table.deployments() {
        if deployment.provider.name != provider.name {
            continue;
        }
        let model = deployment.model.to_string();
        let there = listed.as_ref().map(|all| all.contains(&model));
        let counted = if there == Some(false) {
            None
        } else {
            let counted = upstream.counted(&sample, deployment).await;
            counted.map_err(|it| format!("{}: {}", deployment.name, told(&it)))?
        };
        deployments.push(CheckedDeployment {
            name: deployment.name.to_string(),
            model,
            there,
            counted,
            estimated,
        });
    }
    Ok(Checked {
        models: listed.map(|all| all.len()),
        deployments,
    })
}

fn told(ended: &Ended) -> String {
    ended.failure.to_string()
}
