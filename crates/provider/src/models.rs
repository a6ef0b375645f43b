//! Asking a provider which models a key can reach.

use http::header::HeaderName;
use serde::Deserialize;

use crate::anthropic;
use crate::codec::{HttpRequest, Kind};
use crate::failure::Failure;
use crate::path;

/// A part of a list of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The models, by the names that deployments use.
    pub names: Vec<String>,
    /// What to ask for next; none at the end of the list.
    pub next: Option<String>,
}

/// The request for a part of the list: the first, or the one that an earlier part named. None where the kind has no
/// list at the address that completions go to: Azure names deployments, which it does not list; Bedrock and Cohere
/// list elsewhere.
#[must_use]
pub(crate) fn encode(kind: Kind, page: Option<&str>) -> Option<HttpRequest> {
    let after = |name: &str| {
        page.map(|page| format!("&{name}={}", path::encode(page, "")))
            .unwrap_or_default()
    };
    let path = match kind {
        Kind::OpenAi | Kind::OpenAiCompatible | Kind::Mistral => "/models".to_owned(),
        Kind::Anthropic => format!("/models?limit=1000{}", after("after_id")),
        Kind::Gemini => format!("/models?pageSize=1000{}", after("pageToken")),
        Kind::AzureOpenAi | Kind::Cohere | Kind::Bedrock => return None,
    };
    let mut request = HttpRequest::get(path);
    if kind == Kind::Anthropic {
        let name = HeaderName::from_static("anthropic-version");
        request.headers.insert(name, anthropic::VERSION);
    }
    Some(request)
}

/// Every kind's list, as the names of its fields do not meet.
#[derive(Deserialize)]
struct List {
    #[serde(alias = "models")]
    data: Vec<Entry>,
    #[serde(default)]
    has_more: bool,
    last_id: Option<String>,
    #[serde(rename = "nextPageToken")]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "name")]
    id: String,
}

/// Reads the body of a 200.
///
/// # Errors
/// It is no list of models.
pub(crate) fn decode(body: &[u8]) -> Result<Page, Failure> {
    let list: List = serde_json::from_slice(body)
        .map_err(|error| Failure::unreadable("the answer is no list of models", &error))?;
    // Gemini's names say where a model stands, which deployments leave out.
    let name = |entry: Entry| match entry.id.strip_prefix("models/") {
        Some(name) => name.to_owned(),
        None => entry.id,
    };
    Ok(Page {
        names: list.data.into_iter().map(name).collect(),
        next: list
            .next_page_token
            .or(list.last_id.filter(|_| list.has_more))
            .filter(|it| !it.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::Page;
    use crate::codec::{Codec, Kind};
    use crate::failure::Class;

    #[test]
    fn each_kind_is_asked_where_it_has_a_list() {
        for (kind, first, second) in [
            (Kind::OpenAi, "/models", "/models"),
            (
                Kind::Anthropic,
                "/models?limit=1000",
                "/models?limit=1000&after_id=a%26b",
            ),
            (
                Kind::Gemini,
                "/models?pageSize=1000",
                "/models?pageSize=1000&pageToken=a%26b",
            ),
        ] {
            let path = |page| Codec::new(kind).list_models(page).unwrap().path;
            assert_eq!(
                (path(None), path(Some("a&b"))),
                (first.into(), second.into())
            );
        }
        for kind in [Kind::AzureOpenAi, Kind::Cohere, Kind::Bedrock] {
            assert!(Codec::new(kind).list_models(None).is_none());
        }
        let claude = Codec::new(Kind::Anthropic).list_models(None).unwrap();
        assert_eq!(claude.headers["anthropic-version"], "2023-06-01");
    }

    #[test]
    fn every_list_is_read() {
        let read = |body: &str| Codec::new(Kind::OpenAi).decode_models(body.as_bytes());
        for (body, names, next) in [
            (
                r#"{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"}]}"#,
                vec!["a", "b"],
                None,
            ),
            (
                r#"{"data":[{"type":"model","id":"a","display_name":"A"}],"has_more":true,"first_id":"a","last_id":"a"}"#,
                vec!["a"],
                Some("a"),
            ),
            (
                r#"{"data":[{"id":"a"}],"has_more":false,"last_id":"a"}"#,
                vec!["a"],
                None,
            ),
            (
                r#"{"models":[{"name":"models/a","displayName":"A"}],"nextPageToken":"t"}"#,
                vec!["a"],
                Some("t"),
            ),
        ] {
            let expected = Page {
                names: names.into_iter().map(str::to_owned).collect(),
                next: next.map(str::to_owned),
            };
            assert_eq!(read(body), Ok(expected), "{body}");
        }
        for body in ["", "[]", "{}", r#"{"data":[{}]}"#, "<html>"] {
            assert_eq!(read(body).unwrap_err().class, Class::Server, "{body}");
        }
    }
}
