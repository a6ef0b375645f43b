//! Faults of providers.

use url::{Host, Url};

use super::{Least, check_known, check_time, entries};
use crate::address::is_internal;
use crate::fault::Fault;
use crate::path::field;
use crate::pb;
use crate::table::Protocol;

/// Longest base address.
const MAX_URL: usize = 2048;
/// Longest path of a file, and longest name of a variable.
const MAX_SOURCE: usize = 4096;
/// Longest version of an interface.
const MAX_VERSION: usize = 64;
/// The first version of the classic interface that reports usage in streams.
const FIRST_VERSION: &str = "2024-09-01";
/// What the address of a resource at Azure looks like.
const AZURE_EXAMPLE: &str =
    "write the address of the resource, such as `https://my-resource.openai.azure.com`";
/// Longest name of a region.
const MAX_REGION: usize = 63;
/// Most tokens of a simulated answer.
const MAX_SIMULATED_TOKENS: u32 = 100_000;

pub(super) fn check(policy: &pb::Policy, faults: &mut Vec<Fault>) {
    for (at, _, it) in entries("providers", &policy.providers, faults) {
        provider(it, &at, faults);
    }
}

fn provider(it: &pb::Provider, at: &str, faults: &mut Vec<Fault>) {
    let kind = check_known(
        it.kind,
        &pb::ProviderKind::Unspecified,
        &field(at, "kind"),
        faults,
    );
    if kind == Some(pb::ProviderKind::Simulated) {
        unused_by_simulated(it, at, faults);
    } else if let Some(protocol) = kind.and_then(Protocol::of) {
        http(protocol, it, at, faults);
    }
    if let Some(it) = &it.credential {
        credential(it, &field(at, "credential"), faults);
    }
    if let Some(it) = &it.timeouts {
        let at = field(at, "timeouts");
        check_time(
            it.connect.as_ref(),
            Least::AboveZero,
            &field(&at, "connect"),
            faults,
        );
        check_time(
            it.first_byte.as_ref(),
            Least::AboveZero,
            &field(&at, "first_byte"),
            faults,
        );
        check_time(
            it.idle.as_ref(),
            Least::AboveZero,
            &field(&at, "idle"),
            faults,
        );
    }
    if let Some(settings) = &it.simulated {
        let at = field(at, "simulated");
        // Where the kind is wrong in itself, this would only be noise.
        if kind.is_some_and(|kind| kind != pb::ProviderKind::Simulated) {
            let fault = Fault::new(&at, "is only for providers of kind `simulated`");
            faults.push(fault.hint("remove it, or change the kind"));
        }
        simulated(settings, &at, faults);
    }
}

fn http(protocol: Protocol, it: &pb::Provider, at: &str, faults: &mut Vec<Fault>) {
    region(protocol, it, at, faults);
    let is_azure = protocol == Protocol::AzureOpenAi;
    let has_default = protocol.default_base_url().is_some() || protocol.is_regional();
    if it.base_url.is_empty() && !has_default {
        let fault = Fault::new(field(at, "base_url"), "is missing");
        faults.push(fault.hint(if is_azure {
            AZURE_EXAMPLE
        } else {
            "write the address that paths are appended to, such as `https://llm.example.com/v1`"
        }));
    }
    base_url(it, at, faults);
    if is_azure {
        azure(it, at, faults);
    } else if !it.api_version.is_empty() {
        let fault = Fault::new(
            field(at, "api_version"),
            "is only for providers of kind `azure_openai`",
        );
        faults.push(fault.hint("remove it, or change the kind"));
    }
}

