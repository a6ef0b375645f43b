//! `tollgate complete`: a prompt over gRPC, its answer streamed to the terminal.

mod show;

use std::io::IsTerminal;

use tollgate_proto::completion::v1::CompleteRequest;

use crate::caller::Caller;
use crate::error::Error;
use crate::output::Format;
use crate::prompt::{self, Prompt};
use crate::remote::Remote;
use crate::{json, output};
use show::Shown;

/// Arguments of `tollgate complete`.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    prompt: Prompt,
    #[command(flatten)]
    caller: Caller,
}

/// Sends the prompt and shows the answer.
///
/// # Errors
/// Why there is no answer, or no whole one.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let remote = arguments.caller.connect().await?;
    let request = arguments.prompt.request(&remote).await?;
    match arguments.caller.output() {
        Format::Table => stream(&remote, request).await,
        form @ (Format::Json | Format::Yaml) => unary(&remote, request, form).await,
    }
}

async fn stream(remote: &Remote, request: CompleteRequest) -> Result<(), Error> {
    let started = tokio::time::Instant::now();
    let mut client = prompt::client(remote);
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
    let mut client = prompt::client(remote);
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
