//! A small paid suite against the real providers: does what they answer mean what the fixtures say?
//!
//! A gateway is started with a deployment at each provider whose key is in the environment, and asked over gRPC for
//! each of a few things; what comes back is held against what every codec's fixtures promise. Without any key, it is
//! told what would be done. The answers themselves are not shown, and nothing is kept.

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use tollgate_proto::completion::v1::completion_service_client::CompletionServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::gateway::Gateway;
use cases::{CASES, Case};

/// What the program is told.
#[derive(Debug, Parser)]
#[command(about = "Asks the real providers, and prints where they differ from the fixtures")]
pub struct Options {
    /// The gateway's program.
    #[arg(long)]
    pub tollgate: PathBuf,
}

/// A provider that can be tried.
#[derive(Debug)]
struct Provider {
    kind: &'static str,
    /// What the names of its variables begin with.
    prefix: &'static str,
    /// The variable of its key.
    key: &'static str,
    /// A small model; none where only its owner knows the name.
    model: Option<&'static str>,
    /// Whether it is nowhere in particular, so that its address must be told.
    needs_address: bool,
    /// About what a million tokens cost, in and out, in dollars.
    price: (f64, f64),
}

const PROVIDERS: [Provider; 8] = [
    provider(
        "openai",
        "OPENAI",
        "OPENAI_API_KEY",
        Some("gpt-4o-mini"),
        (0.15, 0.6),
    ),
    Provider {
        needs_address: true,
        ..provider(
            "azure_openai",
            "AZURE_OPENAI",
            "AZURE_OPENAI_API_KEY",
            None,
            (0.15, 0.6),
        )
    },
    provider(
        "anthropic",
        "ANTHROPIC",
        "ANTHROPIC_API_KEY",
        Some("claude-haiku-4-5"),
        (1.0, 5.0),
    ),
    provider(
        "gemini",
        "GEMINI",
        "GEMINI_API_KEY",
        Some("gemini-3.8-flash"),
        (1.5, 7.5),
    ),
    provider(
        "mistral",
        "MISTRAL",
        "MISTRAL_API_KEY",
        Some("mistral-small-latest"),
        (0.1, 0.3),
    ),
    provider(
        "cohere",
        "COHERE",
        "COHERE_API_KEY",
        Some("command-a-03-2025"),
        (2.5, 10.0),
    ),
    provider(
        "bedrock",
        "BEDROCK",
        "AWS_BEARER_TOKEN_BEDROCK",
        Some("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        (1.0, 5.0),
    ),
    Provider {
        needs_address: true,
        ..provider(
            "openai_compatible",
            "OPENAI_COMPATIBLE",
            "OPENAI_COMPATIBLE_API_KEY",
            None,
            (0.0, 0.0),
        )
    },
];

const fn provider(
    kind: &'static str,
    prefix: &'static str,
    key: &'static str,
    model: Option<&'static str>,
    price: (f64, f64),
) -> Provider {
    Provider {
        kind,
        prefix,
        key,
        model,
        needs_address: false,
        price,
    }
}

/// A provider that will be tried, as the environment has it.
#[derive(Debug)]
struct Chosen<'a> {
    provider: &'static Provider,
    key: &'a str,
    model: &'a str,
    address: Option<&'a str>,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// To be shown.
    pub text: String,
    /// How many answers differ from what they should be.
    pub differ: usize,
}

