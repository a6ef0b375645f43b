//! Who is at the door: what the gate has to know of a request before anything of it but its head is read.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use tollgate_policy::table::Tier;

use super::LARGEST_REQUEST;
use crate::app::Node;
use crate::arriving::Claim;
use crate::deadline::Patience;
use crate::error::Error;
use crate::gate::{Entry, Pass, Rank, Visitor};
use crate::keys::{Caller, Hash, Known};
use crate::metrics;

/// By which callers say how urgent a request is (RFC 9218): `u=0` to `u=7`.
const PRIORITY: HeaderName = HeaderName::from_static("priority");
/// A body that is not waited for.
const SMALL: u64 = 16 * 1024;
/// How much of a request is read although it is refused, and for how long.
const MOST_HEARD_OUT: usize = 4 * LARGEST_REQUEST;
const LONGEST_HEARD_OUT: Duration = Duration::from_secs(2);
/// What a message of gRPC has before it.
const FRAME: u64 = 5;
/// From here on nobody waits for the answer; 7 is what the RFC calls background.
const LEAST_URGENT: u8 = 6;

/// A request that has come in.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// Its place, if it is counted.
    pub(super) pass: Option<Pass>,
    /// The memory for its body, if that is large.
    pub(super) claim: Option<Arc<Claim>>,
}

/// Lets a request in: one whose key is good, if there is a place for it and memory for its body.
///
/// # Errors
/// There is no place for it, or no memory; or there is no such key.
pub(super) async fn enter(
    node: &Node,
    headers: &HeaderMap,
    size: &SizeHint,
    patience: Option<&Patience>,
) -> Result<Admitted, Error> {
    if size.lower() > LARGEST_REQUEST as u64 + FRAME {
        let limit = LARGEST_REQUEST;
        return Err(Error::TooLarge { limit });
    }
    let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let key = match node.keys.recognise(authorization) {
        Caller::Known(key) => Ok(key),
        // On the heap, as it is rare and would make the future of every request larger.
        Caller::Unmet(hash) => Box::pin(introduce(node, hash, patience)).await,
        Caller::Refused(error) => Err(error),
    };
    let key = key.inspect_err(|_| node.gate.turned_away())?;
    let pass = Some(place(node, &key, headers).await?);
    let claim = node.bodies.claim(size)?;
    Ok(Admitted { pass, claim })
}

/// Waits for the control plane's word on a key that this node has not met, as long as the caller does. It has no place
/// meanwhile, and its body is not read: made-up keys are in nobody's way.
///
/// # Errors
/// There is no such key, nobody says, or too many wait.
async fn introduce(
    node: &Node,
    hash: Hash,
    patience: Option<&Patience>,
) -> Result<Arc<Known>, Error> {
    let Some(_stranger) = node.gate.stranger() else {
        metrics::shed("stranger");
        return Err(Error::Overloaded);
    };
    let known = node.keys.resolve(hash);
    match patience {
        Some(patience) => patience.bound(known).await,
        None => known.await,
    }
}

/// Reads the body of a large request that is refused, to nowhere. Over HTTP/1.1 a caller looks for the answer once it has
/// sent everything, and would find its connection reset instead.
pub(super) async fn hear_out(body: Incoming) {
    // A small one has come along with its head.
    if body.size_hint().upper().is_some_and(|most| most <= SMALL) {
        return;
    }
    let mut body = Limited::new(body, MOST_HEARD_OUT);
    let read = async move { while let Some(Ok(_)) = body.frame().await {} };
    // One that takes longer, or sends more, is not heard out.
    let _ = timeout(LONGEST_HEARD_OUT, Box::pin(read)).await;
}

/// Finds a place for a request.
///
/// # Errors
/// There is none.
async fn place(node: &Node, key: &Known, headers: &HeaderMap) -> Result<Pass, Error> {
    let visitor = Visitor {
        tenant: key.tenant,
        weight: tier(node, key).map_or(1, |tier| tier.weight),
    };
    let refused = match node.gate.enter(visitor, || rank(node, key, headers)) {
        Entry::Admitted(pass) => return Ok(pass),
        Entry::Refused(rank) => rank,
        // On the heap, as above.
        Entry::Waits(turn, rank) => match Box::pin(turn.come()).await {
            Some(pass) => return Ok(pass),
            None => rank,
        },
    };
    metrics::shed(refused.as_str());
    Err(Error::Overloaded)
}

fn rank(node: &Node, key: &Known, headers: &HeaderMap) -> Rank {
    if key.is_over_quota() {
        return Rank::OverQuota;
    }
    let is_batch = tier(node, key).is_some_and(|tier| tier.is_batch);
    if is_batch || urgency(headers).is_some_and(|urgency| urgency >= LEAST_URGENT) {
        return Rank::Batch;
    }
    Rank::Interactive
}

fn tier(node: &Node, key: &Known) -> Option<Tier> {
    let name = key.tier.as_deref()?;
    node.revision()?.table.tier(name)
}

/// The urgency in a `priority` header. One that cannot be read says nothing, as the RFC has it.
fn urgency(headers: &HeaderMap) -> Option<u8> {
    let value = headers.get(PRIORITY)?.to_str().ok()?;
    let parameters = value.split(',').map(str::trim);
    let said = parameters
        .filter_map(|it| it.strip_prefix("u="))
        .next_back();
    said?.parse().ok().filter(|urgency| *urgency <= 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgency_is_read_as_the_rfc_has_it() {
        for (value, expected) in [
            ("u=7", Some(7)),
            ("u=0, i", Some(0)),
            ("i,u=6", Some(6)),
            ("u=1, u=6", Some(6)),
            ("u=8", None),
            ("u=-1", None),
            ("u=", None),
            ("batch", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(PRIORITY, HeaderValue::from_static(value));
            assert_eq!(urgency(&headers), expected, "{value}");
        }
        assert_eq!(urgency(&HeaderMap::new()), None);
    }
}
