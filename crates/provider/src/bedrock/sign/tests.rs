use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method};

use super::{AccessKey, Scope, sign};
use crate::Error;
use crate::codec::{Codec, Kind, Outgoing};
use crate::time;

const KEY: &str = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn now() -> SystemTime {
    time::parse("2015-08-30T12:36:00Z").unwrap()
}

/// The signature of a request, which is the end of its header.
fn signature(headers: &HeaderMap) -> String {
    let text = headers["authorization"].to_str().unwrap();
    text.rsplit('=').next().unwrap().to_owned()
}

/// Requests of the test suite that AWS publishes for this version of signatures.
#[test]
fn the_published_requests_have_their_signatures() {
    for (method, query, content_type, body, expect) in [
        (
            Method::GET,
            "",
            None,
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            Method::POST,
            "",
            None,
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            Method::GET,
            "Param2=value2&Param1=value1",
            None,
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            Method::POST,
            "",
            Some("application/x-www-form-urlencoded"),
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.extend(content_type.map(|it| {
            let name = http::header::CONTENT_TYPE;
            (name, HeaderValue::from_static(it))
        }));
        let mut request = Outgoing {
            method: &method,
            host: "example.amazonaws.com",
            path: "/",
            query,
            headers: &mut headers,
            body: body.as_bytes(),
        };
        let key = AccessKey::parse(KEY).unwrap();
        let scope = Scope::new("us-east-1", "service", now());
        sign(&mut request, &key, &scope).unwrap();
        assert_eq!(signature(&headers), expect, "{method} {query} {body}");
    }
}

fn authorized(
    host: &str,
    path: &str,
    body: &str,
    region: &str,
    credential: &str,
) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert("content-type", json);
    let mut request = Outgoing {
        method: &Method::POST,
        host,
        path,
        query: "",
        headers: &mut headers,
        body: body.as_bytes(),
    };
    let codec = Codec::new(Kind::Bedrock).in_region(region);
    codec.authorize(&mut request, credential, now())?;
    Ok(headers)
}

/// Signatures that botocore makes for the same requests.
#[test]
fn requests_to_the_service_are_signed_as_its_own_sdk_signs_them() {
    let host = "bedrock-runtime.eu-central-1.amazonaws.com";
    let path = "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse";
    let body = r#"{"messages":[]}"#;
    let headers = authorized(host, path, body, "eu-central-1", KEY).unwrap();
    assert_eq!(headers["x-amz-date"], "20150830T123600Z");
    assert_eq!(
        headers["authorization"],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=69d8a7a442259a839ee9b9ec21baddc1306a325b8f484238f5aeceefd883629d"
    );
    let temporary = format!("{KEY}:TOKEN/+=");
    let path = format!("{path}-stream");
    let headers = authorized(host, &path, body, "eu-central-1", &temporary).unwrap();
    assert_eq!(headers["x-amz-security-token"], "TOKEN/+=");
    assert_eq!(
        signature(&headers),
        "cc06a3d9510b45700be16d760fc00d729892a1c315c7e7e7e3851a577f389e86"
    );
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx";
    let path = format!("/prefix/model/{arn}/converse");
    let headers = authorized("127.0.0.1:8080", &path, "{}", "us-east-1", KEY).unwrap();
    assert_eq!(
        signature(&headers),
        "6c44cb311847d780c5652c0a9be99a0736407f75b4e362960ed45fe0f8254fe4"
    );
}

#[test]
fn a_key_of_the_services_own_is_a_bearer_token() {
    let headers = authorized("h", "/", "", "us-east-1", "bedrock-api-key-QUJD/+==").unwrap();
    assert_eq!(headers["authorization"], "Bearer bedrock-api-key-QUJD/+==");
    assert!(!headers.contains_key("x-amz-date"));
}

#[test]
fn credentials_do_not_show() {
    let temporary = format!("{KEY}:TOKEN");
    let headers = authorized("h", "/", "", "us-east-1", &temporary).unwrap();
    let shown = format!("{headers:?}");
    assert!(
        !shown.contains("TOKEN") && !shown.contains("Signature"),
        "{shown}"
    );
    for wrong in [":s", "a:", "a:s:", "a:s:t:x", ":"] {
        let error = authorized("h", "/", "", "us-east-1", wrong).unwrap_err();
        assert!(matches!(error, Error::CredentialForm { .. }), "{error}");
        assert!(!error.to_string().contains(wrong) || wrong == ":");
    }
}
