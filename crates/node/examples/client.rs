//! Streams a completion over gRPC to the terminal.
//!
//! ```text
//! TOLLGATE_KEY=tg_… cargo run -p tollgate-node --example client -- http://127.0.0.1:8080 chat "Why is the sky blue?"
//! ```

use std::error::Error;
use std::io::Write;

use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tollgate_proto::completion::v1::part_delta::Delta;
use tollgate_proto::completion::v1::{
    CompleteRequest, Message, Part, Role, StreamCompleteResponse, part,
};
use tonic::Request;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(node), Some(model), Some(prompt)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: client NODE_URL MODEL PROMPT, with the key in TOLLGATE_KEY".into());
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the edge where configuration is parsed"
    )]
    let key = std::env::var("TOLLGATE_KEY").map_err(|_| "set TOLLGATE_KEY to a key, tg_…")?;

    let mut client = CompletionServiceClient::connect(node).await?;
    let part = Part {
        part: Some(part::Part::Text(prompt)),
        ..Part::default()
    };
    let mut request = Request::new(CompleteRequest {
        model,
        messages: vec![Message {
            role: Role::User.into(),
            parts: vec![part],
            ..Message::default()
        }],
        ..CompleteRequest::default()
    });
    let bearer = format!("Bearer {key}").parse()?;
    request.metadata_mut().insert("authorization", bearer);

    let mut answer = client.stream_complete(request).await?.into_inner();
    while let Some(message) = answer.message().await? {
        show(&message)?;
    }
    Ok(())
}

/// Text goes to the terminal as it comes; the last message tells what it took.
fn show(message: &StreamCompleteResponse) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    for part in message.choices.iter().flat_map(|choice| &choice.parts) {
        if let Some(Delta::Text(text)) = &part.delta {
            write!(out, "{text}")?;
        }
    }
    if let (Some(usage), Some(route)) = (&message.usage, &message.route) {
        write!(
            out,
            "\n[{} by {}: {} tokens in, {} out]\n",
            route.provider_model, route.provider, usage.input_tokens, usage.output_tokens
        )?;
    }
    out.flush()
}
