//! Names that an operator may reasonably write but that this version does not know: they deserve a better answer
//! than the nearest spelling.

/// Fields that are part of the product's design but do not work yet, by the message they belong to.
const PLANNED_FIELDS: [(&str, &[&str]); 4] = [
    ("Policy", &["subjects"]),
    ("Provider", &["headers"]),
    ("Credential", &["name"]),
    ("Target", &["priority", "tier"]),
];

/// Values of enums that are part of the product's design but do not work yet.
const PLANNED_VALUES: [(&str, &[&str]); 1] = [("Dimension", &["deployment", "provider"])];

/// Names under which people look for the place of a secret.
const SECRETS: [&str; 9] = [
    "access_token",
    "api_key",
    "apikey",
    "key",
    "password",
    "secret",
    "token",
    "value",
    "key_value",
];

/// Whether a message has this field in the product's design, though not in this version.
pub(super) fn field_is_planned(message: &str, field: &str) -> bool {
    has(&PLANNED_FIELDS, message, field)
}

/// Whether an enum has this value in the product's design, though not in this version.
pub(super) fn value_is_planned(enumeration: &str, value: &str) -> bool {
    has(&PLANNED_VALUES, enumeration, value)
}

/// What to do instead of writing this unknown field, where that is known.
pub(super) fn advice(message: &str, field: &str) -> Option<&'static str> {
    match message {
        "Credential" | "Provider" if SECRETS.contains(&field) => Some(
            "a key is never part of a policy: put it into an environment variable or a file of each node, and name \
             that with `credential: { env: NAME }` or `credential: { file: PATH }`",
        ),
        "Deployment" if field == "weight" => Some("weights belong to the targets of a pool"),
        "Limit" if field == "token_weights" => Some("write `weights`"),
        "Model" if field == "pools" => {
            Some("pools belong to a route: `routes: [ { pools: [...] } ]`")
        }
        "Route" if field == "match" => Some("write `when`"),
        "Route" if field == "strategy" => Some("each pool has a strategy of its own"),
        "Model" if field == "timeout" => Some("the whole request is bounded by `deadline`"),
        _ => None,
    }
}

fn has(table: &[(&str, &[&str])], of: &str, name: &str) -> bool {
    table
        .iter()
        .any(|(it, names)| *it == of && names.contains(&name))
}
