//! Which providers can be tried, with what, and what that costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::cases::{CASES, Case};

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Most things.
    Chat,
    /// To think first.
    Thinking,
    Embedding,
    /// Nothing: it is a name that no model has.
    Missing,
}

/// A model of a provider.
#[derive(Debug, Clone, Copy)]
struct Model {
    /// A small one; none where only its owner knows the name.
    name: Option<&'static str>,
    /// About what a million tokens cost, in and out, in dollars.
    price: (f64, f64),
}

/// A provider that can be tried.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) kind: &'static str,
    /// What the names of its variables begin with.
    prefix: &'static str,
    /// The variable of its key.
    pub(super) key: &'static str,
    /// Where it is; none where it is nowhere in particular, so that its address must be told.
    address: Option<&'static str>,
    chat: Model,
    thinking: Option<Model>,
    embedding: Option<Model>,
    /// Whether it tells what it read from its cache.
    pub(super) tells_cached: bool,
    /// Whether its thoughts come with state that it wants back.
    pub(super) keeps_thoughts: bool,
}

const PROVIDERS: [Provider; 8] = [
    Provider {
        kind: "openai",
        prefix: "OPENAI",
        key: "OPENAI_API_KEY",
        address: Some("https://api.openai.com/v1"),
        chat: model("gpt-4o-mini", 0.15, 0.6),
        thinking: Some(model("gpt-5-nano", 0.05, 0.4)),
        embedding: Some(model("text-embedding-3-small", 0.02, 0.0)),
        tells_cached: true,
        keeps_thoughts: true,
    },
    Provider {
        kind: "azure_openai",
        prefix: "AZURE_OPENAI",
        key: "AZURE_OPENAI_API_KEY",
        address: None,
        chat: named_by_its_owner(0.15, 0.6),
        thinking: Some(named_by_its_owner(0.25, 2.0)),
        embedding: Some(named_by_its_owner(0.02, 0.0)),
        tells_cached: true,
        keeps_thoughts: true,
    },
    Provider {
        kind: "anthropic",
        prefix: "ANTHROPIC",
        key: "ANTHROPIC_API_KEY",
        address: Some("https://api.anthropic.com/v1"),
        chat: model("claude-haiku-4-5", 1.0, 5.0),
        thinking: Some(model("claude-haiku-4-5", 1.0, 5.0)),
        embedding: None,
        tells_cached: true,
        keeps_thoughts: true,
    },
    Provider {
        kind: "gemini",
        prefix: "GEMINI",
        key: "GEMINI_API_KEY",
        address: Some("https://generativelanguage.googleapis.com/v1beta"),
        chat: model("gemini-3.8-flash", 1.5, 7.5),
        thinking: Some(model("gemini-3.8-flash", 1.5, 7.5)),
        embedding: Some(model("gemini-embedding-001", 0.15, 0.0)),
        tells_cached: true,
        keeps_thoughts: true,
    },
    Provider {
        kind: "mistral",
        prefix: "MISTRAL",
        key: "MISTRAL_API_KEY",
        address: Some("https://api.mistral.ai/v1"),
        chat: model("mistral-small-latest", 0.1, 0.3),
        thinking: Some(model("magistral-small-latest", 0.5, 1.5)),
        embedding: Some(model("mistral-embed", 0.1, 0.0)),
        tells_cached: false,
        keeps_thoughts: false,
    },
    Provider {
        kind: "cohere",
        prefix: "COHERE",
        key: "COHERE_API_KEY",
        address: Some("https://api.cohere.com/v2"),
        chat: model("command-a-03-2025", 2.5, 10.0),
        thinking: Some(model("command-a-reasoning-08-2025", 2.5, 10.0)),
        embedding: Some(model("embed-v4.0", 0.12, 0.0)),
        tells_cached: false,
        keeps_thoughts: false,
    },
    Provider {
        kind: "bedrock",
        prefix: "BEDROCK",
        key: "AWS_BEARER_TOKEN_BEDROCK",
        address: Some("https://bedrock-runtime.REGION.amazonaws.com"),
        chat: model("us.anthropic.claude-haiku-4-5-20251001-v1:0", 1.1, 5.5),
        thinking: Some(model(
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            1.1,
            5.5,
        )),
        embedding: Some(model("amazon.titan-embed-text-v2:0", 0.02, 0.0)),
        tells_cached: true,
        keeps_thoughts: true,
    },
    Provider {
        kind: "openai_compatible",
        prefix: "OPENAI_COMPATIBLE",
        key: "OPENAI_COMPATIBLE_API_KEY",
        address: None,
        chat: named_by_its_owner(0.0, 0.0),
        thinking: Some(named_by_its_owner(0.0, 0.0)),
        embedding: Some(named_by_its_owner(0.0, 0.0)),
        tells_cached: false,
        keeps_thoughts: false,
    },
];

