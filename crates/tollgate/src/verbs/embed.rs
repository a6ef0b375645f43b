//! `tollgate embed`: texts as vectors.

use tollgate_proto::completion::v1::embedding_service_client::EmbeddingServiceClient;
use tollgate_proto::completion::v1::{
    EmbedInput, EmbedRequest, EmbedResponse, Embedding, InputType, embed_input, embedding,
};

use crate::caller::{self, Caller};
use crate::error::Error;
use crate::remote::LARGEST_MESSAGE;
use crate::table::Table;
use crate::{json, output};

/// Numbers of a vector that people are shown.
const SHOWN: usize = 6;

/// Arguments of `tollgate embed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model to ask
    model: String,
    /// What to embed, a vector for each; `-` reads it from standard input
    #[arg(required = true)]
    texts: Vec<String>,
    /// How long the vectors are to be, where the model can be told
    #[arg(long, env = "TOLLGATE_DIMENSIONS", value_name = "NUMBERS")]
    dimensions: Option<u32>,
    /// What the vectors are for
    #[arg(long, env = "TOLLGATE_INPUT_TYPE", value_name = "USE")]
    input_type: Option<Use>,
    #[command(flatten)]
    caller: Caller,
}

/// What vectors are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Use {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To sort into classes.
    Classification,
    /// To find groups in.
    Clustering,
}

/// Asks for the vectors and shows them.
///
/// # Errors
/// Why there are none.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let remote = arguments.caller.connect().await?;
    let started = tokio::time::Instant::now();
    let mut client = EmbeddingServiceClient::new(remote.channel())
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let answer = client.embed(request(&arguments)?).await;
    let answer = answer
        .map_err(|status| remote.explain(&status))?
        .into_inner();
    output::show(
        arguments.caller.output(),
        || json::of(&answer, "tollgate.completion.v1.EmbedResponse"),
        || table(&answer),
    )?;
    let (cost, route) = (answer.cost.as_ref(), answer.route.as_ref());
    output::note(&caller::summary(
        answer.usage.as_ref(),
        cost,
        route,
        started.elapsed(),
    ));
    Ok(())
}

fn request(arguments: &Arguments) -> Result<EmbedRequest, Error> {
    let texts = arguments.texts.iter().map(|it| caller::text(it));
    let input = |text: Result<String, Error>| {
        Ok(EmbedInput {
            input: Some(embed_input::Input::Text(text?)),
        })
    };
    let input_type = match arguments.input_type {
        None => InputType::Unspecified,
        Some(Use::Query) => InputType::Query,
        Some(Use::Document) => InputType::Document,
        Some(Use::Classification) => InputType::Classification,
        Some(Use::Clustering) => InputType::Clustering,
    };
    Ok(EmbedRequest {
        model: arguments.model.clone(),
        inputs: texts.map(input).collect::<Result<_, Error>>()?,
        dimensions: arguments.dimensions,
        input_type: input_type.into(),
        ..EmbedRequest::default()
    })
}

/// The beginning of each vector.
fn table(answer: &EmbedResponse) -> String {
    let mut table = Table::new(["INPUT", "NUMBERS", "VECTOR"]);
    for (index, Embedding { vector }) in answer.embeddings.iter().enumerate() {
        let Some(embedding::Vector::Floats(floats)) = vector else {
            continue;
        };
        let shown = floats.values.iter().take(SHOWN);
        let shown: Vec<_> = shown.map(|it| format!("{it:.4}")).collect();
        let rest = if floats.values.len() > SHOWN {
            " …"
        } else {
            ""
        };
        table.row([
            index.to_string(),
            floats.values.len().to_string(),
            format!("{}{rest}", shown.join(" ")),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_proto::completion::v1::FloatVector;

    #[test]
    fn the_beginning_of_each_vector_is_shown() {
        let vector = |values: &[f32]| Embedding {
            vector: Some(embedding::Vector::Floats(FloatVector {
                values: values.to_vec(),
            })),
        };
        let answer = EmbedResponse {
            embeddings: vec![vector(&[0.5, -1.0]), vector(&[0.25; 7])],
            ..EmbedResponse::default()
        };
        let shown = table(&answer);
        let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
        assert_eq!(lines[1], "0      2        0.5000 -1.0000");
        assert!(lines[2].ends_with("0.2500 …"), "{shown}");
    }
}
