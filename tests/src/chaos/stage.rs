//! What the run limits when: the amounts that change from stage to stage, and the policies that say so.

use std::fmt::Write as _;

use super::limits::{KEYS, LIMITS, Model, Per, REQUEST_COST, TEAMS};

/// What the smallest budget must hold: more is reserved for a request than it costs in the end.
const RESERVED_COST: u64 = 4 * REQUEST_COST;

/// To whom a key belongs.
pub(super) fn subject(key: usize) -> String {
    format!("chaos/team{}/caller{key}", key % TEAMS)
}

/// The amount of each limit, in the order of [`LIMITS`]; none where it is not in the policy.
pub(super) type Amounts = [Option<u64>; LIMITS.len()];

/// A part of the run in which the amounts stay, but for what faults do to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) model: Model,
    /// Limits by name, and their amounts.
    limits: &'static [(&'static str, u64)],
    /// The first so many keys are used.
    pub(super) keys: usize,
}

impl Stage {
    /// The stage's amounts where these were in force. Budgets are raised by the stage's amount, and stay in
    /// force when it is over: what was spent of them is not forgotten.
    pub(super) fn amounts(&self, before: &Amounts) -> Amounts {
        std::array::from_fn(|index| {
            let limit = &LIMITS[index];
            let of_limit = self.limits.iter().find(|(name, _)| *name == limit.name);
            let amount = of_limit.map(|(_, amount)| *amount);
            match (before[index], amount) {
                (Some(before), amount) if limit.kind.is_budget() => {
                    Some(before + amount.unwrap_or(0))
                }
                (_, amount) => amount,
            }
        })
    }

    /// Whether it has a budget, to be raised for each part of it.
    pub(super) fn spends(&self) -> bool {
        matches!(self.model, Model::Spend | Model::Month)
    }
}

const fn stage(
    name: &'static str,
    model: Model,
    keys: usize,
    limits: &'static [(&'static str, u64)],
) -> Stage {
    Stage {
        name,
        model,
        limits,
        keys,
    }
}

/// In turn, each first without and then with faults.
pub(super) const STAGES: [Stage; 17] = [
    stage(
        "10 per key, 100 per team",
        Model::Chat,
        KEYS,
        &[("key-requests", 10), ("team-requests", 100)],
    ),
    stage(
        "a budget of a request per key",
        Model::Spend,
        4,
        &[("key-budget", RESERVED_COST)],
    ),
    stage(
        "10 in any interval, per key",
        Model::Flow,
        KEYS,
        &[("key-sliding", 10)],
    ),
    stage(
        "10 in any interval as long as a window, per key",
        Model::Flow,
        KEYS,
        &[("key-interval", 10)],
    ),
    stage("1 slot per key", Model::Hold, 6, &[("key-slots", 1)]),
    stage(
        "a bucket of 10 per team",
        Model::Flow,
        KEYS,
        &[("team-bucket", 10)],
    ),
    stage(
        "10,000 per key",
        Model::Chat,
        1,
        &[("key-requests", 10_000)],
    ),
    stage(
        "1,000 requests' cost a month per team",
        Model::Month,
        KEYS,
        &[("team-month", 1_000 * REQUEST_COST)],
    ),
    stage(
        "10 slots per team",
        Model::Hold,
        KEYS,
        &[("team-slots", 10)],
    ),
    stage(
        "1 per key",
        Model::Chat,
        KEYS,
        &[("key-requests", 1), ("team-requests", 100)],
    ),
    stage(
        "1,000 in any interval, per key",
        Model::Flow,
        1,
        &[("key-sliding", 1_000)],
    ),
    stage(
        "100 requests' cost per key",
        Model::Spend,
        KEYS,
        &[("key-budget", 100 * REQUEST_COST)],
    ),
    stage(
        "1,000 in any interval as long as a window, per key",
        Model::Flow,
        1,
        &[("key-interval", 1_000)],
    ),
    stage(
        "10,000 tokens per team",
        Model::Chat,
        4,
        &[("team-tokens", 10_000)],
    ),
    stage(
        "a bucket of 1,000 per team",
        Model::Flow,
        2,
        &[("team-bucket", 1_000)],
    ),
    stage(
        "100 requests' cost per team, 10 requests per key",
        Model::Chat,
        KEYS,
        &[("key-requests", 10), ("team-cost", 100 * REQUEST_COST)],
    ),
    stage(
        "10,000 requests' cost a month, of two teams",
        Model::Month,
        2,
        &[("team-month", 5_000 * REQUEST_COST)],
    ),
];

/// A model's entry in one of a policy's lists.
type Entry = fn(Model) -> String;

/// The policy with these amounts, in windows of `window_s` seconds.
///
/// A request is tried at the provider once: what arrives there twice for one admission would count twice.
pub(super) fn policy(amounts: &Amounts, window_s: u64, provider: &str) -> String {
    let mut text = format!(
        "providers: {{ mock: {{ kind: openai_compatible, base_url: \"{provider}\", internal: true }} }}\n"
    );
    let lists: [(&str, Entry); 3] = [
        ("deployments", |model| {
            let price = "price: { input: \"1\", output: \"2\" }";
            format!(
                "{{ provider: mock, model: \"{}\", {price} }}",
                model.upstream()
            )
        }),
        ("pools", |model| {
            format!("{{ targets: [ {{ deployment: {} }} ] }}", model.name())
        }),
        ("models", |model| {
            let routes = format!("routes: [ {{ pools: [{}] }} ]", model.name());
            format!("{{ {routes}, max_output_tokens: 16, deadline: 5s, retry: {{ attempts: 1 }} }}")
        }),
    ];
    // Writing to a string cannot fail.
    for (list, entry) in lists {
        let _ = writeln!(text, "{list}:");
        for model in Model::ALL {
            let _ = writeln!(text, "  {}: {}", model.name(), entry(model));
        }
    }
    text.push_str("limits:\n");
    for (limit, amount) in LIMITS.iter().zip(amounts) {
        let Some(amount) = *amount else { continue };
        let per = match limit.per {
            Per::Key => "key",
            Per::Team => "team",
        };
        let (name, unit) = (limit.name, limit.unit.field(amount));
        let (model, fields) = (limit.model.name(), limit.kind.fields(window_s, amount));
        let _ = writeln!(
            text,
            "  - {{ name: {name}, match: \"request.model == '{model}'\", per: [{per}], {unit}{fields} }}"
        );
    }
    text
}
