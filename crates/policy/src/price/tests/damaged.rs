//! Prices that nobody meant.

use super::*;

proptest! {
    /// Whatever becomes of the file, what can still be read of it is a price.
    #[test]
    fn a_damaged_catalog_harms_nobody(
        from in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), "\\PC{0,4}"), 1..16),
        tokens in 0..u64::MAX,
        at in any::<i64>(),
    ) {
        let lines: Vec<&str> = include_str!("../catalog.jsonl").lines().collect();
        let from = from.index(lines.len());
        let vendor = lines[..=from].iter().rposition(|line| line.contains("\"vendor\""));
        let models = lines[from..].iter().take(12);
        let mut text = [lines[0], lines[vendor.unwrap_or(1)]].join("\n");
        for line in models {
            text.push('\n');
            text.push_str(line);
        }
        for (place, with) in damage {
            let place = text.floor_char_boundary(place.index(text.len()));
            let end = text.ceil_char_boundary(text.len().min(place + with.len()));
            text.replace_range(place..end, &with);
        }
        // The catalog's own text is part of the program, and so stays.
        let catalog = Catalog::parse(Box::leak(text.into_boxed_str()));
        let served = Served { at, ..Served::default() };
        let bounds = Bounds {
            served,
            input: tokens,
            output: tokens,
            audio: true,
            image: true,
            hour: true,
            searches: 3,
        };
        let used = Tokens {
            input: tokens,
            cached_input: tokens / 2,
            cache_write: tokens / 3,
            output: tokens,
            reasoning: tokens / 2,
            ..Tokens::default()
        };
        for listed in catalog.models() {
            let price = listed.price;
            prop_assert!(price.cost(served, &used) <= price.highest_cost(&bounds));
            let found = catalog.find(listed.vendor, listed.model);
            prop_assert!(found.is_none_or(|it| it.vendor == listed.vendor));
        }
    }

    /// And whatever a policy says of a price is refused, or is one.
    #[test]
    fn whatever_stands_in_a_policy_is_a_price_or_a_fault(
        parts in prop::collection::btree_map("[a-z_0-9]{1,12}|input|output|request|tiers", "\\PC{0,12}|[0-9.e-]{0,24}", 0..4),
        tokens in any::<u64>(),
    ) {
        let price = parts.iter().map(|(name, value)| format!("{name}: {value:?}"));
        let price = price.collect::<Vec<_>>().join(", ");
        let text = format!(
            "providers: {{ p: {{ kind: openai }} }}\ndeployments: {{ d: {{ provider: p, model: gpt-4o, price: {{ {price} }} }} }}"
        );
        let source = Source { name: "policy.yaml", text: text.as_bytes() };
        let loaded: Result<pb::Policy, _> = load(&[source]);
        if let Ok(policy) = loaded
            && let Some(price) = of(&policy.providers["p"], &policy.deployments["d"])
        {
            let used = Tokens { input: tokens, output: tokens, ..Tokens::default() };
            let bounds = Bounds { input: tokens, output: tokens, ..Bounds::default() };
            prop_assert!(price.cost(Served::default(), &used) <= price.highest_cost(&bounds));
        }
    }
}
