//! Requests for embeddings.

use tollgate_proto::completion::v1 as wire;
use tollgate_provider::chat::Source;
use tollgate_provider::embeddings::{Encoding, Input, InputType, MOST_INPUTS, Request, Truncation};

use super::{Faults, check_labels, message, options};
use crate::error::Error;

/// Decodes a request for embeddings.
///
/// # Errors
/// [`Error::Invalid`] with every field at fault.
pub(crate) fn embeddings(wire: wire::EmbedRequest) -> Result<Request, Error> {
    let mut faults = Faults::default();
    faults.unless(!wire.model.is_empty(), "model", "must name a model");
    check_labels(&wire.metadata, &mut faults);
    let request = Request {
        input_type: input_type(&wire, &mut faults),
        encoding: encoding(&wire, &mut faults),
        truncation: truncation(&wire, &mut faults),
        model: wire.model,
        inputs: inputs(wire.inputs, &mut faults),
        dimensions: wire.dimensions,
        metadata: wire.metadata.into_iter().collect(),
        provider_options: options(wire.provider_options, &mut faults),
        user: (!wire.end_user.is_empty()).then_some(wire.end_user),
    };
    // Faulty inputs are left out, which is no fault of the others.
    if faults.0.is_empty() {
        for (field, problem) in request.out_of_range() {
            faults.add(field, problem);
        }
    }
    faults.none(request)
}

fn inputs(wire: Vec<wire::EmbedInput>, faults: &mut Faults) -> Vec<Input> {
    if wire.len() > MOST_INPUTS {
        faults.add("inputs", "must hold 1 to 2048 inputs");
        return Vec::new();
    }
    let decode = |(index, input): (usize, wire::EmbedInput)| {
        let path = format!("inputs[{index}]");
        match input.input {
            Some(wire::embed_input::Input::Text(text)) => Some(Input::Text(text)),
            Some(wire::embed_input::Input::Tokens(list)) => Some(Input::Tokens(list.tokens)),
            Some(wire::embed_input::Input::Image(image)) => {
                let image = message::image(image, &path, faults)?;
                if matches!(image.source, Source::Stored(_)) {
                    let problem = "must be data or a url: no provider embeds files that it keeps";
                    faults.add(format!("{path}.image.file_id"), problem);
                    return None;
                }
                Some(Input::Image(image))
            }
            None => {
                faults.add(path, "must be a text, tokens or an image");
                None
            }
        }
    };
    wire.into_iter().enumerate().filter_map(decode).collect()
}

fn input_type(wire: &wire::EmbedRequest, faults: &mut Faults) -> Option<InputType> {
    use wire::InputType as Wire;
    match Wire::try_from(wire.input_type) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Query) => Some(InputType::Query),
        Ok(Wire::Document) => Some(InputType::Document),
        Ok(Wire::Classification) => Some(InputType::Classification),
        Ok(Wire::Clustering) => Some(InputType::Clustering),
        Ok(Wire::Similarity) => Some(InputType::Similarity),
        Ok(Wire::QuestionAnswering) => Some(InputType::QuestionAnswering),
        Ok(Wire::FactVerification) => Some(InputType::FactVerification),
        Ok(Wire::CodeQuery) => Some(InputType::CodeQuery),
        Err(_) => {
            faults.add("input_type", "must be a known type");
            None
        }
    }
}

fn encoding(wire: &wire::EmbedRequest, faults: &mut Faults) -> Encoding {
    use wire::VectorEncoding as Wire;
    match Wire::try_from(wire.encoding) {
        Ok(Wire::Unspecified | Wire::Float) => Encoding::Float,
        Ok(Wire::Int8) => Encoding::Int8,
        Ok(Wire::Uint8) => Encoding::Uint8,
        Ok(Wire::Binary) => Encoding::Binary,
        Err(_) => {
            faults.add("encoding", "must be a known encoding");
            Encoding::Float
        }
    }
}

fn truncation(wire: &wire::EmbedRequest, faults: &mut Faults) -> Option<Truncation> {
    use wire::Truncation as Wire;
    match Wire::try_from(wire.truncation) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Refuse) => Some(Truncation::Refuse),
        Ok(Wire::Start) => Some(Truncation::Start),
        Ok(Wire::End) => Some(Truncation::End),
        Err(_) => {
            faults.add("truncation", "must be refuse, start or end");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> wire::EmbedInput {
        wire::EmbedInput {
            input: Some(wire::embed_input::Input::Text(text.to_owned())),
        }
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let image = wire::embed_input::Input::Image(wire::Image::default());
        let request = wire::EmbedRequest {
            inputs: vec![
                text("a"),
                wire::EmbedInput { input: None },
                wire::EmbedInput { input: Some(image) },
            ],
            input_type: 99,
            encoding: 99,
            truncation: 99,
            metadata: [(String::new(), String::new())].into(),
            ..wire::EmbedRequest::default()
        };
        let Err(Error::Invalid(faults)) = embeddings(request) else {
            panic!("it has faults");
        };
        let fields: Vec<_> = faults.iter().map(|it| it.field.as_str()).collect();
        let named = [
            "model",
            "metadata[]",
            "input_type",
            "encoding",
            "truncation",
            "inputs[1]",
            "inputs[2].image",
        ];
        assert_eq!(fields, named);
    }

    #[test]
    fn what_no_provider_takes_is_refused() {
        for (inputs, field) in [
            (Vec::new(), "inputs"),
            (vec![text("a"); MOST_INPUTS + 1], "inputs"),
            (vec![text("a"), text("")], "inputs[1]"),
        ] {
            let request = wire::EmbedRequest {
                model: "m".to_owned(),
                inputs,
                ..wire::EmbedRequest::default()
            };
            let Err(Error::Invalid(faults)) = embeddings(request) else {
                panic!("it has a fault");
            };
            assert_eq!(faults[0].field, field);
        }
    }
}
