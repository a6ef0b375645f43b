//! One request to a provider, with its key, and the head of the answer.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::HeaderValue;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use tollgate_proto::completion::v1::AttemptOutcome;
use tollgate_provider::{Class, Failure, HttpRequest, Outgoing};
use url::{Position, Url};

use super::key::{Fingerprint, Found};
use super::{Ended, Heard, Http, LONGEST_ERROR, Reached, Upstream};
use super::{authority, client, coding, http1};
use crate::clock;

impl Upstream {
    /// Sends a request, and returns once the provider has accepted it. Where the provider refuses a key that was another by
    /// then, it is sent once more with that one: who rotates a key may end the old one at once.
    pub(super) async fn exchange(
        &self,
        http: &Http,
        request: HttpRequest,
        heard: Heard<'_>,
    ) -> Result<client::Response, Ended> {
        let again = self.key.may_change().then(|| request.clone());
        let ended = match self.exchange_once(http, request, heard).await {
            Err(ended) => ended,
            accepted @ Ok(_) => return accepted,
        };
        match again {
            Some(again) if ended.key.is_some() && self.key.look_again() != ended.key => {
                Box::pin(self.exchange_once(http, again, heard)).await
            }
            Some(_) | None => Err(ended),
        }
    }

    async fn exchange_once(
        &self,
        http: &Http,
        request: HttpRequest,
        heard: Heard<'_>,
    ) -> Result<client::Response, Ended> {
        let key = self.key.current(clock::boot_time());
        let (url, request) = self.build(http, &key, request)?;
        let sent = http1::Request {
            method: &request.method,
            target: &url[Position::BeforePath..Position::AfterQuery],
            host: authority(&url),
            headers: &request.headers,
            body: &request.body,
        };
        let answer =
            tokio::time::timeout(self.provider.timeouts.first_byte, http.client.send(&sent));
        let response = match answer.await {
            Ok(response) => response?,
            Err(_) => return Err(Ended::timed_out("the provider sent no first byte in time")),
        };
        heard(&response.headers);
        if response.status.is_success() {
            return match coding(&response.headers) {
                None => Ok(response),
                Some(coding) => Err(Ended::bad_response(&format!(
                    "the provider sent its answer coded as {coding}, which it was asked not to"
                ))),
            };
        }
        let mut ended = self.refused(http, response).await;
        if ended.failure.class == Class::KeyDead {
            ended.key = Fingerprint::of(&key);
        }
        Err(ended)
    }

    fn build(
        &self,
        http: &Http,
        key: &Found,
        mut built: HttpRequest,
    ) -> Result<(Arc<Url>, HttpRequest), Ended> {
        if let Some(refused) = &http.refused {
            return Err(Ended::address(refused));
        }
        let credential = key.as_ref().map_err(|problem| Ended {
            outcome: AttemptOutcome::KeyRefused,
            ..Ended::of(
                Failure::new(Class::KeyDead, problem.clone()),
                Reached::Nobody,
            )
        })?;
        // Compressed answers could unfold without bound.
        let headers = &mut built.headers;
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        let url = http.url(&built.path).map_err(Ended::never)?;
        if let Some(credential) = credential {
            let mut outgoing = Outgoing {
                method: &built.method,
                host: authority(&url),
                path: url.path(),
                query: url.query().unwrap_or_default(),
                headers,
                body: &built.body,
            };
            let now = UNIX_EPOCH + clock::unix_time();
            http.codec
                .authorize(&mut outgoing, credential.reveal(), now)
                .map_err(|error| Ended::never(format!("{}: {error}", self.provider.name)))?;
        }
        Ok((url, built))
    }

    /// Reads as much of an error's body as says what is wrong.
    async fn refused(&self, http: &Http, mut response: client::Response) -> Ended {
        let mut body = Vec::new();
        let idle = self.provider.timeouts.idle;
        let coding = coding(&response.headers);
        while coding.is_none() && body.len() < LONGEST_ERROR {
            let more = response.body.read(|bytes| body.extend_from_slice(bytes));
            // What is there by now has to do: the status alone already says that it failed.
            match tokio::time::timeout(idle, more).await {
                Ok(Ok(true)) => {}
                _ => break,
            }
        }
        body.truncate(LONGEST_ERROR);
        let now = UNIX_EPOCH + clock::unix_time();
        let mut failure = http
            .codec
            .classify(response.status, &response.headers, &body, now);
        if let Some(coding) = coding {
            // The status has to do.
            failure.detail = format!("its words cannot be read: they are coded as {coding}");
        }
        Ended::of(failure, Reached::Refusal)
    }
}
