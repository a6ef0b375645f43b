use super::check;

/// Texts of which one part is not supported yet, and what is said of it.
const PLANNED: &[(&str, &str)] = &[
    ("subjects: {}", "subjects: `subjects`"),
    (
        "providers: { a: { kind: openai, credential: { name: x } } }",
        "providers.a.credential.name: `name`",
    ),
    (
        "limits: [ { name: a, requests: 1, window: 1m, per: [provider] } ]",
        "limits[0].per[0]: `provider`",
    ),
];

#[test]
fn names_what_this_version_does_not_support() {
    for (text, start) in PLANNED {
        check(
            text,
            &[&format!("{start} is not supported by this version yet")],
        );
    }
}