/// Tries every provider for which `variables` hold what it takes; where there is none, tells what would be done.
pub async fn run(
    options: &Options,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<Report> {
    let chosen: Vec<_> = PROVIDERS
        .iter()
        .filter_map(|it| it.chosen(variables))
        .collect();
    let mut report = Report {
        text: plan(&chosen),
        differ: 0,
    };
    if chosen.is_empty() {
        return Ok(report);
    }
    let directory = tempfile::tempdir().context("create a directory")?;
    let keys: Vec<_> = chosen.iter().map(|it| (it.provider.key, it.key)).collect();
    let region = variables
        .get("AWS_REGION")
        .map_or("us-east-1", String::as_str);
    let policy = policy(&chosen, region);
    let gateway = Gateway::start(&options.tollgate, directory.path(), &policy, &keys).await?;
    let caller = Caller::connect(&gateway).await?;
    for it in &chosen {
        for case in CASES {
            report.add(&it.provider.name(), &case, &caller).await;
        }
    }
    let asked = chosen.len() * CASES.len();
    let _ = writeln!(report.text, "\n{} of {asked} answers differ", report.differ);
    Ok(report)
}

impl Provider {
    /// Its name, and that of its model, in the policy.
    fn name(&self) -> String {
        self.kind.replace('_', "-")
    }

    fn variable(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }

    fn chosen<'a>(&'static self, variables: &'a BTreeMap<String, String>) -> Option<Chosen<'a>> {
        let read = |name: &str| {
            variables
                .get(name)
                .map(String::as_str)
                .filter(|it| !it.is_empty())
        };
        let address = read(&self.variable("BASE_URL"));
        if self.needs_address && address.is_none() {
            return None;
        }
        Some(Chosen {
            provider: self,
            key: read(self.key)?,
            model: read(&self.variable("MODEL")).or(self.model)?,
            address,
        })
    }

    /// About what the suite costs there at most, in dollars.
    fn cost(&self) -> f64 {
        let calls = CASES.iter().map(|case| f64::from(case.calls)).sum::<f64>();
        let (input, output) = self.price;
        calls * (cases::MOST_INPUT * input + f64::from(cases::MOST_OUTPUT) * output) / 1e6
    }
}

/// What will be done, or would be.
fn plan(chosen: &[Chosen<'_>]) -> String {
    let mut out = String::new();
    let calls: u32 = CASES.iter().map(|case| case.calls).sum();
    if chosen.is_empty() {
        out.push_str("No provider's key is in the environment, so nothing is called. With one of these variables set,\n");
        let _ = writeln!(
            out,
            "{calls} small requests go to that provider through a gateway started for it:\n"
        );
    }
    for provider in &PROVIDERS {
        let found = chosen.iter().find(|it| std::ptr::eq(it.provider, provider));
        if found.is_none() && !chosen.is_empty() {
            continue;
        }
        let model = found.map(|it| it.model).or(provider.model);
        let address = match (provider.needs_address, found) {
            (true, None) => format!(", {}", provider.variable("BASE_URL")),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "  {:<18} {}{address}; model {} ({} for another), {} for another address, at most ${:.4}",
            provider.kind,
            provider.key,
            model.unwrap_or("to be named"),
            provider.variable("MODEL"),
            provider.variable("BASE_URL"),
            provider.cost(),
        );
    }
    let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    let _ = writeln!(out, "\nasked for: {}\n", names.join(", "));
    out
}

fn policy(chosen: &[Chosen<'_>], region: &str) -> String {
    let mut parts = [const { String::new() }; 4];
    for it in chosen {
        let kind = it.provider.kind;
        let name = it.provider.name();
        // An address of one's own may be anywhere.
        let address = it
            .address
            .map(|it| format!(", base_url: \"{it}\", internal: true"));
        let region = match kind {
            "bedrock" => format!(", region: {region}"),
            _ => String::new(),
        };
        let lines = [
            format!(
                "  {name}: {{ kind: {kind}, drop_unsupported: true, credential: {{ env: {} }}{}{region} }}",
                it.provider.key,
                address.unwrap_or_default()
            ),
            format!("  {name}: {{ provider: {name}, model: \"{}\" }}", it.model),
            format!("  {name}: {{ targets: [ {{ deployment: {name} }} ] }}"),
            format!("  {name}: {{ routes: [ {{ pools: [{name}] }} ], retry: {{ attempts: 1 }} }}"),
        ];
        for (part, line) in parts.iter_mut().zip(lines) {
            let _ = writeln!(part, "{line}");
        }
    }
    let [providers, deployments, pools, models] = parts;
    format!(
        "providers:\n{providers}deployments:\n{deployments}pools:\n{pools}models:\n{models}\
         limits: [ {{ name: tokens, per: [key], tokens: 1000000, window: 1h }} ]\n"
    )
}

impl Report {
    async fn add(&mut self, model: &str, case: &Case, caller: &Caller) {
        let begin = Instant::now();
        let differences = match case.run(caller, model).await {
            Ok(differences) => differences,
            Err(error) => vec![format!("{error:#}")],
        };
        let spent = begin.elapsed().as_secs_f64();
        let head = format!("{model:<18} {:<22} {spent:>6.2} s", case.name);
        if differences.is_empty() {
            let _ = writeln!(self.text, "{head}  as the fixtures say");
            return;
        }
        self.differ += 1;
        let _ = writeln!(self.text, "{head}  differs: {}", differences.join("; "));
    }
}

/// Calls the gateway.
#[derive(Debug)]
struct Caller {
    client: CompletionServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

impl Caller {
    async fn connect(gateway: &Gateway) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(gateway.url())?.connect().await?;
        Ok(Self {
            client: CompletionServiceClient::new(channel),
            authorization: format!("Bearer {}", gateway.key("live/live/live")?).parse()?,
        })
    }
}
