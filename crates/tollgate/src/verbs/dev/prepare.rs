//! What makes a fresh `dev` useful: a policy and a key, made over the same API that operators use.

use tokio::sync::watch;
use tollgate_policy::yaml::{self, Source};
use tollgate_proto::admin::v1::{
    ApplyPolicyRequest, CreateKeyRequest, GetPolicyRequest, ListPolicyRevisionsRequest,
};
use tollgate_proto::policy::v1::Policy;

use crate::error::Error;
use crate::operator::Control;
use crate::secret::Secret;
use crate::verbs::dev::home::Home;

/// The policy of a first start.
const POLICY: &str = include_str!("policy.yaml");
/// What keys of services add to it: the variable that holds one, and what comes with it.
const SERVICES: [(&str, Source<'static>); 4] = [
    (
        "OPENAI_API_KEY",
        source("openai.yaml", include_str!("openai.yaml")),
    ),
    (
        "ANTHROPIC_API_KEY",
        source("anthropic.yaml", include_str!("anthropic.yaml")),
    ),
    (
        "GEMINI_API_KEY",
        source("gemini.yaml", include_str!("gemini.yaml")),
    ),
    (
        "COHERE_API_KEY",
        source("cohere.yaml", include_str!("cohere.yaml")),
    ),
];
/// To whom the demo key belongs.
const SUBJECT: &str = "demo/dev/me";

/// What callers can use.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The demo key.
    pub(super) key: Secret,
    /// Names of the models of the policy in force.
    pub(super) models: Vec<String>,
}

/// Waits for the control plane, applies the first policy, makes the demo key.
///
/// # Errors
/// Why the control plane did not take one of them.
pub(super) async fn prepare(
    control: &str,
    home: &Home,
    ready: watch::Receiver<bool>,
) -> Result<Prepared, Error> {
    super::wait_for(ready).await;
    let control = Control::at(control).await?;
    let policy = policy(&control, home).await?;
    let key = match home.read_key()? {
        Some(key) => key,
        None => create_key(&control, home).await?,
    };
    let mut models: Vec<String> = policy.models.into_keys().collect();
    models.sort();
    Ok(Prepared { key, models })
}

/// The policy in force. Where there is none, the first one is applied.
async fn policy(control: &Control, home: &Home) -> Result<Policy, Error> {
    let mut client = control.policy();
    let request = ListPolicyRevisionsRequest {
        page_size: 1,
        ..ListPolicyRevisionsRequest::default()
    };
    let list = client.list_policy_revisions(request);
    let list = control.remote.call(list).await?;
    if !list.revisions.is_empty() {
        let mut client = control.policy();
        let current = client.get_policy(GetPolicyRequest::default());
        return Ok(control
            .remote
            .call(current)
            .await?
            .policy
            .unwrap_or_default());
    }
    let has = |variable: &str| std::env::var_os(variable).is_some_and(|key| !key.is_empty());
    let services = services(has);
    let policy = first_policy(&services)?;
    home.write_policy(&text_of(&policy, !services.is_empty())?)?;
    let request = ApplyPolicyRequest {
        policy: Some(policy.clone()),
        message: "tollgate dev: the policy of a first start".to_owned(),
        ..ApplyPolicyRequest::default()
    };
    let mut client = control.policy();
    control.remote.call(client.apply_policy(request)).await?;
    Ok(policy)
}

/// What the keys that are there add to the policy.
fn services(has: impl Fn(&str) -> bool) -> Vec<Source<'static>> {
    let there = SERVICES.into_iter().filter(|(variable, _)| has(variable));
    there.map(|(_, source)| source).collect()
}

fn first_policy(services: &[Source<'_>]) -> Result<Policy, Error> {
    let mut sources = vec![source("policy.yaml", POLICY)];
    sources.extend(services);
    yaml::load(&sources)
        .map_err(|faults| Error::Faults(faults.iter().map(ToString::to_string).collect()))
}

const fn source<'a>(name: &'a str, text: &'a str) -> Source<'a> {
    Source {
        name,
        text: text.as_bytes(),
    }
}

/// The policy as a file to change: as it was written, unless it was put together from several.
fn text_of(policy: &Policy, merged: bool) -> Result<String, Error> {
    if !merged {
        return Ok(POLICY.to_owned());
    }
    yaml::to_yaml(policy).map_err(|error| Error::Failed(error.to_string()))
}

async fn create_key(control: &Control, home: &Home) -> Result<Secret, Error> {
    let request = CreateKeyRequest {
        subject: SUBJECT.to_owned(),
        name: "demo".to_owned(),
        ..CreateKeyRequest::default()
    };
    let mut client = control.keys();
    let created = control.remote.call(client.create_key(request)).await?;
    let key = Secret::from(created.secret);
    home.write_key(&key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_policies_have_no_fault_and_nothing_to_warn_of() {
        for (key, model) in [
            ("none", "demo"),
            ("OPENAI_API_KEY", "gpt-4o"),
            ("ANTHROPIC_API_KEY", "claude-haiku-4-5"),
            ("GEMINI_API_KEY", "gemini-flash"),
            ("COHERE_API_KEY", "command-a"),
        ] {
            let services = services(|variable| variable == key);
            let policy = first_policy(&services).unwrap();
            assert!(policy.models.contains_key(model), "{key}");
            assert_eq!(tollgate_policy::warnings(&policy), []);
            text_of(&policy, !services.is_empty()).unwrap();
        }
        let all = first_policy(&services(|_| true)).unwrap();
        assert_eq!(all.providers.len(), 1 + SERVICES.len());
    }
}
