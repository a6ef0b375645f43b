//! What a caller asks a provider for beside completions: vectors.

use tollgate_policy::table::Deployment;
use tollgate_provider::embeddings::{Request, Response};

use super::{Ended, Heard, Transport, Upstream, simulated};

/// Most bytes of an answer: a full batch of the longest vectors in base64, and twice that.
const LONGEST_VECTORS: usize = 64 * 1024 * 1024;

impl Upstream {
    /// Asks a deployment for vectors. The headers of whatever comes are shown to `heard`.
    pub(crate) async fn embed(
        &self,
        request: &Request,
        of: &Deployment,
        heard: Heard<'_>,
    ) -> Result<Response, Ended> {
        let Transport::Http(http) = &self.transport else {
            return simulated::embed(self.simulated()?, request, &of.model).await;
        };
        let target = self.target(http, of);
        let encoded = http.codec.encode_embeddings(request, &target);
        let mut encoded = encoded.map_err(|error| Ended::inexpressible(&error))?;
        let warnings = std::mem::take(&mut encoded.warnings);
        let response = self.exchange(http, encoded, heard).await?;
        let body = self.read_body(response.body, LONGEST_VECTORS).await?;
        let decoded = http
            .codec
            .decode_embeddings(&response.headers, &body, request);
        let response = decoded.map_err(Ended::no_answer)?;
        Ok(Response {
            warnings,
            ..response
        })
    }
}
