use std::collections::HashMap;

use proptest::prelude::*;

use super::{limit_name, name};
use crate::subject::Subject;
use crate::table::{Caller, Labels, Table, compile};
use crate::yaml::{Source, parse};

fn table(limits: &str) -> Table {
    let text = format!(
        "providers: {{ p: {{ kind: simulated }} }}\ndeployments: {{ d: {{ provider: p, model: m }} }}\npools: {{ q: {{ \
         targets: [ {{ deployment: d }} ] }} }}\nmodels: {{ chat: {{ routes: [ {{ pools: [q] }} ] }}, brief: {{ routes: [ \
         {{ pools: [q] }} ] }} }}\ntiers: {{ premium: {{}}, free: {{}}, trial: {{}} }}\nlimits: [ {limits} ]"
    );
    compile(
        &parse(&[Source {
            name: "x",
            text: text.as_bytes(),
        }])
        .unwrap(),
        1,
    )
    .unwrap()
}

#[test]
fn finds_the_limit_of_a_counter_that_could_be() {
    let table = table(
        "{ name: app, tokens: 9, window: 1m }, { name: key, per: [key], requests: 9, window: 1h }, { name: mix, per: [model, \
         team], tokens: 9, window: 30s }",
    );
    let cases = [
        ("app/tokens=60s", Some("app")),
        ("key/requests=3600s/key=k1", Some("key")),
        ("mix/tokens=30s/team=acme/search/model=chat", Some("mix")),
        ("mix/tokens=30s/team=acme/model=chat", Some("mix")),
        // No such limit.
        ("other/tokens=60s", None),
        ("", None),
        ("/", None),
        ("ap", None),
        // Another unit, another window, nothing of them.
        ("app/requests=60s", None),
        ("app/tokens=61s", None),
        ("app/tokens=60s0", None),
        ("app", None),
        // Dimensions too many, too few, in another order, empty, or cut.
        ("app/tokens=60s/key=k1", None),
        ("app/tokens=60s/", None),
        ("key/requests=3600s", None),
        ("key/requests=3600s/key=", None),
        ("key/requests=3600s/key=a/b", None),
        ("key/requests=3600s/key", None),
        ("key/requests=3600s/user=k1", None),
        ("mix/tokens=30s/model=chat/team=acme", None),
        ("mix/tokens=30s/team=acme//x/model=chat", None),
        ("mix/tokens=30s/team=acme/search", None),
    ];
    for (counter, limit) in cases {
        let found = table
            .limit_of_counter(counter)
            .map(|it| it.name.to_string());
        assert_eq!(found.as_deref(), limit, "{counter:?}");
    }
}

#[test]
fn escapes_keys() {
    let table = table("{ name: key, per: [key, model], requests: 9, window: 1m }");
    let subject = Subject::parse("acme").unwrap();
    let limit = &table.limits()[0];
    let name = |key| name(limit, &Caller::new(key, &subject), "chat");
    assert_eq!(name("tg_0-A.z"), "key/requests=60s/key=tg_0-A.z/model=chat");
    assert_eq!(
        name("a/model=x%é\n"),
        "key/requests=60s/key=a%2Fmodel%3Dx%25%C3%A9%0A/model=chat"
    );
}

#[test]
fn tiers_and_labels_that_are_lacking_share_a_counter() {
    let table =
        table("{ name: l, per: [tier], per_labels: [env, cost.center], requests: 9, window: 1m }");
    let subject = Subject::parse("acme").unwrap();
    let labels = Labels::from([("env".to_owned(), "(none)".to_owned())]);
    let name = |tier, labels: &Labels| {
        let caller = Caller {
            tier,
            labels,
            ..Caller::new("k", &subject)
        };
        table.counters(&caller, table.model("chat").unwrap())[0]
            .counter
            .clone()
    };
    assert_eq!(
        name(None, &Labels::new()),
        "l/requests=60s/tier=(none)/label.cost.center=(none)/label.env=(none)"
    );
    assert_eq!(
        name(Some("free"), &labels),
        "l/requests=60s/tier=free/label.cost.center=(none)/label.env=%28none%29"
    );
}

