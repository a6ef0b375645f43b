//! Vectors over gRPC.

use tollgate_proto::completion::v1 as wire;
use tollgate_proto::completion::v1::embedding_service_server::EmbeddingService;
use tollgate_provider::embeddings::{self, Encoding, Vector};
use tonic::{Request, Response, Status};

use super::{Grpc, add_limits, encode, unlike_asked};
use crate::asked::Asked;
use crate::complete::{Answer, Whole};
use crate::decode;

#[tonic::async_trait]
impl EmbeddingService for Grpc {
    async fn embed(
        &self,
        request: Request<wire::EmbedRequest>,
    ) -> Result<Response<wire::EmbedResponse>, Status> {
        let decode = |message| {
            let request = decode::embeddings(message)?;
            Ok(Asked::Embeddings(Box::new(request)))
        };
        match self.answer(request, decode).await? {
            Answer::Embeddings(whole) => {
                let limits = whole.head.limits;
                let mut response = Response::new(message(*whole));
                add_limits(response.metadata_mut(), &limits);
                Ok(response)
            }
            Answer::Whole(_) | Answer::Stream(_) => Err(unlike_asked()),
        }
    }
}

fn message(whole: Whole<embeddings::Response>) -> wire::EmbedResponse {
    let Whole {
        head,
        response,
        summary,
    } = whole;
    let encoding = match response.encoding {
        Encoding::Float => wire::VectorEncoding::Float,
        Encoding::Int8 => wire::VectorEncoding::Int8,
        Encoding::Uint8 => wire::VectorEncoding::Uint8,
        Encoding::Binary => wire::VectorEncoding::Binary,
    };
    let warnings = response.warnings.into_iter();
    wire::EmbedResponse {
        id: head.id,
        model: head.model.to_string(),
        embeddings: response.vectors.into_iter().map(vector).collect(),
        encoding: encoding.into(),
        usage: Some(encode::usage(&summary.usage, summary.usage_report.as_ref())),
        cost: Some(encode::cost(&summary)),
        route: Some(encode::route(&summary)),
        warnings: warnings.map(encode::warning).collect(),
    }
}

fn vector(vector: Vector) -> wire::Embedding {
    use wire::embedding::Vector as Out;
    let vector = match vector {
        Vector::Floats(values) => Out::Floats(wire::FloatVector { values }),
        Vector::Bytes(bytes) => Out::Packed(bytes.into()),
    };
    wire::Embedding {
        vector: Some(vector),
    }
}
