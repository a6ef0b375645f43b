//! `SubjectService`: says what holds for the keys of a subject.

use tollgate_proto::admin::v1::subject_service_server::SubjectService;
use tollgate_proto::admin::v1::{
    DeleteSubjectRequest, DeleteSubjectResponse, GetSubjectRequest, GetSubjectResponse,
    ListSubjectsRequest, ListSubjectsResponse, SetSubjectRequest, SetSubjectResponse, Subject,
};
use tonic::{Request, Response, Status};
use tracing::info;

use crate::page;
use crate::snapshot::{self, Current};
use crate::subjects::{self, Said, Subjects};

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    subjects: Subjects,
    current: Current,
}

impl Service {
    pub(crate) fn new(subjects: Subjects, current: Current) -> Self {
        Self { subjects, current }
    }
}

#[tonic::async_trait]
impl SubjectService for Service {
    async fn set_subject(
        &self,
        request: Request<SetSubjectRequest>,
    ) -> Result<Response<SetSubjectResponse>, Status> {
        let request = request.into_inner();
        snapshot::check_tier(&self.current, request.tier())?;
        let said = self.subjects.set(&request).await?;
        info!(
            subject = said.path,
            tier = said.tier,
            labels = ?said.labels,
            blocked = said.blocked,
            "subject set"
        );
        Ok(Response::new(SetSubjectResponse {
            subject: Some(said.to_admin()),
        }))
    }

    async fn get_subject(
        &self,
        request: Request<GetSubjectRequest>,
    ) -> Result<Response<GetSubjectResponse>, Status> {
        let subject = subjects::parse(&request.into_inner().path)?;
        let said = self.subjects.get(&subject).await?;
        let standing = self.subjects.standing(&subject).await?;
        let effective = Subject {
            path: subject.as_str().to_owned(),
            tier: standing.tier,
            labels: standing.labels.into_iter().collect(),
            blocked: !standing.blocked_by.is_empty(),
            updated_at: None,
        };
        Ok(Response::new(GetSubjectResponse {
            subject: said.as_ref().map(Said::to_admin),
            effective: Some(effective),
            blocked_by: standing.blocked_by,
        }))
    }

    async fn list_subjects(
        &self,
        request: Request<ListSubjectsRequest>,
    ) -> Result<Response<ListSubjectsResponse>, Status> {
        let request = request.into_inner();
        let limit = page::size(request.page_size)?;
        let above = match request.path.as_str() {
            "" => None,
            path => Some(subjects::parse(path)?),
        };
        let listed = self
            .subjects
            .list(above.as_ref(), &request.page_token, limit);
        let (listed, next) = listed.await?;
        Ok(Response::new(ListSubjectsResponse {
            subjects: listed.iter().map(Said::to_admin).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn delete_subject(
        &self,
        request: Request<DeleteSubjectRequest>,
    ) -> Result<Response<DeleteSubjectResponse>, Status> {
        let subject = subjects::parse(&request.into_inner().path)?;
        self.subjects.delete(&subject).await?;
        info!(subject = subject.as_str(), "subject deleted");
        Ok(Response::new(DeleteSubjectResponse {}))
    }
}
