use tollgate_policy::table::{self, Sticky};
use tollgate_provider::chat::{Message, Request, Role};

use super::affinity;
use crate::asked::Asked;

fn pool(by: Sticky) -> table::Pool {
    let text = "providers: { p: { kind: simulated } }\n\
                deployments: { d: { provider: p, model: m } }\n\
                pools: { p: { targets: [ { deployment: d } ] } }\n\
                models: { m: { routes: [ { pools: [p] } ] } }\n";
    let source = tollgate_policy::yaml::Source {
        name: "p",
        text: text.as_bytes(),
    };
    let policy = tollgate_policy::yaml::load(&[source]).unwrap();
    let table = tollgate_policy::compile(&policy, 1).unwrap();
    let mut pool = table.model("m").unwrap().routes[0].pools[0].clone();
    pool.strategy = table::Strategy::Sticky(by);
    pool
}

fn asked(request: &Request) -> Asked {
    Asked::Completion {
        request: Box::new(request.clone()),
        stream: false,
    }
}

fn conversation(texts: &[(Role, &str)]) -> Request {
    let message = |(role, text): &(Role, &str)| Message::text(*role, *text);
    Request {
        messages: texts.iter().map(message).collect(),
        ..Request::default()
    }
}

#[test]
fn requests_belong_together_by_what_the_pool_says() {
    let mut request = conversation(&[(Role::User, "hello")]);
    let of = |by, key, request: &Request| affinity(&pool(by), key, &asked(request));
    assert_eq!(of(Sticky::User, "k", &request), None);
    let session = || Sticky::Metadata("session".to_owned());
    assert_eq!(of(session(), "k", &request), None);

    request.user = Some("ada".to_owned());
    request
        .metadata
        .insert("session".to_owned(), "ada".to_owned());
    assert!(of(Sticky::User, "k", &request).is_some());
    assert_eq!(
        of(Sticky::User, "k", &request),
        of(session(), "other", &request)
    );
    assert_ne!(
        of(Sticky::Key, "k", &request),
        of(Sticky::Key, "other", &request)
    );
}

#[test]
fn a_conversation_that_grows_keeps_its_beginning() {
    let of = |texts: &[(Role, &str)]| {
        let asked = asked(&conversation(texts));
        affinity(&pool(Sticky::Prompt), "k", &asked)
    };
    let first = of(&[(Role::System, "be brief"), (Role::User, "hello")]);
    let grown = [
        (Role::System, "be brief"),
        (Role::User, "hello"),
        (Role::Assistant, "hi"),
        (Role::User, "more"),
    ];
    assert_eq!(of(&grown), first);
    assert_ne!(
        of(&[(Role::System, "be brief"), (Role::User, "hallo")]),
        first
    );
    assert_ne!(
        of(&[(Role::System, "be briefhello"), (Role::User, "")]),
        first
    );
    // However long the first message is, and whatever comes after its first part.
    let long = "x".repeat(20_000);
    let longer = format!("{long}y");
    assert_eq!(of(&[(Role::User, &long)]), of(&[(Role::User, &longer)]));
}
