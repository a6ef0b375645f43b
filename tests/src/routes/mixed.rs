//! Simple and hard work, told apart by its complexity.
//!
//! The prompts are those that the score is measured on, and labelled by whoever wrote them: the file says what that is
//! worth. Every prompt is sent to a model whose simple work goes to a cheap deployment, and to one that is always the strong
//! one; both answer with as many words.

use anyhow::Context;
use tollgate_proto::completion::v1 as pb;
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::Stage;
use super::summary::Mixed;
use crate::gateway::user;

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

/// What became of a prompt.
struct Answered {
    by: String,
    nano_usd: i64,
}

/// Asks a node one by one.
struct Asker {
    client: CompletionServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

pub(super) async fn mixed(stage: &Stage) -> anyhow::Result<Mixed> {
    let channel = Endpoint::from_shared(stage.gateway.url())?
        .connect()
        .await?;
    let mut asker = Asker {
        client: CompletionServiceClient::new(channel),
        authorization: format!("Bearer {}", stage.key).parse()?,
    };
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

impl Asker {
    async fn ask(&mut self, model: &str, text: &str) -> anyhow::Result<Answered> {
        let mut request = Request::new(pb::CompleteRequest {
            model: model.to_owned(),
            messages: vec![user(text.to_owned())],
            ..pb::CompleteRequest::default()
        });
        let authorization = self.authorization.clone();
        request
            .metadata_mut()
            .insert("authorization", authorization);
        let answer = self.client.complete(request).await?.into_inner();
        let cost = answer.cost.and_then(|cost| cost.nano_usd);
        Ok(Answered {
            by: answer.route.unwrap_or_default().deployment,
            nano_usd: cost.context("a cost")?,
        })
    }
}
