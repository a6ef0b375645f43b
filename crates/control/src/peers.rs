//! The other replicas of the control plane, as clients of their services: what one owns, another one asks it for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_proto::admin::v1::limit_service_client::LimitServiceClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::error::{Error, Result};
use crate::ownership::Replica;

/// How long another replica may take to be connected to, and to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Largest answer.
const MOST_BYTES: usize = 16 << 20;
/// Marks what a replica asks, so that no question goes round in circles while ownership moves.
const HOP: &str = "x-tollgate-forwarded";

/// Connections to them, made when they are first used.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    token: Option<MetadataValue<Ascii>>,
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

impl Peers {
    /// All replicas have the same token.
    pub(crate) fn new(token: Option<&str>) -> Self {
        // A token that no header can carry has let nobody in, and will not here either.
        let bearer = token.and_then(|token| format!("Bearer {token}").parse().ok());
        let sensitive = |mut value: MetadataValue<Ascii>| {
            value.set_sensitive(true);
            value
        };
        Self {
            token: bearer.map(sensitive),
            channels: Arc::default(),
        }
    }

    /// A client of that replica's limits.
    ///
    /// # Errors
    /// [`Error::Busy`] where it has not said how to reach it.
    pub(crate) fn limits(&self, replica: &Replica) -> Result<LimitServiceClient<Channel>> {
        let mut channels = self.channels.lock();
        let channel = match channels.get(&replica.url) {
            Some(channel) => channel.clone(),
            None => {
                let unusable = |_| Error::Busy("the owner of the limits cannot be reached");
                let endpoint = Endpoint::from_shared(replica.url.clone()).map_err(unusable)?;
                let endpoint = endpoint.connect_timeout(CONNECT_WITHIN).tcp_nodelay(true);
                let channel = endpoint.timeout(ANSWER_WITHIN).connect_lazy();
                channels.insert(replica.url.clone(), channel.clone());
                channel
            }
        };
        Ok(LimitServiceClient::new(channel).max_decoding_message_size(MOST_BYTES))
    }

    /// A request to another replica.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(HOP, MetadataValue::from_static("1"));
        if let Some(token) = &self.token {
            metadata.insert("authorization", token.clone());
        }
        request
    }
}

/// Whether another replica asks.
pub(crate) fn is_forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(HOP)
}
