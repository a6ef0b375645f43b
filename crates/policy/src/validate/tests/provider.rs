//! Faults of providers, and of lengths of time anywhere.

use super::{Case, chat, check, lines, provider, seconds, sound};
use crate::{pb, validate};
use prost_types::Duration;

fn fault(policy: &mut pb::Policy) -> &mut pb::Fault {
    provider(policy, "fake")
        .simulated
        .as_mut()
        .unwrap()
        .fault
        .as_mut()
        .unwrap()
}

const PROVIDERS: &[Case] = &[
    (
        |it| provider(it, "local").kind = 0,
        &["providers.local.kind: is missing"],
    ),
    (
        |it| provider(it, "fake").kind = 0,
        &["providers.fake.kind: is missing"],
    ),
    (
        |it| provider(it, "local").kind = 99,
        &["providers.local.kind: the value 99 is not known"],
    ),
    (
        |it| provider(it, "local").simulated = Some(pb::Simulated::default()),
        &["providers.local.simulated: is only for"],
    ),
    (
        |it| provider(it, "fake").base_url = "https://x.example".to_owned(),
        &["providers.fake.base_url: means nothing"],
    ),
    (
        |it| provider(it, "fake").credential = it.providers["openai"].credential.clone(),
        &["providers.fake.credential: means"],
    ),
    (|it| provider(it, "fake").simulated = None, &[]),
    (
        |it| provider(it, "fake").api_version = "preview".to_owned(),
        &["providers.fake.api_version: means nothing"],
    ),
    (
        |it| provider(it, "local").api_version = "preview".to_owned(),
        &["providers.local.api_version: is only for providers of kind `azure_openai`"],
    ),
    (|it| azure(it, "https://r.openai.azure.com", ""), &[]),
    (|it| azure(it, "https://openai.example.com", ""), &[]),
    (
        |it| {
            azure(
                it,
                "https://r.services.ai.azure.com/api/projects/p",
                "2024-10-21",
            )
        },
        &[],
    ),
    (
        |it| azure(it, "", ""),
        &["providers.local.base_url: is missing"],
    ),
    (
        |it| azure(it, "https://r.openai.azure.com/openai/v1/", ""),
        &["providers.local.base_url: names an interface of the resource"],
    ),
    (
        |it| azure(it, "https://r.openai.azure.com", "2024?x=1"),
        &["providers.local.api_version: is not a version"],
    ),
    (
        |it| azure(it, "https://r.openai.azure.com", "2024-06-01"),
        &["providers.local.api_version: does not tell what a stream used"],
    ),
    (
        |it| azure(it, "https://r.openai.azure.com", "2024-09-01-preview"),
        &[],
    ),
    (
        |it| provider(it, "fake").region = "x".to_owned(),
        &["providers.fake.region: means nothing"],
    ),
    (
        |it| provider(it, "openai").region = "eu-west-1".to_owned(),
        &["providers.openai.region: means nothing"],
    ),
    (|it| bedrock(it, "eu-west-1"), &[]),
    (
        |it| bedrock(it, ""),
        &["providers.openai.region: is missing"],
    ),
    (
        |it| bedrock(it, "evil.example/x"),
        &["providers.openai.region: is not the name of a region"],
    ),
];

fn azure(policy: &mut pb::Policy, base_url: &str, api_version: &str) {
    let it = provider(policy, "local");
    it.kind = pb::ProviderKind::AzureOpenai as i32;
    it.base_url = base_url.to_owned();
    it.api_version = api_version.to_owned();
}

fn bedrock(policy: &mut pb::Policy, region: &str) {
    let it = provider(policy, "openai");
    it.kind = pb::ProviderKind::Bedrock.into();
    it.region = region.to_owned();
}

#[test]
fn providers() {
    check(PROVIDERS);
}

fn set(policy: &mut pb::Policy, source: Option<pb::credential::Source>) {
    provider(policy, "openai").credential = Some(pb::Credential { source });
}
fn env(policy: &mut pb::Policy, name: &str) {
    set(policy, Some(pb::credential::Source::Env(name.to_owned())));
}
fn file(policy: &mut pb::Policy, name: &str) {
    set(policy, Some(pb::credential::Source::File(name.to_owned())));
}

const CREDENTIALS: &[Case] = &[
    (
        |it| set(it, None),
        &["providers.openai.credential: names no source"],
    ),
    (
        |it| env(it, ""),
        &["providers.openai.credential.env: is not the name"],
    ),
    (
        |it| env(it, "sk-123"),
        &["providers.openai.credential.env: is not the name"],
    ),
    (
        |it| env(it, "1A"),
        &["providers.openai.credential.env: is not the name"],
    ),
    (|it| env(it, "_a1"), &[]),
    (
        |it| file(it, ""),
        &["providers.openai.credential.file: is not the path"],
    ),
    (
        |it| file(it, "a\0b"),
        &["providers.openai.credential.file: is not the path"],
    ),
    (|it| file(it, "/run/secrets/openai"), &[]),
];

#[test]
fn credentials() {
    check(CREDENTIALS);
}

const INTERNAL: &str =
    "providers.local.base_url: is a loopback, private or otherwise internal address";
