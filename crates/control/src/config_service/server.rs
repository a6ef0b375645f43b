//! How the stream's messages go over the wire.
//!
//! The generated server would encode the whole policy once for each node. Here a message may also be bytes
//! that are encoded already, so that one encoding is shared by all nodes: that is the only difference.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use prost::Message;
use tollgate_proto::node::v1::config_service_server::SERVICE_NAME;
use tollgate_proto::node::v1::{StreamConfigRequest, StreamConfigResponse};
use tonic::Status;
use tonic::body::Body as ResponseBody;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic::codegen::{Body, BoxFuture, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic_prost::ProstDecoder;

use super::Service;

/// Largest message of a node.
const MOST_NODE_BYTES: usize = 4 << 20;

/// A message to a node.
#[derive(Debug)]
pub(crate) enum Frame {
    /// To be encoded.
    Message(Box<StreamConfigResponse>),
    /// A [`StreamConfigResponse`] that is encoded already.
    Encoded(Bytes),
}

#[derive(Clone, Copy, Debug)]
struct FrameCodec;

#[derive(Clone, Copy, Debug)]
struct FrameEncoder;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = StreamConfigRequest;
    type Encoder = FrameEncoder;
    type Decoder = ProstDecoder<StreamConfigRequest>;

    fn encoder(&mut self) -> Self::Encoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match frame {
            Frame::Message(message) => message
                .encode(buffer)
                .map_err(|error| Status::internal(error.to_string())),
            Frame::Encoded(bytes) => {
                buffer.put(bytes);
                Ok(())
            }
        }
    }
}

/// Serves the service's one call.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    service: Service,
}

impl Server {
    pub(crate) fn new(service: Service) -> Self {
        Self { service }
    }
}

impl NamedService for Server {
    const NAME: &'static str = SERVICE_NAME;
}

impl<B> tower::Service<http::Request<B>> for Server
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.service.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next();
            if method != Some("StreamConfig") {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let mut grpc =
                Grpc::new(FrameCodec).apply_max_message_size_config(Some(MOST_NODE_BYTES), None);
            Ok(grpc.streaming(service, request).await)
        })
    }
}

impl StreamingService<StreamConfigRequest> for Service {
    type Response = Frame;
    type ResponseStream = super::Answers;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(
        &mut self,
        request: tonic::Request<tonic::Streaming<StreamConfigRequest>>,
    ) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.stream_config(request).await })
    }
}

#[cfg(test)]
mod tests {
    use tollgate_proto::node::v1::config_service_server::ConfigServiceServer;
    use tonic::server::NamedService;

    use super::Server;

    #[test]
    fn it_stands_in_for_the_generated_server() {
        assert_eq!(
            Server::NAME,
            <ConfigServiceServer<()> as NamedService>::NAME
        );
    }
}
