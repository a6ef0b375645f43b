//! How many tokens a conversation has, for callers who want to know before they ask.
//!
//! A count takes nothing from any limit: it brings no answer and costs nothing at a provider. What bounds it is that the
//! key must be good, the gate, and that a provider is asked once, for a few seconds; where it does not answer, the
//! gateway counts. What comes of it says nothing of a deployment's health, as providers limit counts apart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;
use tollgate_policy::table::Deployment;
use tollgate_provider::chat::{Request, UsageSource};

use crate::app::Node;
use crate::asked::Asked;
use crate::complete::Call;
use crate::dispatch::Case;
use crate::error::Error;
use crate::metrics;
use crate::prepared::Prepared;
use crate::revision::Revision;
use crate::upstream::Ended;

/// How long a provider has to count.
const LONGEST: Duration = Duration::from_secs(5);

/// A count.
#[derive(Debug)]
pub(crate) struct Count {
    /// The model's name in the policy.
    pub(crate) model: Arc<str>,
    /// The tokens.
    pub(crate) tokens: u64,
    /// Who counted.
    pub(crate) source: UsageSource,
    /// Whose provider counted, where one did.
    pub(crate) deployment: Option<Arc<Deployment>>,
}

/// What is to be counted.
#[derive(Debug)]
pub(crate) struct Counting {
    /// The conversation.
    pub(crate) request: Request,
    /// Whether no provider is to be asked.
    pub(crate) local: bool,
}

/// Counts a conversation. `decode` is only called for a caller whose key is good.
///
/// # Errors
/// The key is not good, or the conversation is one that could not be answered either.
pub(crate) async fn count_tokens(
    node: &Node,
    call: Call<'_>,
    decode: impl FnOnce() -> Result<Counting, Error>,
) -> Result<Count, Error> {
    let revision = node.in_force()?;
    let known = node.keys.authenticate(call.authorization);
    let key = call.patience.bound(known).await?;
    key.admit()?;
    let Counting { request, local } = decode()?;
    let asked = Asked::Completion {
        request: Box::new(request),
        stream: false,
    };
    let prepared = Prepared::new(revision, key, asked)?;
    let (tokens, source) = prepared.counted.told();
    let mut count = Count {
        model: Arc::clone(&prepared.model.name),
        tokens,
        source,
        deployment: None,
    };
    if let (Asked::Completion { request, .. }, false) = (&prepared.asked, local) {
        let longest = LONGEST.min(prepared.model.deadline);
        let until = call.patience.within(longest);
        let plan = prepared.key.plan(&prepared.revision, &prepared.model)?;
        let case = Case::new(&node.limiter, &prepared, &plan)?;
        let target = case.next(&mut case.attempts());
        let told = timeout_at(until, ask(&prepared.revision, target, request)).await;
        if let Some((tokens, deployment)) = told.unwrap_or(Ok(None))? {
            count.tokens = tokens;
            count.source = UsageSource::Provider;
            count.deployment = Some(deployment);
        }
    }
    metrics::counted(&count.model, count.source);
    Ok(count)
}

/// Asks the provider that the conversation would most likely go to; nothing where it does not count, or fails to.
async fn ask(
    revision: &Revision,
    target: Option<usize>,
    request: &Request,
) -> Result<Option<(u64, Arc<Deployment>)>, Error> {
    let found = target.and_then(|target| revision.deployment(target));
    let Some((deployment, upstream)) = found else {
        return Ok(None);
    };
    match upstream.counted(request, deployment).await {
        Ok(tokens) => Ok(tokens.map(|tokens| (tokens, Arc::clone(deployment)))),
        // The request itself is at fault: it could not be sent to be answered either.
        Err(Ended {
            field: Some(field),
            failure,
            ..
        }) => Err(Error::field(field, &*failure.detail)),
        Err(ended) => {
            tracing::debug!(
                deployment = &*deployment.name,
                failure = %ended.failure,
                "a provider did not count, so the gateway does"
            );
            Ok(None)
        }
    }
}
