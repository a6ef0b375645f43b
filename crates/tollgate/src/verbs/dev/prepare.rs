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
/// What a key for a service adds to it: the variable that holds the key, and the addition with its name.
const SERVICES: [(&str, &str, &str); 2] = [
    ("OPENAI_API_KEY", "openai.yaml", include_str!("openai.yaml")),
    ("COHERE_API_KEY", "cohere.yaml", include_str!("cohere.yaml")),
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
    let has_key = |variable: &str| std::env::var_os(variable).is_some_and(|key| !key.is_empty());
    let (policy, text) = first_policy(has_key)?;
    home.write_policy(&text)?;
    let request = ApplyPolicyRequest {
        policy: Some(policy.clone()),
        message: "tollgate dev: the policy of a first start".to_owned(),
        ..ApplyPolicyRequest::default()
    };
    let mut client = control.policy();
    control.remote.call(client.apply_policy(request)).await?;
    Ok(policy)
}

/// The policy of a first start, and how it is written as a file to change: as it is here, unless a service that
/// there is a key for was added.
fn first_policy(has_key: impl Fn(&str) -> bool) -> Result<(Policy, String), Error> {
    let added = SERVICES.into_iter().filter(|(key, ..)| has_key(key));
    let mut sources = vec![("policy.yaml", POLICY)];
    sources.extend(added.map(|(_, name, text)| (name, text)));
    let merged = sources.len() > 1;
    let sources: Vec<Source<'_>> = sources
        .into_iter()
        .map(|(name, text)| Source {
            name,
            text: text.as_bytes(),
        })
        .collect();
    let policy = yaml::load(&sources)
        .map_err(|faults| Error::Faults(faults.iter().map(ToString::to_string).collect()))?;
    let text = if merged {
        yaml::to_yaml(&policy).map_err(|error| Error::Failed(error.to_string()))?
    } else {
        POLICY.to_owned()
    };
    Ok((policy, text))
}

async fn create_key(control: &Control, home: &Home) -> Result<Secret, Error> {
    let request = CreateKeyRequest {
        subject: SUBJECT.to_owned(),
        name: "demo".to_owned(),
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
        for keys in [&[][..], &["OPENAI_API_KEY"], &["COHERE_API_KEY"]] {
            let (policy, text) = first_policy(|key| keys.contains(&key)).unwrap();
            let has = |key: &str| keys.contains(&key);
            assert_eq!(policy.models.contains_key("gpt-4o"), has("OPENAI_API_KEY"));
            assert_eq!(
                policy.models.contains_key("command-a"),
                has("COHERE_API_KEY")
            );
            assert_eq!(tollgate_policy::warnings(&policy), []);
            assert_eq!(text == POLICY, keys.is_empty());
        }
        let (all, _) = first_policy(|_| true).unwrap();
        assert_eq!(all.providers.len(), 1 + SERVICES.len());
    }
}