const PLAIN: &str = "providers.local.base_url: is not encrypted";
const ADDRESSES: &[(&str, bool, &[&str])] = &[
    ("", false, &["providers.local.base_url: is missing"]),
    (
        "llm.example.com",
        false,
        &["providers.local.base_url: is not an address"],
    ),
    (
        "https://",
        false,
        &["providers.local.base_url: is not an address"],
    ),
    (
        "ftp://llm.example.com",
        false,
        &["providers.local.base_url: is neither http nor https"],
    ),
    ("http://llm.example.com", false, &[PLAIN]),
    ("http://llm.example.com", true, &[]),
    (
        "https://user@llm.example.com",
        true,
        &["providers.local.base_url: holds a user name or password"],
    ),
    (
        "https://:pass@llm.example.com",
        true,
        &["providers.local.base_url: holds a user name or password"],
    ),
    (
        "https://llm.example.com/v1?key=1",
        true,
        &["providers.local.base_url: holds a query"],
    ),
    (
        "https://llm.example.com/#v1",
        true,
        &["providers.local.base_url: holds a query or a fragment"],
    ),
    ("https://10.0.0.7/v1", false, &[INTERNAL]),
    ("https://10.0.0.7/v1", true, &[]),
    ("https://127.0.0.1", false, &[INTERNAL]),
    ("https://2130706433", false, &[INTERNAL]),
    ("https://0x7f.1", false, &[INTERNAL]),
    ("https://169.254.169.254/latest", false, &[INTERNAL]),
    ("https://[::1]:8000", false, &[INTERNAL]),
    ("https://[::ffff:10.0.0.1]", false, &[INTERNAL]),
    ("https://localhost", false, &[INTERNAL]),
    ("https://LOCALHOST.", false, &[INTERNAL]),
    ("https://llm.localhost", false, &[INTERNAL]),
    ("http://127.0.0.1:8000/v1", false, &[PLAIN, INTERNAL]),
    ("http://127.0.0.1:8000/v1", true, &[]),
    ("https://8.8.8.8", false, &[]),
];

#[test]
fn addresses() {
    for (url, internal, expected) in ADDRESSES {
        let mut policy = sound();
        provider(&mut policy, "local").base_url = (*url).to_owned();
        provider(&mut policy, "local").internal = *internal;
        let found = lines(&validate(&policy));
        assert_eq!(found.len(), expected.len(), "{url}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.starts_with(expected), "{url}: {found:?}");
        }
    }
}

const TIMES: &[Case] = &[
    (
        |it| provider(it, "openai").timeouts.as_mut().unwrap().connect = seconds(0),
        &["providers.openai.timeouts.connect: is zero"],
    ),
    (
        |it| provider(it, "openai").timeouts.as_mut().unwrap().idle = seconds(-1),
        &["providers.openai.timeouts.idle: is negative"],
    ),
    (
        |it| provider(it, "openai").timeouts.as_mut().unwrap().first_byte = seconds(3601),
        &["providers.openai.timeouts.first_byte: is longer than an hour"],
    ),
    (|it| chat(it).deadline = seconds(3600), &[]),
    (
        |it| {
            chat(it).deadline = Some(Duration {
                seconds: 1,
                nanos: 1_000_000_000,
            })
        },
        &["models.chat.deadline: is negative or mal"],
    ),
    (
        |it| {
            chat(it).deadline = Some(Duration {
                seconds: 1,
                nanos: -1,
            })
        },
        &["models.chat.deadline: is negative or malformed"],
    ),
    (
        |it| chat(it).deadline = seconds(i64::MAX),
        &["models.chat.deadline: is longer than an hour"],
    ),
    (
        |it| {
            chat(it).retry = Some(pb::Retry {
                attempts: 2,
                per_attempt_timeout: seconds(0),
                ..Default::default()
            })
        },
        &["models.chat.retry.per_attempt_timeout: is zero"],
    ),
    (
        |it| {
            provider(it, "fake")
                .simulated
                .as_mut()
                .unwrap()
                .token_interval = seconds(0)
        },
        &[],
    ),
    (
        |it| {
            provider(it, "fake")
                .simulated
                .as_mut()
                .unwrap()
                .first_token_latency = seconds(-1)
        },
        &["providers.fake.simulated.first_token_latency: is negative"],
    ),
];

#[test]
fn times() {
    check(TIMES);
}

const SIMULATED_FAULTS: &[Case] = &[
    (
        |it| fault(it).kind = 0,
        &["providers.fake.simulated.fault.kind: is missing"],
    ),
    (
        |it| fault(it).kind = 77,
        &["providers.fake.simulated.fault.kind: the value 77"],
    ),
    (
        |it| fault(it).status = 0,
        &["providers.fake.simulated.fault.status: is not the HTTP status of an error"],
    ),
    (
        |it| fault(it).status = 399,
        &["providers.fake.simulated.fault.status: is not"],
    ),
    (|it| fault(it).status = 599, &[]),
    (
        |it| fault(it).status = 600,
        &["providers.fake.simulated.fault.status: is not"],
    ),
    (
        |it| fault(it).after_tokens = 1,
        &["providers.fake.simulated.fault.after_tokens: means nothing"],
    ),
    (
        |it| fault(it).percent = 101,
        &["providers.fake.simulated.fault.percent: is more than 100"],
    ),
    (
        |it| fault(it).kind = pb::FaultKind::Hang as i32,
        &["providers.fake.simulated.fault.status: is only for"],
    ),
    (
        |it| {
            *fault(it) = pb::Fault {
                kind: pb::FaultKind::Reset as i32,
                after_tokens: 100_001,
                ..Default::default()
            }
        },
        &["providers.fake.simulated.fault.after_tokens: is more than"],
    ),
    (
        |it| {
            *fault(it) = pb::Fault {
                kind: pb::FaultKind::Truncate as i32,
                after_tokens: 3,
                percent: 50,
                status: 0,
            }
        },
        &[],
    ),
    (
        |it| {
            provider(it, "fake")
                .simulated
                .as_mut()
                .unwrap()
                .output_tokens = 100_001
        },
        &["providers.fake.simulated.output_tokens: is more than"],
    ),
];

#[test]
fn simulated_faults() {
    check(SIMULATED_FAULTS);
}