const fn model(name: &'static str, input: f64, output: f64) -> Model {
    Model {
        name: Some(name),
        price: (input, output),
    }
}

const fn named_by_its_owner(input: f64, output: f64) -> Model {
    Model {
        name: None,
        price: (input, output),
    }
}

/// A provider that will be tried, as the environment has it.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) provider: &'static Provider,
    pub(super) key: &'a str,
    /// Where it is, its region included.
    pub(super) address: String,
    pub(super) region: &'a str,
    /// Those that it has, or that have been named.
    models: Vec<(Role, &'a str)>,
}

/// Every provider for which `variables` hold what it takes.
pub(super) fn chosen(variables: &BTreeMap<String, String>) -> Vec<Chosen<'_>> {
    let providers = PROVIDERS.iter();
    providers.filter_map(|it| it.chosen(variables)).collect()
}

impl Role {
    const ALL: [Self; 4] = [Self::Chat, Self::Thinking, Self::Embedding, Self::Missing];

    /// What the name of the model's variable ends with.
    fn variable(self) -> &'static str {
        match self {
            Self::Chat => "MODEL",
            Self::Thinking => "REASONING_MODEL",
            Self::Embedding => "EMBEDDING_MODEL",
            Self::Missing => "MISSING_MODEL",
        }
    }
}

impl Provider {
    /// Its name in the policy.
    pub(super) fn name(&self) -> String {
        self.kind.replace('_', "-")
    }

    /// The name of a model of its in the policy.
    pub(super) fn model_name(&self, role: Role) -> String {
        let end = match role {
            Role::Chat => "",
            Role::Thinking => "-thinking",
            Role::Embedding => "-embedding",
            Role::Missing => "-missing",
        };
        format!("{}{end}", self.name())
    }

    fn variable(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    fn model(&self, role: Role) -> Option<Model> {
        match role {
            Role::Chat => Some(self.chat),
            Role::Thinking => self.thinking,
            Role::Embedding => self.embedding,
            Role::Missing => Some(model("no-such-model", 0.0, 0.0)),
        }
    }

    fn chosen<'a>(&'static self, variables: &'a BTreeMap<String, String>) -> Option<Chosen<'a>> {
        let read = |name: &str| {
            let value = variables.get(name).map(String::as_str);
            value.filter(|it| !it.is_empty())
        };
        let region = read("AWS_REGION").unwrap_or("us-east-1");
        let address = read(&self.variable("BASE_URL")).or(self.address)?;
        let named = |role: Role| {
            let model = self.model(role)?;
            let name = read(&self.variable(role.variable())).or(model.name)?;
            Some((role, name))
        };
        named(Role::Chat)?;
        Some(Chosen {
            provider: self,
            key: read(self.key)?,
            address: address.replace("REGION", region),
            region,
            models: Role::ALL.into_iter().filter_map(named).collect(),
        })
    }

    /// Whether it can be asked for a case, where its owner has named every model.
    fn takes(&self, case: &Case) -> bool {
        self.model(case.role).is_some() && (self.tells_cached || !case.is_cached())
    }

    /// About what cases cost there at most, in dollars.
    fn cost(&self, cases: &[&Case]) -> f64 {
        let cost = |case: &Case| {
            let (input, output) = self.model(case.role).map_or((0.0, 0.0), |it| it.price);
            let calls = f64::from(case.calls);
            calls * (f64::from(case.most_input) * input + f64::from(case.most_output) * output)
        };
        cases.iter().map(|case| cost(case)).sum::<f64>() / 1e6
    }
}

impl Chosen<'_> {
    /// What it is asked for.
    pub(super) fn cases(&self) -> Vec<&'static Case> {
        let has = |role| self.models.iter().any(|(known, _)| *known == role);
        let cases = CASES.iter();
        cases
            .filter(|case| has(case.role) && self.provider.takes(case))
            .collect()
    }
}

