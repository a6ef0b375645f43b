//! What the tests of every format share.

use crate::chat::{Assembler, Chunk, Json, Part, Response};
use crate::codec::{Codec, Kind};
use crate::failure::{Class, Failure};

/// A recorded stream.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) codec: Codec,
    pub(crate) body: Vec<u8>,
    /// How many of its bytes make up a whole answer; what follows is welcome, but not needed.
    pub(crate) whole_at: usize,
}

impl Sample {
    /// A stream of text that is whole at the end of its first `last`.
    pub(crate) fn text(codec: impl Into<Codec>, body: &str, last: &str) -> Self {
        let whole_at = body.find(last).expect("the end of the answer") + last.len();
        let body = body.as_bytes().to_vec();
        Self {
            codec: codec.into(),
            body,
            whole_at,
        }
    }
}

/// A kind stands for its codec over the usual interface.
impl From<Kind> for Codec {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

/// Decodes the slices and then the end of the body.
pub(crate) fn decode<'a>(
    codec: impl Into<Codec>,
    slices: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Chunk>, Result<(), Failure>) {
    let mut decoder = codec.into().stream_decoder(1);
    let mut out = Vec::new();
    for slice in slices {
        if let Err(failure) = decoder.push(slice, &mut out) {
            return (out, Err(failure));
        }
    }
    let end = decoder.finish(&mut out);
    (out, end)
}

/// The whole answer of a stream.
pub(crate) fn assembled(chunks: Vec<Chunk>) -> Response {
    let mut assembler = Assembler::new();
    chunks.into_iter().for_each(|chunk| assembler.push(chunk));
    assembler.finish().expect("a whole answer")
}

/// A report of usage, as a provider sends it.
pub(crate) fn reported(report: &str) -> Chunk {
    Chunk::UsageReport(Json::parse(report.to_owned()).expect("JSON"))
}

/// The parts of an answer with one choice.
pub(crate) fn parts(response: &Response) -> &[Part] {
    assert_eq!(response.choices.len(), 1);
    &response.choices[0].message.parts
}

/// Cuts a stream at every byte: an answer that lacks its end is never a success, what was told before the
/// cut is what the whole stream tells, and how the bytes come in slices does not matter.
pub(crate) fn check_cuts(sample: &Sample) {
    let (codec, body, whole_at) = (&sample.codec, &sample.body[..], sample.whole_at);
    let whole = decode(codec.clone(), [body]);
    assert_eq!(whole.1, Ok(()));
    for cut in 0..=body.len() {
        let (head, tail) = body.split_at(cut);
        assert_eq!(decode(codec.clone(), [head, tail]), whole, "cut at {cut}");
        let (chunks, end) = decode(codec.clone(), [head]);
        let finished = chunks.iter().any(|it| matches!(it, Chunk::Finish { .. }));
        if cut < whole_at {
            let failure = end.expect_err("a cut answer is no success");
            assert_eq!(failure.class, Class::Truncated, "cut at {cut}");
            let usage = |it: &Chunk| matches!(it, Chunk::Usage(_));
            assert!(!chunks.iter().any(usage), "cut at {cut}");
        } else {
            assert_eq!(end, Ok(()), "cut at {cut}");
            assert!(finished, "cut at {cut}");
        }
        assert_eq!(chunks, whole.0[..chunks.len()], "cut at {cut}");
    }
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(
            decode(codec.clone(), body.chunks(size)),
            whole,
            "slices of {size}"
        );
    }
}

/// Damages a stream: whatever comes of it comes of it in slices of any size, and a success has one end.
pub(crate) fn check_damaged(codec: impl Into<Codec>, body: &[u8], size: usize) {
    let codec = codec.into();
    let whole = decode(codec.clone(), [body]);
    assert_eq!(decode(codec, body.chunks(size)), whole);
    let (chunks, end) = whole;
    let ends = chunks
        .iter()
        .filter(|it| matches!(it, Chunk::Finish { .. }));
    let ends = ends.count();
    assert!(ends <= 1, "{chunks:?}");
    assert!(end.is_err() || ends == 1, "{chunks:?}");
}
