//! What models can be asked for, as far as that is known.
//!
//! Nothing depends on it: it helps callers to choose. It follows from the kind of provider, where that has one of the two
//! only; from the model's name, since the makers name those for vectors so; and from the catalog, which knows the others.

use tollgate_policy::table::{Deployment, Kind, Model, Protocol, Table, Target};

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    /// Answers to conversations.
    Completions,
    /// Vectors.
    Embeddings,
}

impl Capability {
    /// Both.
    const ALL: [Self; 2] = [Self::Completions, Self::Embeddings];

    /// The name used over HTTP.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
        }
    }
}

/// What a model can be asked for, whichever of its deployments answers; nothing where that is not known of one.
pub(crate) fn capabilities(table: &Table, model: &Model) -> Vec<Capability> {
    let deployments = table.deployments();
    let of_target = |target: &Target| of_deployment(deployments.get(target.deployment)?);
    let Some(known) = model.targets().map(of_target).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    let mut all = Capability::ALL.to_vec();
    all.retain(|one| known.iter().all(|of_one| of_one.contains(one)));
    all
}

/// What a deployment can be asked for; none where it is not known.
fn of_deployment(deployment: &Deployment) -> Option<&'static [Capability]> {
    let embeds = match &deployment.provider.kind {
        Kind::Simulated(_) => return Some(&Capability::ALL),
        Kind::Http(endpoint) => endpoint.protocol != Protocol::Anthropic,
    };
    let price = deployment.price.as_ref();
    let in_catalog = price.is_some_and(|price| price.catalog.is_some());
    if embeds && deployment.base_model.contains("embed") {
        Some(&[Capability::Embeddings])
    } else if in_catalog || !embeds {
        Some(&[Capability::Completions])
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_can_do_what_all_its_deployments_can() {
        let text = b"
providers:
  openai: { kind: openai, credential: { env: K } }
  claude: { kind: anthropic, credential: { env: K } }
  local: { kind: openai_compatible, base_url: 'http://127.0.0.1:1', internal: true }
  fake: { kind: simulated }
deployments:
  small: { provider: openai, model: text-embedding-3-small }
  mine: { provider: openai, model: my-vectors, base_model: text-embedding-3-large }
  gpt: { provider: openai, model: gpt-4o }
  opus: { provider: claude, model: claude-of-next-year }
  llama: { provider: local, model: llama }
  fake: { provider: fake, model: fake }
pools:
  vectors: { targets: [ { deployment: small }, { deployment: mine } ] }
  answers: { targets: [ { deployment: gpt }, { deployment: opus } ] }
  unknown: { targets: [ { deployment: gpt }, { deployment: llama } ] }
  fake: { targets: [ { deployment: fake } ] }
models:
  vectors: { routes: [ { pools: [vectors] } ] }
  answers: { routes: [ { pools: [answers, fake] } ] }
  unknown: { routes: [ { pools: [unknown] } ] }
  fake: { routes: [ { pools: [fake] } ] }
  neither: { routes: [ { pools: [vectors, answers] } ] }
";
        let source = tollgate_policy::yaml::Source { name: "p", text };
        let policy = tollgate_policy::yaml::load(&[source]).unwrap();
        let table = tollgate_policy::compile(&policy, 1).unwrap();
        for (model, expected) in [
            ("vectors", &[Capability::Embeddings][..]),
            ("answers", &[Capability::Completions]),
            ("unknown", &[]),
            ("fake", &Capability::ALL),
            ("neither", &[]),
        ] {
            let model = table.model(model).unwrap();
            assert_eq!(capabilities(&table, model), expected, "{}", model.name);
        }
    }
}