fn azure(it: &pb::Provider, at: &str, faults: &mut Vec<Fault>) {
    // The portal shows the address of one interface, and which is meant is said elsewhere.
    let path = Url::parse(&it.base_url).map(|url| url.path().to_owned());
    if path.is_ok_and(|path| path.split('/').any(|step| step == "openai")) {
        let fault = Fault::new(field(at, "base_url"), "names an interface of the resource");
        faults.push(
            fault.hint("write only what precedes `/openai`; `api_version` says which interface"),
        );
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if it.api_version.len() > MAX_VERSION || !it.api_version.bytes().all(plain) {
        let fault = Fault::new(field(at, "api_version"), "is not a version");
        faults.push(fault.hint(
            "write a version of the classic interface such as `2024-10-21`, or `preview`, or leave it out for v1",
        ));
    } else if it.api_version.starts_with(|c: char| c.is_ascii_digit())
        && it.api_version.as_str() < FIRST_VERSION
    {
        let fault = Fault::new(field(at, "api_version"), "does not tell what a stream used");
        faults.push(fault.hint("write `2024-10-21` or a later version, or leave it out for v1"));
    }
}

fn region(protocol: Protocol, it: &pb::Provider, at: &str, faults: &mut Vec<Fault>) {
    let at = field(at, "region");
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fault = match (protocol.is_regional(), it.region.as_str()) {
        (false, "") => return,
        (false, _) => Fault::new(at, "means nothing for a provider of this kind").hint("remove it"),
        (true, "") => Fault::new(at, "is missing").hint("write a region such as `eu-central-1`"),
        // It becomes part of an address.
        (true, region) if region.len() > MAX_REGION || !region.bytes().all(plain) => {
            Fault::new(at, "is not the name of a region").hint("write one such as `eu-central-1`")
        }
        (true, _) => return,
    };
    faults.push(fault);
}

fn unused_by_simulated(it: &pb::Provider, at: &str, faults: &mut Vec<Fault>) {
    let mut unused = |name: &str| {
        let fault = Fault::new(
            field(at, name),
            "means nothing for a provider of kind `simulated`",
        );
        faults.push(fault.hint("remove it"));
    };
    if !it.base_url.is_empty() {
        unused("base_url");
    }
    if it.credential.is_some() {
        unused("credential");
    }
    if it.drop_unsupported {
        unused("drop_unsupported");
    }
    if !it.api_version.is_empty() {
        unused("api_version");
    }
    if !it.region.is_empty() {
        unused("region");
    }
}

/// Looks at the address. Faults never repeat it: it may hold a password.
fn base_url(it: &pb::Provider, at: &str, faults: &mut Vec<Fault>) {
    if it.base_url.is_empty() {
        return;
    }
    let at = field(at, "base_url");
    let mut fault = |problem: &str, hint: &str| faults.push(Fault::new(&at, problem).hint(hint));
    if it.base_url.len() > MAX_URL {
        return fault("is too long", "write at most 2048 characters");
    }
    let example = "write an address such as `https://llm.example.com/v1`";
    let Ok(url) = Url::parse(&it.base_url) else {
        return fault("is not an address", example);
    };
    let internal = "if it is meant, say `internal: true`";
    match url.scheme() {
        "https" => {}
        "http" if it.internal => {}
        "http" => fault(
            "is not encrypted (http), which only internal providers may be",
            internal,
        ),
        _ => return fault("is neither http nor https", example),
    }
    if !url.username().is_empty() || url.password().is_some() {
        fault(
            "holds a user name or password, which a policy must not",
            "name the key's place with `credential`",
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        fault(
            "holds a query or a fragment",
            "write only what precedes `?` and `#`",
        );
    }
    if !it.internal && url.host().is_none_or(|host| is_internal_host(&host)) {
        fault(
            "is a loopback, private or otherwise internal address",
            internal,
        );
    }
}

fn is_internal_host(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost")
                || name.to_ascii_lowercase().ends_with(".localhost")
        }
        Host::Ipv4(address) => is_internal((*address).into()),
        Host::Ipv6(address) => is_internal((*address).into()),
    }
}

/// Looks at where a key is. Faults never repeat what is there: people paste the key itself.
fn credential(it: &pb::Credential, at: &str, faults: &mut Vec<Fault>) {
    let fault = match &it.source {
        None => Fault::new(at, "names no source").hint("write `{ env: NAME }` or `{ file: PATH }`, or leave it out"),
        Some(pb::credential::Source::Env(name)) if !is_variable(name) => {
            Fault::new(field(at, "env"), "is not the name of an environment variable")
                .hint("write the name of a variable of the node's process, such as `OPENAI_API_KEY`, never the key itself")
        }
        Some(pb::credential::Source::File(path)) if path.is_empty() || path.len() > MAX_SOURCE || path.contains('\0') => {
            Fault::new(field(at, "file"), "is not the path of a file")
                .hint("write a path that the node's process can read, such as `/run/secrets/openai`")
        }
        Some(_) => return,
    };
    faults.push(fault);
}

fn is_variable(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts
        && name.len() <= MAX_SOURCE
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn simulated(it: &pb::Simulated, at: &str, faults: &mut Vec<Fault>) {
    let latency = it.first_token_latency.as_ref();
    check_time(
        latency,
        Least::Zero,
        &field(at, "first_token_latency"),
        faults,
    );
    check_time(
        it.token_interval.as_ref(),
        Least::Zero,
        &field(at, "token_interval"),
        faults,
    );
    if it.output_tokens > MAX_SIMULATED_TOKENS {
        let fault = Fault::new(
            field(at, "output_tokens"),
            format!("is more than {MAX_SIMULATED_TOKENS}"),
        );
        faults.push(fault.hint("leave it out for 16"));
    }
    if let Some(fault) = &it.fault {
        simulated_fault(fault, &field(at, "fault"), faults);
    }
}

fn simulated_fault(it: &pb::Fault, at: &str, faults: &mut Vec<Fault>) {
    let kind = check_known(
        it.kind,
        &pb::FaultKind::Unspecified,
        &field(at, "kind"),
        faults,
    );
    let is_status = kind == Some(pb::FaultKind::Status);
    if is_status && !(400..=599).contains(&it.status) {
        let fault = Fault::new(field(at, "status"), "is not the HTTP status of an error");
        faults.push(fault.hint("write 400 to 599, such as `503`"));
    }
    if kind.is_some() && !is_status && it.status != 0 {
        let fault = Fault::new(field(at, "status"), "is only for faults of kind `status`");
        faults.push(fault.hint("remove it, or change the kind"));
    }
    if is_status && it.after_tokens != 0 {
        let fault = Fault::new(
            field(at, "after_tokens"),
            "means nothing for a fault of kind `status`",
        );
        faults.push(fault.hint("remove it: the status is sent instead of an answer"));
    }
    if it.after_tokens > MAX_SIMULATED_TOKENS {
        faults.push(Fault::new(
            field(at, "after_tokens"),
            format!("is more than {MAX_SIMULATED_TOKENS}"),
        ));
    }
    if it.percent > 100 {
        let fault = Fault::new(field(at, "percent"), "is more than 100");
        faults.push(fault.hint("write 1 to 100, or leave it out for 100"));
    }
}
