//! `KeyService`: makes, lists and revokes keys.

use tollgate_policy::Subject;
use tollgate_proto::admin::v1::key_service_server::KeyService;
use tollgate_proto::admin::v1::{
    CreateKeyRequest, CreateKeyResponse, ListKeysRequest, ListKeysResponse, RevokeKeyRequest,
    RevokeKeyResponse,
};
use tonic::{Request, Response, Status};
use tracing::info;

use crate::error::Error;
use crate::keys::{Key, Keys};
use crate::page;
use crate::snapshot::{self, Current};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    keys: Keys,
    current: Current,
}

impl Service {
    pub(crate) fn new(keys: Keys, current: Current) -> Self {
        Self { keys, current }
    }
}

#[tonic::async_trait]
impl KeyService for Service {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let request = request.into_inner();
        snapshot::check_tier(&self.current, &request.tier)?;
        let created = self
            .keys
            .create(&request.subject, &request.name, &request.tier);
        let (key, secret) = created.await?;
        info!(
            key = key.id,
            subject = key.subject,
            tier = key.tier,
            "key created"
        );
        Ok(Response::new(CreateKeyResponse {
            key: Some(key.to_admin()),
            secret,
        }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let request = request.into_inner();
        let limit = page::size(request.page_size)?;
        let subject = match request.subject.as_str() {
            "" => None,
            text => Some(
                Subject::parse(text).map_err(|error| Error::field("subject", error.to_string()))?,
            ),
        };
        let listed = self
            .keys
            .list(subject.as_ref(), &request.page_token, limit)
            .await?;
        let (keys, next) = listed;
        Ok(Response::new(ListKeysResponse {
            keys: keys.iter().map(Key::to_admin).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let key = self.keys.revoke(&request.into_inner().id).await?;
        info!(key = key.id, subject = key.subject, "key revoked");
        Ok(Response::new(RevokeKeyResponse {
            key: Some(key.to_admin()),
        }))
    }
}