/// What will be done, or would be.
pub(super) fn plan(chosen: &[Chosen<'_>]) -> String {
    let mut out = String::new();
    if chosen.is_empty() {
        out.push_str(
            "No provider's key is in the environment, so nothing is called. With one of these keys set, so many small\n\
             requests go to that provider through a gateway started for it, and what it answers is held against the\n\
             fixtures. What has no value here must be given one; without, models that think or embed are left out.\n\n",
        );
    }
    for provider in &PROVIDERS {
        let found = chosen.iter().find(|it| std::ptr::eq(it.provider, provider));
        if found.is_none() && !chosen.is_empty() {
            continue;
        }
        let all = || CASES.iter().filter(|case| provider.takes(case)).collect();
        let cases: Vec<&Case> = found.map_or_else(all, Chosen::cases);
        let calls: u32 = cases.iter().map(|case| case.calls).sum();
        let _ = write!(
            out,
            "  {:<18} {}: {calls} requests, ",
            provider.kind, provider.key,
        );
        let _ = match provider.cost(&cases) {
            0.0 => write!(out, "at prices that only its owner knows"),
            cost => write!(out, "at most ${cost:.4}"),
        };
        let long: Vec<_> = cases.into_iter().filter(|case| case.is_cached()).collect();
        let _ = match long.is_empty() {
            true => writeln!(out),
            false => writeln!(
                out,
                ", ${:.4} of it for {}",
                provider.cost(&long),
                long[0].name
            ),
        };
        let _ = write!(out, "{:20}", "");
        for role in [Role::Chat, Role::Thinking, Role::Embedding] {
            if let Some(model) = provider.model(role) {
                let named = found.and_then(|it| it.models.iter().find(|(known, _)| *known == role));
                let named = named.map(|(_, name)| *name).or(model.name);
                let variable = provider.variable(role.variable());
                let _ = write!(out, " {variable}={}", named.unwrap_or_default());
            }
        }
        let address = found.map(|it| it.address.as_str()).or(provider.address);
        let variable = provider.variable("BASE_URL");
        let _ = writeln!(out, " {variable}={}", address.unwrap_or_default());
    }
    let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    let _ = writeln!(out, "\nasked for: {}\n", names.join("; "));
    out
}

/// A policy with a model for each that is tried, whose provider is reached at the address beside it.
pub(super) fn policy<'a>(chosen: impl Iterator<Item = (&'a Chosen<'a>, &'a str)>) -> String {
    let mut parts = [const { String::new() }; 4];
    for (it, address) in chosen {
        let provider = it.provider;
        let (kind, name) = (provider.kind, provider.name());
        let region = match kind {
            "bedrock" => format!(", region: {}", it.region),
            _ => String::new(),
        };
        let _ = writeln!(
            parts[0],
            "  {name}: {{ kind: {kind}, base_url: \"{address}\", internal: true, drop_unsupported: true, \
             credential: {{ env: {} }}{region} }}",
            provider.key
        );
        for (role, model) in &it.models {
            // OpenAI's models go on with what they thought over this interface only.
            let api = match (role, kind) {
                (Role::Thinking, "openai" | "azure_openai") => ", api: responses",
                _ => "",
            };
            let ours = provider.model_name(*role);
            let lines = [
                format!("  {ours}: {{ provider: {name}, model: \"{model}\"{api} }}"),
                format!("  {ours}: {{ targets: [ {{ deployment: {ours} }} ] }}"),
                format!(
                    "  {ours}: {{ routes: [ {{ pools: [{ours}] }} ], retry: {{ attempts: 1 }} }}"
                ),
            ];
            for (part, line) in parts[1..].iter_mut().zip(lines) {
                let _ = writeln!(part, "{line}");
            }
        }
    }
    let [providers, deployments, pools, models] = parts;
    format!(
        "providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits: [ {{ name: tokens, per: [key], tokens: 1000000, window: 1h }} ]\n"
    )
}
