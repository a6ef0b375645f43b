//! `tollgate prices`: what models cost, by the built-in catalog and by a policy.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tollgate_policy::money;
use tollgate_policy::price::{self, Catalog, Part, Price, Row, Service};
use tollgate_proto::policy::v1::Policy;

use crate::error::Error;
use crate::files;
use crate::output::{self, Format};
use crate::table::Table;

/// Arguments of `tollgate prices`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the models or deployments of this name, in any spelling that the catalog knows
    model: Option<String>,
    /// What the deployments of this policy cost: a file, or a directory of *.yaml, *.yml and *.json files
    #[arg(
        short = 'f',
        long = "file",
        env = "TOLLGATE_FILE",
        value_name = "FILE|DIR",
        value_delimiter = ','
    )]
    files: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, short, env = "TOLLGATE_OUTPUT", value_name = "FORM")]
    output: Option<Format>,
}

/// One price that is shown.
struct Shown {
    /// Vendor and model, or the deployment.
    name: String,
    price: Option<Price>,
}

/// Shows the prices.
///
/// # Errors
/// A policy that cannot be read or has faults; a model that nobody knows.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let name = arguments.model.as_deref();
    let found = if arguments.files.is_empty() {
        listed(name)
    } else {
        deployed(&files::load(&arguments.files)?, name)
    };
    if let (true, Some(name)) = (found.is_empty(), name) {
        return Err(Error::Failed(format!(
            "no price of `{name}` is known: state it in the policy, as in `price: {{ input: \"0.15\", output: \"0.60\" }}`"
        )));
    }
    output::show(
        arguments.output.unwrap_or_default(),
        || Ok(value(&found)),
        || table(&found),
    )
}

/// What the catalog holds: all of it, or one model at every vendor that has it.
fn listed(name: Option<&str>) -> Vec<Shown> {
    let catalog = Catalog::built_in();
    let models: Vec<_> = match name {
        None => catalog.models().collect(),
        Some(name) => {
            let mut found: Vec<_> = catalog
                .vendors()
                .filter_map(|it| catalog.find(it, name))
                .collect();
            // Some vendors serve the models of others.
            found.dedup();
            found
        }
    };
    let shown = |it: price::Listed| Shown {
        name: format!("{}/{}", it.vendor, it.model),
        price: Some(it.price),
    };
    let mut shown: Vec<Shown> = models.into_iter().map(shown).collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    shown.dedup_by(|a, b| a.name == b.name);
    shown
}

/// What a policy's deployments cost: all, or those of a name or a model.
fn deployed(policy: &Policy, name: Option<&str>) -> Vec<Shown> {
    let wanted =
        |deployment: &str, model: &str| name.is_none_or(|name| name == deployment || name == model);
    let mut shown: Vec<Shown> = policy
        .deployments
        .iter()
        .filter(|(name, it)| wanted(name, &it.model))
        .map(|(name, it)| Shown {
            name: name.clone(),
            price: policy
                .providers
                .get(&it.provider)
                .and_then(|provider| price::of(provider, it)),
        })
        .collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    shown
}

fn table(shown: &[Shown]) -> String {
    let mut table = Table::new(["MODEL", "WHEN", "USD PER MILLION TOKENS", "FROM"]);
    for it in shown {
        let Some(price) = &it.price else {
            table.row([
                it.name.clone(),
                String::new(),
                "unknown".into(),
                String::new(),
            ]);
            continue;
        };
        for (index, row) in price.rows().iter().enumerate() {
            let of_first = |text: String| if index == 0 { text } else { String::new() };
            table.row([
                of_first(it.name.clone()),
                condition(row),
                rates(row),
                of_first(origin(price)),
            ]);
        }
    }
    let catalog = Catalog::built_in();
    format!(
        "{}\ncatalog: {}, prices from {} on\n",
        table.render(),
        catalog.revision(),
        catalog.since()
    )
}

