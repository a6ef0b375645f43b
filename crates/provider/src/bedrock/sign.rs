//! Signature Version 4, by which AWS knows who sends a request, and that it is sent as it was meant.
//!
//! See "Create a signed AWS API request" in AWS's guide to its identity management.

use std::fmt::Write as _;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use ring::{digest, hmac};

use crate::codec::Outgoing;
use crate::{Error, path, time};

/// The service's name in signatures.
const SERVICE: &str = "bedrock";
/// The header that dates a request.
const DATE: &str = "x-amz-date";
/// The header that holds the token of temporary keys.
const TOKEN: &str = "x-amz-security-token";
/// Both forms of a credential, for those who wrote neither.
const FORMS: &str = "ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN], or one of Bedrock's API keys";

/// Writes the credential: an access key signs the request, a key of Bedrock's own is a bearer token.
pub(crate) fn authorize(
    request: &mut Outgoing<'_>,
    credential: &str,
    region: &str,
    now: SystemTime,
) -> Result<(), Error> {
    if !credential.contains(':') {
        return request.bearer(credential);
    }
    let key = AccessKey::parse(credential)?;
    let scope = Scope::new(region, SERVICE, now);
    sign(request, &key, &scope)
}

/// An access key.
#[derive(Clone, Copy)]
struct AccessKey<'a> {
    id: &'a str,
    secret: &'a str,
    /// Belongs to a temporary key.
    token: Option<&'a str>,
}

impl<'a> AccessKey<'a> {
    fn parse(credential: &'a str) -> Result<Self, Error> {
        let mut parts = credential.split(':');
        let (id, secret, token) = (parts.next(), parts.next(), parts.next());
        match (id, secret, token, parts.next()) {
            (Some(id), Some(secret), token, None)
                if !id.is_empty() && !secret.is_empty() && token != Some("") =>
            {
                Ok(Self { id, secret, token })
            }
            _ => Err(Error::CredentialForm { forms: FORMS }),
        }
    }
}

/// What a signature is good for.
struct Scope<'a> {
    region: &'a str,
    service: &'a str,
    /// Such as `20150830T123600Z`.
    time: String,
}

impl<'a> Scope<'a> {
    fn new(region: &'a str, service: &'a str, now: SystemTime) -> Self {
        let (year, month, day, second) = time::calendar(now);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let time = format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
        Self {
            region,
            service,
            time,
        }
    }

    fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    fn text(&self) -> String {
        let (date, region, service) = (self.date(), self.region, self.service);
        format!("{date}/{region}/{service}/aws4_request")
    }

    /// The key that signs within this scope alone.
    fn key(&self, secret: &str) -> hmac::Tag {
        let first = format!("AWS4{secret}");
        let steps = [self.region, self.service, "aws4_request"];
        let date = hash(first.as_bytes(), self.date());
        steps
            .into_iter()
            .fold(date, |key, step| hash(key.as_ref(), step))
    }
}

fn sign(request: &mut Outgoing<'_>, key: &AccessKey<'_>, scope: &Scope<'_>) -> Result<(), Error> {
    let date = HeaderValue::try_from(&scope.time).map_err(|_| Error::Credential)?;
    request.headers.insert(HeaderName::from_static(DATE), date);
    if let Some(token) = key.token {
        request.secret(HeaderName::from_static(TOKEN), token)?;
    }
    let (signed, canonical) = canonical(request);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{}\n{}",
        scope.time,
        scope.text(),
        hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    );
    let signature = hash(scope.key(key.secret).as_ref(), &to_sign);
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={}",
        key.id,
        scope.text(),
        hex(signature.as_ref())
    );
    request.secret(AUTHORIZATION, &value)
}

/// The names of the headers that are signed, and the request in the one form that both sides hash.
/// Other headers may be added on the way.
fn canonical(request: &Outgoing<'_>) -> (String, String) {
    let mut headers = vec![("host", request.host.trim())];
    for name in [CONTENT_TYPE.as_str(), DATE, TOKEN] {
        let value = request.headers.get(name).and_then(|it| it.to_str().ok());
        headers.extend(value.map(|value| (name, value.trim())));
    }
    headers.sort_unstable();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let signed = names.join(";");
    let mut text = format!("{}\n", request.method);
    // The path is encoded once more than it is sent.
    text.push_str(&path::encode(request.path, "/"));
    text.push('\n');
    text.push_str(&query(request.query));
    text.push('\n');
    for (name, value) in headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    let body = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    text.push_str(&format!("\n{signed}\n{body}"));
    (signed, text)
}

/// The query's fields by name and value, each with its equals sign.
fn query(query: &str) -> String {
    let mut fields: Vec<_> = query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .collect();
    fields.sort_unstable();
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    fields.join("&")
}

fn hash(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests;
