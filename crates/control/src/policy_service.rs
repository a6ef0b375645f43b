//! `PolicyService`: applies and shows policies.

use std::sync::Arc;
use std::time::Duration;

use tollgate_policy::Fault;
use tollgate_proto::admin::v1::policy_service_server::PolicyService;
use tollgate_proto::admin::v1::{
    ApplyPolicyRequest, ApplyPolicyResponse, GetPolicyRequest, GetPolicyResponse,
    ListPolicyRevisionsRequest, ListPolicyRevisionsResponse,
};
use tollgate_proto::policy::v1::Policy;
use tonic::{Request, Response, Status};
use tracing::info;

use crate::error::{Error, FieldFault, Result};
use crate::metrics;
use crate::nodes::Nodes;
use crate::page;
use crate::revisions::{Head, Revision, Revisions};

/// Longest that a call waits for nodes.
const MOST_WAIT: Duration = Duration::from_secs(600);
/// Longest message of a revision.
const MOST_MESSAGE_CHARS: usize = 1000;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    revisions: Revisions,
    nodes: Arc<Nodes>,
}

impl Service {
    pub(crate) fn new(revisions: Revisions, nodes: Arc<Nodes>) -> Self {
        Self { revisions, nodes }
    }

    async fn apply(&self, request: ApplyPolicyRequest) -> Result<ApplyPolicyResponse> {
        let (policy, wait) = check(&request)?;
        let head = self.revisions.head().await?;
        if request.expected_revision != 0 && request.expected_revision != head.number() {
            return Err(Error::Superseded {
                expected: request.expected_revision,
                current: head.number(),
            });
        }
        let changes = tollgate_policy::diff(&self.current(&head).await?, policy);
        let (revision, applied) = match &head.revision {
            Some(current) if request.dry_run || changes.is_empty() => {
                (Some(current.clone()), false)
            }
            None if request.dry_run => (None, false),
            Some(_) | None => {
                let appended = self
                    .revisions
                    .append(&head, policy, &request.message)
                    .await?;
                info!(
                    revision = appended.number(),
                    changes = changes.len(),
                    "policy applied"
                );
                (Some(appended), true)
            }
        };
        let nodes = match (&revision, wait) {
            (Some(revision), Some(wait)) if !request.dry_run => {
                self.nodes.wait(revision.number(), wait).await
            }
            (Some(_) | None, _) => Vec::new(),
        };
        Ok(ApplyPolicyResponse {
            revision: revision.as_ref().map(Revision::to_admin),
            applied,
            changes,
            nodes,
        })
    }

    /// The policy that a change is made from; an empty one before the first.
    async fn current(&self, head: &Head) -> Result<Policy> {
        match &head.revision {
            Some(revision) => self.revisions.policy(revision).await,
            None => Ok(Policy::default()),
        }
    }
}

#[tonic::async_trait]
impl PolicyService for Service {
    async fn apply_policy(
        &self,
        request: Request<ApplyPolicyRequest>,
    ) -> Result<Response<ApplyPolicyResponse>, Status> {
        let applied = self.apply(request.into_inner()).await;
        metrics::policy_applied(match &applied {
            Ok(response) if response.applied => "applied",
            Ok(_) => "unchanged",
            Err(Error::Invalid(_)) => "invalid",
            Err(_) => "failed",
        });
        Ok(Response::new(applied?))
    }

    async fn get_policy(
        &self,
        request: Request<GetPolicyRequest>,
    ) -> Result<Response<GetPolicyResponse>, Status> {
        let revision = match request.into_inner().revision {
            0 => {
                let nothing = || Error::NotFound {
                    what: "policy: apply one first, there is no revision",
                    name: "yet".to_owned(),
                };
                self.revisions.head().await?.revision.ok_or_else(nothing)?
            }
            number => self.revisions.find(number).await?,
        };
        Ok(Response::new(GetPolicyResponse {
            policy: Some(self.revisions.policy(&revision).await?),
            revision: Some(revision.to_admin()),
        }))
    }

    async fn list_policy_revisions(
        &self,
        request: Request<ListPolicyRevisionsRequest>,
    ) -> Result<Response<ListPolicyRevisionsResponse>, Status> {
        let request = request.into_inner();
        let limit = page::size(request.page_size)? as u64;
        let before = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| {
                Error::field(
                    "page_token",
                    "is none that a list gave; leave it out to begin again",
                )
            })?,
        };
        let revisions = self.revisions.list(before, limit).await?;
        let last = revisions.last().map_or(0, Revision::number);
        Ok(Response::new(ListPolicyRevisionsResponse {
            next_page_token: if last > 1 {
                last.to_string()
            } else {
                String::new()
            },
            revisions: revisions.iter().map(Revision::to_admin).collect(),
        }))
    }
}

/// Checks the request whole and names every fault.
fn check(request: &ApplyPolicyRequest) -> Result<(&Policy, Option<Duration>)> {
    let mut faults = Vec::new();
    let mut fault = |path: &str, message: String| {
        let path = path.to_owned();
        faults.push(FieldFault { path, message });
    };
    if request.message.chars().count() > MOST_MESSAGE_CHARS {
        fault(
            "message",
            format!("is longer than {MOST_MESSAGE_CHARS} characters; shorten it"),
        );
    }
    let wait = request.wait.map(Duration::try_from);
    let wait = match wait.transpose() {
        Ok(wait) if wait.is_some_and(|wait| wait > MOST_WAIT) => {
            fault(
                "wait",
                format!("is longer than {MOST_WAIT:?}; wait less, and ask for the nodes then"),
            );
            None
        }
        Ok(wait) => wait,
        Err(error) => {
            fault("wait", format!("is not a length of time: {error}"));
            None
        }
    };
    match &request.policy {
        None => fault("policy", "is missing; send a whole policy".to_owned()),
        Some(policy) => {
            let found = tollgate_policy::validate(policy);
            faults.extend(found.iter().map(field_fault));
        }
    }
    match &request.policy {
        Some(policy) if faults.is_empty() => Ok((policy, wait)),
        Some(_) | None => Err(Error::Invalid(faults)),
    }
}

/// A fault of the policy as one of the request. Its path begins at the policy, as the operator's file does.
fn field_fault(fault: &Fault) -> FieldFault {
    FieldFault {
        path: fault.path.clone(),
        message: fault.description(),
    }
}
