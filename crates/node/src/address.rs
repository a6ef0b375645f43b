//! Which addresses a provider may have.
//!
//! An operator's base URL, or a name server that answers differently the second time, must not turn the
//! gateway into a way to reach its own network. So the check is made on the address that is about to be
//! connected to, not on the name: at every resolution, and on literal addresses. Providers marked `internal`
//! in the policy are exempt.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tollgate_policy::address::is_internal;
use tower::Service;
use url::Url;

/// A provider's address is one that the policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{host}` has the internal address {address}, which only a provider with `internal: true` may have"
)]
pub(crate) struct Refused {
    /// Host of the provider's URL.
    pub(crate) host: String,
    /// The address.
    pub(crate) address: IpAddr,
}

/// Resolves names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolver {
    /// Whether only public addresses are let through.
    pub(crate) public_only: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let public_only = self.public_only;
        Box::pin(async move {
            let host = name.as_str();
            let mut found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            if public_only {
                found = public(host, &found)?;
            }
            Ok(found.into_iter())
        })
    }
}

/// Checks the host of a URL where it is a literal address; those never reach a resolver.
///
/// # Errors
/// The address is not public.
pub(crate) fn check_literal(url: &Url) -> Result<(), Refused> {
    let host = url.host_str().unwrap_or_default();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let Ok(address) = bare.parse::<IpAddr>() else {
        return Ok(());
    };
    if is_internal(address) {
        let host = host.to_owned();
        return Err(Refused { host, address });
    }
    Ok(())
}

fn public(host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Refused> {
    let allowed: Vec<_> = found
        .iter()
        .copied()
        .filter(|address| !is_internal(address.ip()))
        .collect();
    match found.first() {
        Some(address) if allowed.is_empty() => Err(Refused {
            host: host.to_owned(),
            address: address.ip(),
        }),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_hosts_are_checked_in_every_spelling() {
        for (url, allowed) in [
            ("http://127.0.0.1:1", false),
            ("http://2130706433/", false),
            ("http://0x7f.1/", false),
            ("http://[::1]:8080/v1", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("https://8.8.8.8/v1", true),
            ("https://api.example.com/v1", true),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(check_literal(&url).is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn a_name_with_public_and_private_addresses_leads_to_the_public_ones() {
        let private: SocketAddr = "10.0.0.1:0".parse().unwrap();
        let open: SocketAddr = "8.8.8.8:0".parse().unwrap();
        assert_eq!(public("a", &[private, open]), Ok(vec![open]));
        let refused = public("a", &[private]).unwrap_err();
        assert_eq!(refused.address, private.ip());
        assert_eq!(public("a", &[]), Ok(vec![]));
    }

    #[tokio::test]
    async fn a_name_for_the_machine_itself_does_not_resolve() {
        let name: Name = "localhost".parse().unwrap();
        let mut resolver = Resolver { public_only: true };
        let Err(error) = resolver.call(name).await else {
            panic!("localhost resolved");
        };
        let refused = error.downcast_ref::<Refused>().expect("a refusal");
        assert!(refused.address.is_loopback());
    }
}
