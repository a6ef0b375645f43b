//! Where Azure is addressed differently.

use http::header::HeaderName;

use crate::codec::Outgoing;
use crate::{Error, path};

const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// What every Entra access token starts with: it is a JSON web token.
const ACCESS_TOKEN: &str = "eyJ";

/// The path of chat completions: without a version that of the v1 interface; `preview` asks the same
/// interface for what is not stable yet; a date is a version of the classic one, in which the path
/// names the deployment.
pub(super) fn path(deployment: &str, api_version: Option<&str>) -> String {
    match api_version {
        None => "/openai/v1/chat/completions".to_owned(),
        Some("preview") => "/openai/v1/chat/completions?api-version=preview".to_owned(),
        Some(version) => format!(
            "/openai/deployments/{}/chat/completions?api-version={}",
            path::encode(deployment, ""),
            path::encode(version, "")
        ),
    }
}

/// A key of the resource goes into a header of its own, an Entra token into the usual one.
pub(crate) fn authorize(request: &mut Outgoing<'_>, credential: &str) -> Result<(), Error> {
    if credential.starts_with(ACCESS_TOKEN) {
        request.bearer(credential)
    } else {
        request.secret(API_KEY, credential)
    }
}

#[cfg(test)]
mod tests;