/// When a row holds: `always`, `from 2026-12-01, priority, above 200000`.
fn condition(row: &Row) -> String {
    let mut parts = Vec::new();
    parts.extend(row.first_day().map(|day| format!("from {day}")));
    if row.service != Service::Standard {
        parts.push(row.service.as_str().to_owned());
    }
    if row.above > 0 {
        parts.push(format!("above {} tokens", row.above));
    }
    if parts.is_empty() {
        return "always".to_owned();
    }
    parts.join(", ")
}

/// The rates that somebody says. Of what is free, text is enough.
fn rates(row: &Row) -> String {
    let is_shown = |part: &Part| {
        let is_text = matches!(part, Part::Input | Part::Output);
        is_text || row.rates.says(*part) && row.rates.of(*part) > 0
    };
    let own = Part::ALL.into_iter().filter(is_shown);
    let shown = own.map(|part| format!("{} {}", part.as_str(), money::dollars(row.rates.of(part))));
    shown.collect::<Vec<_>>().join(", ")
}

/// Where a price comes from.
fn origin(price: &Price) -> String {
    match (&price.catalog, price.is_stated) {
        (Some(catalog), false) => catalog.to_string(),
        (Some(catalog), true) => format!("policy and {catalog}"),
        (None, _) => "policy".to_owned(),
    }
}

fn value(shown: &[Shown]) -> Value {
    let row = |row: &Row| {
        let usd: Map<String, Value> = Part::ALL
            .into_iter()
            .map(|part| {
                (
                    part.as_str().to_owned(),
                    money::dollars(row.rates.of(part)).into(),
                )
            })
            .collect();
        json!({"from": row.first_day(), "service": row.service.as_str(), "above_tokens": row.above, "usd": usd})
    };
    let price = |it: &Shown| {
        let rows = it
            .price
            .as_ref()
            .map(|it| it.rows().iter().map(row).collect::<Vec<_>>());
        let origin = it.price.as_ref().map(origin);
        json!({"name": it.name, "prices": rows, "source": origin})
    };
    let catalog = Catalog::built_in();
    json!({
        "catalog": catalog.revision(),
        "since": catalog.since(),
        "models": shown.iter().map(price).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use tollgate_policy::yaml::{Source, load};

    use super::*;

    #[test]
    fn a_model_is_shown_with_every_price_it_has() {
        let shown = table(&listed(Some("gemini-2.5-pro")));
        assert!(shown.contains("google/gemini-2.5-pro "), "{shown}");
        assert!(shown.contains("always "), "{shown}");
        assert!(shown.contains("batch, above 200000 tokens"), "{shown}");
        assert!(
            shown.contains(
                "input 1.25, cached_input 0.125, input_audio 1.25, cached_audio 0.125, output 10 "
            ),
            "{shown}"
        );
        assert!(shown.contains(Catalog::built_in().revision()), "{shown}");
        let changes = table(&listed(Some("gemini-4-argon")));
        assert!(changes.contains("from 2026-12-01"), "{changes}");
        assert!(listed(Some("unheard-of")).is_empty());
        assert!(listed(None).len() > 500);
    }

    #[test]
    fn a_policy_is_shown_with_where_its_prices_come_from() {
        let text = b"
providers: { openai: { kind: openai }, fake: { kind: simulated } }
deployments:
  a: { provider: openai, model: gpt-4o }
  b: { provider: openai, model: gpt-4o, price: { input: 2, output: 8 } }
  c: { provider: openai, model: next, price: { input: 1, output: 2 } }
  d: { provider: fake, model: next }
";
        let source = Source { name: "p", text };
        let policy = load(&[source]).unwrap();
        let shown = deployed(&policy, None);
        let from = |at: usize| shown[at].price.as_ref().map(origin);
        let revision = Catalog::built_in().revision();
        assert_eq!(from(0), Some(revision.to_owned()));
        assert_eq!(from(1), Some(format!("policy and {revision}")));
        assert_eq!(from(2), Some("policy".to_owned()));
        assert_eq!(from(3), None);
        assert_eq!(deployed(&policy, Some("next")).len(), 2);
        assert!(table(&shown).contains("unknown"));
        assert_eq!(
            value(&shown)["models"][1]["prices"][0]["usd"]["cached_input"],
            "1"
        );
    }
}
