//! What is asked of a provider beside work: which models it has, how it counts.

use tollgate_policy::table::Deployment;
use tollgate_provider::chat::Request;

use super::{Ended, LONGEST_ANSWER, Transport, Upstream};

/// The most parts of a list of models that are asked for. Each holds a thousand where the provider lets it.
const MOST_PAGES: usize = 50;

impl Upstream {
    /// The models that the provider's key can reach; none where it lists none.
    ///
    /// # Errors
    /// It did not answer, or not with a list.
    pub(crate) async fn models(&self) -> Result<Option<Vec<String>>, Ended> {
        let Transport::Http(http) = &self.transport else {
            return Ok(None);
        };
        let mut names = Vec::new();
        let mut page = None;
        for _ in 0..MOST_PAGES {
            let Some(request) = http.codec.list_models(page.as_deref()) else {
                return Ok(None);
            };
            let response = self.exchange(http, request, &|_| {}).await?;
            let body = self.read_body(response.body, LONGEST_ANSWER).await?;
            let part = http.codec.decode_models(&body).map_err(Ended::no_answer)?;
            names.extend(part.names);
            page = part.next;
            if page.is_none() {
                return Ok(Some(names));
            }
        }
        Err(Ended::bad_response("the list of models has no end"))
    }

    /// How many tokens the provider counts in a request for a deployment; none where it does not count.
    ///
    /// # Errors
    /// It did not answer, or not with a count.
    pub(crate) async fn counted(
        &self,
        request: &Request,
        of: &Deployment,
    ) -> Result<Option<u64>, Ended> {
        let Transport::Http(http) = &self.transport else {
            return Ok(None);
        };
        let codec = http.codec(of)?;
        let question = codec.count_tokens(request, &self.target(http, of));
        let question = question.map_err(|error| Ended::inexpressible(&error))?;
        let Some(question) = question else {
            return Ok(None);
        };
        let response = self.exchange(http, question, &|_| {}).await?;
        let body = self.read_body(response.body, LONGEST_ANSWER).await?;
        let count = codec.decode_count(&body).map_err(Ended::no_answer)?;
        Ok(Some(count))
    }
}
