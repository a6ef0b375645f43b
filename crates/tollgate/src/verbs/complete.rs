//! `tollgate complete`: a prompt over gRPC, its answer streamed to the terminal.

mod show;

use std::io::IsTerminal;

use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::model_service_client::ModelServiceClient;
use tollgate_proto::completion::v1::{
    CompleteRequest, ListModelsRequest, Message, Part, Role, part,
};

use crate::caller::{self, Caller};
use crate::error::Error;
use crate::output::Format;
use crate::remote::{LARGEST_MESSAGE, Remote};
use crate::{json, output};
use show::Shown;

/// Arguments of `tollgate complete`.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Arguments {
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
    #[command(flatten)]
    caller: Caller,
}

/// Sends the prompt and shows the answer.
///
/// # Errors
/// Why there is no answer, or no whole one.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let remote = arguments.caller.connect().await?;
    let model = match &arguments.model {
        Some(model) => model.clone(),
        None => only_model(&remote).await?,
    };
    let request = request(model, &arguments)?;
    match arguments.caller.output() {
        Format::Table => stream(&remote, request).await,
        form @ (Format::Json | Format::Yaml) => unary(&remote, request, form).await,
    }
}

async fn stream(remote: &Remote, request: CompleteRequest) -> Result<(), Error> {
    let started = tokio::time::Instant::now();
    let mut client = client(remote);
    let answer = client.stream_complete(request).await;
    let mut answer = answer
        .map_err(|status| remote.explain(&status))?
        .into_inner();
    let mut shown = Shown::new(std::io::stdout().is_terminal());
    loop {
        match answer.message().await {
            Ok(Some(piece)) => output::print(&shown.push(&piece))?,
            Ok(None) => break,
            Err(status) => {
                output::print(shown.line_end())?;
                return Err(remote.explain(&status));
            }
        }
    }
    output::print(shown.line_end())?;
    output::note(&shown.summary(started.elapsed()));
    Ok(())
}

async fn unary(remote: &Remote, request: CompleteRequest, form: Format) -> Result<(), Error> {
    let mut client = client(remote);
    let answer = client.complete(request).await;
    let answer = answer
        .map_err(|status| remote.explain(&status))?
        .into_inner();
    output::show(
        form,
        || json::of(&answer, "tollgate.completion.v1.CompleteResponse"),
        String::new,
    )
}

fn client(remote: &Remote) -> CompletionServiceClient<crate::remote::Channel> {
    CompletionServiceClient::new(remote.channel())
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
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

fn request(model: String, arguments: &Arguments) -> Result<CompleteRequest, Error> {
    let prompt = caller::text(&arguments.prompt)?;
    let system = arguments.system.clone();
    let system = system.map(|text| message(Role::System, text));
    let messages = system
        .into_iter()
        .chain([message(Role::User, prompt)])
        .collect();
    Ok(CompleteRequest {
        model,
        messages,
        max_output_tokens: arguments.max_output_tokens,
        ..CompleteRequest::default()
    })
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
