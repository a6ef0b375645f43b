//! `tollgate limits`: what is left of each limit, and where the rest is.

use tollgate_policy::table::Unit;
use tollgate_proto::admin::v1::{LimitState, ListLimitsRequest, ListLimitsResponse, NodeShare};

use crate::error::Error;
use crate::operator::{Operator, PAGE};
use crate::table::Table;
use crate::{json, output};

/// Arguments of `tollgate limits`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the counters of this limit
    name: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

/// Lists the counters in use.
///
/// # Errors
/// Why the control plane did not answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let control = arguments.operator.connect().await?;
    let mut all = ListLimitsResponse::default();
    loop {
        let request = ListLimitsRequest {
            limit: arguments.name.clone().unwrap_or_default(),
            page_size: PAGE,
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let mut client = control.limits();
        let page = control.remote.call(client.list_limits(request)).await?;
        all.limits.extend(page.limits);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output::show(
        arguments.operator.output(),
        || json::of(&all, "tollgate.admin.v1.ListLimitsResponse"),
        || table(&all.limits),
    )
}

/// Units as people read them: money in US dollars.
fn figure(unit: &str, units: u64) -> String {
    Unit::parse(unit).map_or_else(|| units.to_string(), |unit| unit.figure(units))
}

fn table(limits: &[LimitState]) -> String {
    if limits.is_empty() {
        return "no counter is in use: no request has met a limit in its current window\n"
            .to_owned();
    }
    let mut table = Table::new([
        "COUNTER",
        "KIND",
        "UNIT",
        "LIMIT",
        "SPENT",
        "HELD",
        "FREE",
        "WAITING",
        "WINDOW ENDS",
    ]);
    for limit in limits {
        table.row(total(limit));
        for share in &limit.nodes {
            table.row(part(&limit.unit, share));
        }
    }
    table.render()
}

fn total(limit: &LimitState) -> [String; 9] {
    let ends = limit.window_end.map(|end| end.to_string());
    let figure = |units| figure(&limit.unit, units);
    let mark = match (limit.exhausted, limit.per_request) {
        (true, _) => " (exhausted)",
        // Too small to be lent ahead: nodes ask for every request.
        (false, true) => " (asked)",
        (false, false) => "",
    };
    [
        limit.counter.clone(),
        limit.kind.clone(),
        limit.unit.clone(),
        figure(limit.limit),
        figure(limit.spent),
        figure(limit.outstanding),
        format!("{}{mark}", figure(limit.free)),
        String::new(),
        ends.unwrap_or_default(),
    ]
}

fn part(unit: &str, share: &NodeShare) -> [String; 9] {
    let held = share
        .granted
        .saturating_sub(share.returned)
        .saturating_sub(share.spent);
    [
        format!("  {}", share.node),
        String::new(),
        String::new(),
        String::new(),
        figure(unit, share.spent),
        figure(unit, held),
        String::new(),
        share.waiting.to_string(),
        String::new(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_followed_by_its_nodes() {
        let limit = LimitState {
            counter: "per-key/k1".to_owned(),
            kind: "fixed".to_owned(),
            unit: "requests".to_owned(),
            limit: 100,
            spent: 60,
            outstanding: 40,
            exhausted: true,
            nodes: vec![NodeShare {
                node: "a".to_owned(),
                granted: 100,
                returned: 10,
                spent: 60,
                ..NodeShare::default()
            }],
            ..LimitState::default()
        };
        let text = table(&[limit]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let expected = [
            "per-key/k1",
            "fixed",
            "requests",
            "100",
            "60",
            "40",
            "0",
            "(exhausted)",
        ];
        assert_eq!(lines[1], expected);
        assert_eq!(lines[2], ["a", "60", "30", "0"]);
    }

    #[test]
    fn money_is_shown_in_dollars() {
        let limit = LimitState {
            counter: "app".to_owned(),
            unit: "cost_usd".to_owned(),
            limit: 2_000_000_000,
            spent: 1_250_000_000,
            free: 750_000_000,
            ..LimitState::default()
        };
        let text = table(&[limit]);
        let line: Vec<&str> = text
            .lines()
            .nth(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert_eq!(line, ["app", "cost_usd", "2", "1.25", "0", "0.75"]);
    }
}
