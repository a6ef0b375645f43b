//! Where Azure is addressed differently.

use http::header::HeaderName;

use crate::codec::Outgoing;
use crate::{Error, path};

const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// What every Entra access token starts with: it is a JSON web token.
const ACCESS_TOKEN: &str = "eyJ";

/// The path of an action such as `chat/completions`. A version that is a date is one of the classic interface, in
/// which the path names the deployment; any other, such as `preview`, and none are of the v1 interface.
pub(crate) fn path(action: &str, deployment: &str, api_version: Option<&str>) -> String {
    let Some(version) = api_version else {
        return format!("/openai/v1/{action}");
    };
    let is_date = version.starts_with(|c: char| c.is_ascii_digit());
    let version = path::encode(version, "");
    if is_date {
        let deployment = path::encode(deployment, "");
        format!("/openai/deployments/{deployment}/{action}?api-version={version}")
    } else {
        format!("/openai/v1/{action}?api-version={version}")
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
