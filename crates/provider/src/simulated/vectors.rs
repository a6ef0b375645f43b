//! What a simulated provider answers to a request for embeddings.

use std::time::Duration;

use super::script::{fault_at, mix};
use super::{Action, Config};
use crate::chat::{Source, Usage, UsageSource};
use crate::embeddings::{Encoding, Input, Request, Response, Vector};
use crate::failure::{Class, Failure};
use crate::tokens::Counter;

/// How long the vectors are where the request does not say.
const DIMENSIONS: u32 = 256;
/// The most numbers of one answer.
const MOST_NUMBERS: usize = 8 << 20;

/// What comes of a request for embeddings.
#[derive(Debug, Clone, PartialEq)]
pub enum Embedded {
    /// The answer.
    Answer(Response),
    /// The attempt fails.
    Fail(Failure),
    /// Nothing happens any more.
    Hang,
}

/// What comes of a request that is sent to `model` at this provider, and how long after it. The same text gives the
/// same vector, of length 1 as most models have them; its numbers mean nothing. The usage is the estimate of `tokens`.
#[must_use]
pub fn embed(config: &Config, request: &Request, model: &str) -> (Duration, Embedded) {
    let outcome = match fault_at(config.fault, 0) {
        Some(Action::Fail(failure)) => Embedded::Fail(failure),
        Some(Action::Hang) => Embedded::Hang,
        Some(Action::Chunk(_)) | None => match answer(request, model) {
            Ok(response) => Embedded::Answer(response),
            Err(failure) => Embedded::Fail(failure),
        },
    };
    (config.first_token_latency, outcome)
}

fn answer(request: &Request, model: &str) -> Result<Response, Failure> {
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    let numbers = usize::try_from(dimensions).unwrap_or(usize::MAX);
    if numbers.saturating_mul(request.inputs.len()) > MOST_NUMBERS {
        let detail = "simulated: so many and so long vectors are too many numbers";
        return Err(Failure::new(Class::CallerError, detail));
    }
    let vectors = request.inputs.iter();
    let vectors = vectors.map(|input| vector(seed(model, input), dimensions, request.encoding));
    let input = Counter::Estimate.embeddings(request);
    Ok(Response {
        model: model.to_owned(),
        encoding: request.encoding,
        vectors: vectors.collect(),
        usage: Some(Usage::of(input, 0, UsageSource::Provider)),
        usage_report: None,
        warnings: Vec::new(),
    })
}

/// What a vector follows from: the model and the input (by 64-bit FNV-1a, see RFC 9923).
fn seed(model: &str, input: &Input) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    take(model.as_bytes());
    take(&[0]);
    match input {
        Input::Text(text) => take(text.as_bytes()),
        Input::Tokens(tokens) => tokens.iter().for_each(|it| take(&it.to_le_bytes())),
        Input::Image(image) => match &image.source {
            Source::Url(url) => take(url.as_bytes()),
            Source::Bytes { data, .. } => take(data),
            Source::Stored(file) => take(file.id.as_bytes()),
        },
    }
    digest
}

fn vector(seed: u64, dimensions: u32, encoding: Encoding) -> Vector {
    let bytes =
        (0..u64::from(dimensions)).map(|place| mix(seed.wrapping_add(place)).to_le_bytes()[0]);
    match encoding {
        Encoding::Float => {
            let numbers: Vec<_> = bytes.map(|byte| f32::from(byte) - 127.5).collect();
            let length = numbers.iter().map(|it| it * it).sum::<f32>().sqrt();
            Vector::Floats(numbers.into_iter().map(|it| it / length).collect())
        }
        Encoding::Int8 | Encoding::Uint8 => Vector::Bytes(bytes.collect()),
        Encoding::Binary => {
            let packed = usize::try_from(dimensions.div_ceil(8)).unwrap_or(usize::MAX);
            Vector::Bytes(bytes.take(packed).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Fault;

    fn asking(texts: &[&str]) -> Request {
        Request {
            inputs: texts
                .iter()
                .map(|it| Input::Text((*it).to_owned()))
                .collect(),
            ..Request::default()
        }
    }

    #[test]
    fn the_same_text_has_the_same_vector_of_length_one() {
        let config = Config::default();
        let (after, outcome) = embed(&config, &asking(&["a", "b", "a"]), "m");
        assert_eq!(after, config.first_token_latency);
        let Embedded::Answer(response) = outcome else {
            panic!("{outcome:?}");
        };
        let [Vector::Floats(a), b, again] = response.vectors.as_slice() else {
            panic!("{response:?}");
        };
        assert_eq!(a.len(), 256);
        assert_eq!(*again, Vector::Floats(a.clone()));
        assert_ne!(b, again);
        let length: f32 = a.iter().map(|it| it * it).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        assert_eq!(
            response.usage.unwrap().input_total,
            Counter::Estimate.embeddings(&asking(&["a", "b", "a"]))
        );
    }

    #[test]
    fn vectors_are_as_long_as_is_asked_for() {
        let mut request = asking(&["a"]);
        request.dimensions = Some(12);
        for (encoding, length) in [
            (Encoding::Int8, 12),
            (Encoding::Uint8, 12),
            (Encoding::Binary, 2),
        ] {
            request.encoding = encoding;
            let (_, outcome) = embed(&Config::default(), &request, "m");
            let Embedded::Answer(Response { vectors, .. }) = outcome else {
                panic!("{outcome:?}");
            };
            assert!(matches!(&vectors[..], [Vector::Bytes(bytes)] if bytes.len() == length));
        }
        request.dimensions = Some(u32::MAX);
        let (_, outcome) = embed(&Config::default(), &request, "m");
        assert!(matches!(outcome, Embedded::Fail(failure) if failure.class == Class::CallerError));
    }

    #[test]
    fn faults_are_those_of_a_completion_before_its_first_word() {
        let outcome = |fault| {
            let config = Config {
                fault,
                ..Config::default()
            };
            embed(&config, &asking(&["a"]), "m").1
        };
        assert_eq!(outcome(Fault::HangAfter(0)), Embedded::Hang);
        assert!(matches!(outcome(Fault::ResetAfter(1)), Embedded::Answer(_)));
        let failed = outcome(Fault::Status {
            code: 503,
            retry_after: None,
        });
        assert!(matches!(failed, Embedded::Fail(failure) if failure.class == Class::Overloaded));
    }
}