#[test]
fn whose_part_a_request_counts_as() {
    let table = table(
        "{ name: f, per: [team], fair: [model, user], requests: 9, window: 1m }, { name: s, shares: { premium: 60, free: \
         10 }, requests: 9, window: 1m }",
    );
    let subject = Subject::parse("acme/search/ada").unwrap();
    let parts = |tier| {
        let caller = Caller {
            tier,
            ..Caller::new("k", &subject)
        };
        let counters = table.counters(&caller, table.model("chat").unwrap());
        let names = counters
            .into_iter()
            .map(|it| (it.counter, it.part.unwrap()));
        names.collect::<Vec<_>>()
    };
    let [(fair, who), (shared, tier)] = parts(Some("premium")).try_into().unwrap();
    assert_eq!(fair, "f/requests=60s/team=acme/search");
    assert_eq!(who, "user=acme/search/ada/model=chat");
    assert_eq!(
        (shared.as_str(), tier.as_str()),
        ("s/requests=60s", "tier=premium")
    );
    for other in [Some("trial"), None] {
        assert_eq!(parts(other)[1].1, "tier=(none)");
    }
    let shares = super::shares(table.limit("s").unwrap());
    let shares: Vec<_> = shares.iter().map(|(who, it)| (&**who, *it)).collect();
    assert_eq!(
        shares,
        [("tier=free", 10), ("tier=premium", 60), ("tier=(none)", 30)]
    );
}

proptest! {
    /// Two callers share a counter exactly where they agree in everything that the limit tells apart.
    #[test]
    fn one_name_one_cell(
        callers in proptest::collection::vec(
            ("[a-c/=%]{1,3}", "[ab](/[ab]){0,3}", any::<bool>(), proptest::option::of("[ab]"),
             proptest::option::of("[a()=/]{1,2}")),
            2..20,
        ),
        per in proptest::sample::subsequence(vec!["key", "user", "team", "org", "model", "tier"], 0..=6).prop_shuffle(),
        labelled in any::<bool>(),
    ) {
        let label = if labelled { "env" } else { "" };
        let table = table(&format!(
            "{{ name: l, per: [{}], per_labels: [{label}], tokens: 9, window: 1m }}", per.join(", ")
        ));
        let mut cells: HashMap<String, Vec<String>> = HashMap::new();
        let mut names: HashMap<Vec<String>, String> = HashMap::new();
        for (key, subject, chat, tier, env) in &callers {
            let subject = Subject::parse(subject).unwrap();
            let model = if *chat { "chat" } else { "brief" };
            let mut cell: Vec<String> = per.iter().map(|dimension| match *dimension {
                "key" => key.clone(),
                "user" => subject.user().to_owned(),
                "team" => subject.team().to_owned(),
                "org" => subject.org().to_owned(),
                "tier" => format!("{tier:?}"),
                _ => model.to_owned(),
            }).collect();
            if labelled {
                cell.push(format!("{env:?}"));
            }
            let labels: Labels = env.iter().map(|env| ("env".to_owned(), env.clone())).collect();
            let caller = Caller {
                tier: tier.as_deref(), labels: &labels, ..Caller::new(key, &subject)
            };
            let specs = table.counters(&caller, table.model(model).unwrap());
            prop_assert_eq!(specs.len(), 1);
            let counter = specs[0].counter.clone();
            prop_assert_eq!(limit_name(&counter), "l");
            prop_assert!(table.limit_of_counter(&counter).is_some(), "{}", counter);
            let found = table.shown_counter(&super::shown(&counter)).map(|(_, name)| name);
            prop_assert_eq!(found.as_ref(), Some(&counter));
            prop_assert_eq!(cells.entry(counter.clone()).or_insert_with(|| cell.clone()), &cell);
            prop_assert_eq!(names.entry(cell).or_insert_with(|| counter.clone()), &counter);
        }
    }
}
