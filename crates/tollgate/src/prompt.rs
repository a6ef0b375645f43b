//! What the verbs share that put a prompt to a model: the model, the prompt, and what goes along.

use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::model_service_client::ModelServiceClient;
use tollgate_proto::completion::v1::{
    CompleteRequest, ListModelsRequest, Message, Part, Role, part,
};

use crate::caller;
use crate::error::Error;
use crate::remote::{Channel, LARGEST_MESSAGE, Remote};

/// Arguments of every verb that puts a prompt to a model.
#[derive(Debug, clap::Args)]
pub(crate) struct Prompt {
    /// Model to ask; needed where the node offers several
    model: Option<String>,
    /// What to ask; `-` reads it from standard input
    #[arg(required = true)]
    prompt: String,
    /// Instructions that come before the prompt
    #[arg(long, env = "TOLLGATE_SYSTEM", value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of the answer
    #[arg(long, env = "TOLLGATE_MAX_OUTPUT_TOKENS", value_name = "TOKENS")]
    max_output_tokens: Option<u32>,
    /// Labels of the request, which routes and accounts can tell apart
    #[arg(
        long,
        env = "TOLLGATE_METADATA",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        value_parser = label
    )]
    metadata: Vec<(String, String)>,
}

impl Prompt {
    /// The request.
    ///
    /// # Errors
    /// No model is named and the node does not offer exactly one; the prompt cannot be read.
    pub(crate) async fn request(&self, remote: &Remote) -> Result<CompleteRequest, Error> {
        let model = match &self.model {
            Some(model) => model.clone(),
            None => only_model(remote).await?,
        };
        let prompt = caller::text(&self.prompt)?;
        let system = self.system.clone();
        let system = system.map(|text| message(Role::System, text));
        let messages = system
            .into_iter()
            .chain([message(Role::User, prompt)])
            .collect();
        Ok(CompleteRequest {
            model,
            messages,
            max_output_tokens: self.max_output_tokens,
            metadata: self.metadata.iter().cloned().collect(),
            ..CompleteRequest::default()
        })
    }
}

/// A client for conversations.
pub(crate) fn client(remote: &Remote) -> CompletionServiceClient<Channel> {
    CompletionServiceClient::new(remote.channel())
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected a name and a value such as plan=gold".to_owned()),
    }
}

async fn only_model(remote: &Remote) -> Result<String, Error> {
    let mut client = ModelServiceClient::new(remote.channel());
    let call = client.list_models(ListModelsRequest {});
    let mut names = remote.call(call).await?.models.into_iter().map(|m| m.name);
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Error::Failed(
            "the node offers no model; apply a policy that has one".to_owned(),
        )),
        (Some(first), Some(second)) => {
            let rest = names.collect::<Vec<_>>();
            let all = [vec![first, second], rest].concat().join(", ");
            Err(Error::Failed(format!(
                "the node offers several models, name one before the prompt: {all}"
            )))
        }
    }
}

fn message(role: Role, text: String) -> Message {
    Message {
        role: role.into(),
        parts: vec![Part {
            part: Some(part::Part::Text(text)),
            ..Part::default()
        }],
        ..Message::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_a_name() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(label("a="), Ok(("a".to_owned(), String::new())));
        for wrong in ["a", "=b", ""] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
    }
}
