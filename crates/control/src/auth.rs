//! Who may speak to the control plane: whoever holds the token, if there is one.
//!
//! Without a token only this machine may: [`check_listener`] refuses any other address before it listens.

use std::net::SocketAddr;

use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::{Error, Result};

/// Lets requests pass that carry the token. Only its hash is kept, and hashes are compared in constant time.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    hash: Option<blake3::Hash>,
}

impl Bearer {
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self {
            hash: token.map(|token| blake3::hash(token.as_bytes())),
        }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(wanted) = &self.hash else {
            return Ok(request);
        };
        let header = request.metadata().get("authorization");
        let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let missing = "the control plane wants a token: send `authorization: Bearer <token>`";
        let wrong = "the token is not the control plane's";
        match token {
            None => Err(Error::Unauthenticated(missing).into()),
            Some(token) if blake3::hash(token.as_bytes()) != *wanted => {
                Err(Error::Unauthenticated(wrong).into())
            }
            Some(_) => Ok(request),
        }
    }
}

/// Refuses to serve other machines without a token.
///
/// # Errors
/// [`Error::Config`] with what to do.
pub(crate) fn check_listener(address: SocketAddr, token: Option<&str>) -> Result<()> {
    match token {
        Some("") => Err(Error::Config(
            "the token is empty: give one of at least 16 characters".to_owned(),
        )),
        Some(token) if token.len() < 16 => Err(Error::Config(
            "the token is too short: give one of at least 16 characters".to_owned(),
        )),
        Some(_) => Ok(()),
        None if address.ip().is_loopback() => Ok(()),
        None => Err(Error::Config(format!(
            "refusing to listen on {address} without a token, since anybody who reaches it could change the \
             policy: set one (--token, TOLLGATE_TOKEN) or listen on 127.0.0.1"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "sixteen-or-more-characters";

    fn passes(token: Option<&str>, header: Option<&str>) -> bool {
        let mut request = Request::new(());
        if let Some(header) = header {
            request
                .metadata_mut()
                .insert("authorization", header.parse().unwrap());
        }
        Bearer::new(token).call(request).is_ok()
    }

    #[test]
    fn only_the_token_passes_where_there_is_one() {
        let right = format!("Bearer {TOKEN}");
        assert!(passes(Some(TOKEN), Some(&right)));
        for wrong in [
            None,
            Some("Bearer "),
            Some("Bearer other"),
            Some(TOKEN),
            Some("bearer x"),
        ] {
            assert!(!passes(Some(TOKEN), wrong), "{wrong:?}");
        }
        assert!(passes(None, None));
    }

    #[test]
    fn without_a_token_only_loopback_is_served() {
        for (address, token, served) in [
            ("127.0.0.1:8081", None, true),
            ("[::1]:8081", None, true),
            ("0.0.0.0:8081", None, false),
            ("10.0.0.1:8081", None, false),
            ("0.0.0.0:8081", Some(TOKEN), true),
            ("127.0.0.1:8081", Some("short"), false),
        ] {
            let checked = check_listener(address.parse().unwrap(), token);
            assert_eq!(checked.is_ok(), served, "{address} {token:?}");
        }
    }
}
