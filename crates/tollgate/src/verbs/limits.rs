//! `tollgate limits`: what is left of each limit, and where the rest is.

mod actions;

use tollgate_policy::table::Unit;
use tollgate_proto::admin::v1::{
    LimitState, ListLimitsRequest, ListLimitsResponse, NodeShare, Sharer,
};

use self::actions::Action;
use crate::error::Error;
use crate::operator::{Operator, PAGE};
use crate::table::Table;
use crate::{json, output};

/// Arguments of `tollgate limits`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only the counters of this limit
    name: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

/// Lists the counters in use, or does something to one.
///
/// # Errors
/// Why the control plane did not answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    match arguments.action {
        Some(action) => action.run().await,
        None => list(arguments.list).await,
    }
}

async fn list(arguments: List) -> Result<(), Error> {
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
        all.frozen_since = page.frozen_since;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output::show(
        arguments.operator.output(),
        || json::of(&all, "tollgate.admin.v1.ListLimitsResponse"),
        || frozen(&all) + &table(&all.limits),
    )
}

/// Says so where nothing is handed out.
fn frozen(all: &ListLimitsResponse) -> String {
    all.frozen_since.map_or_else(String::new, |since| {
        format!(
            "FROZEN since {since}, when the store was restored from an older copy: nothing is handed out until \
             `tollgate limits thaw`\n\n"
        )
    })
}

/// Units as people read them: money in US dollars.
pub(super) fn figure(unit: &str, units: u64) -> String {
    Unit::parse(unit).map_or_else(|| units.to_string(), |unit| unit.figure(units))
}

fn table(limits: &[LimitState]) -> String {
    if limits.is_empty() {
        return "no counter is in use: no request has met a limit in its current window\n"
            .to_owned();
    }
    let mut table = Table::new([
        "COUNTER", "KIND", "UNIT", "LIMIT", "SPENT", "HELD", "SUSPENSE", "FREE", "WAITING", "UNTIL",
    ]);
    for limit in limits {
        table.row(total(limit));
        for share in &limit.nodes {
            table.row(part(&limit.unit, share));
        }
        for sharer in &limit.sharers {
            table.row(self::sharer(&limit.unit, sharer));
        }
    }
    table.render()
}

fn total(limit: &LimitState) -> [String; 10] {
    // Where no window ends, when more comes in, if that has to be waited for.
    let ends = limit.window_end.or(limit.admits_at);
    let raised = limit.raised_until;
    let raised = raised.map_or_else(String::new, |until| format!(" (raised until {until})"));
    let shadow = if limit.shadow { " (shadow)" } else { "" };
    let figure = |units| figure(&limit.unit, units);
    let mark = match (limit.exhausted, limit.per_request) {
        (true, _) => " (exhausted)",
        // Too small to be lent ahead: nodes ask for every request.
        (false, true) => " (asked)",
        (false, false) => "",
    };
    [
        limit.counter.clone(),
        format!("{}{shadow}", limit.kind),
        limit.unit.clone(),
        format!("{}{raised}", figure(limit.limit)),
        figure(limit.spent),
        figure(limit.outstanding),
        suspense(&limit.unit, limit.suspense),
        format!("{}{mark}", figure(limit.free)),
        String::new(),
        ends.map_or_else(String::new, |end| end.to_string()),
    ]
}

/// Nothing where there is none, so that it stands out.
fn suspense(unit: &str, units: u64) -> String {
    if units == 0 {
        return String::new();
    }
    figure(unit, units)
}

fn part(unit: &str, share: &NodeShare) -> [String; 10] {
    let held = share
        .granted
        .saturating_sub(share.returned)
        .saturating_sub(share.freed)
        .saturating_sub(share.spent)
        .saturating_sub(share.suspense);
    // Who closes a share has to name its process.
    let process = if share.suspense > 0 {
        format!("  {} process {}", share.node, share.incarnation)
    } else {
        format!("  {}", share.node)
    };
    [
        process,
        String::new(),
        String::new(),
        String::new(),
        figure(unit, share.spent),
        figure(unit, held),
        suspense(unit, share.suspense),
        String::new(),
        share.waiting.to_string(),
        String::new(),
    ]
}

/// Who shares a counter, and up to where it may go.
fn sharer(unit: &str, sharer: &Sharer) -> [String; 10] {
    let most = sharer.most.map(|most| figure(unit, most));
    [
        format!("  by {}", sharer.who),
        String::new(),
        String::new(),
        most.map_or_else(String::new, |most| format!("share {most}")),
        figure(unit, sharer.used),
        String::new(),
        String::new(),
        String::new(),
        sharer.waiting.to_string(),
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
    fn those_who_share_a_counter_follow_with_what_they_used() {
        let sharer = |who: &str, used, most| Sharer {
            who: who.to_owned(),
            used,
            most,
            waiting: 2,
        };
        let limit = LimitState {
            unit: "requests".to_owned(),
            sharers: vec![sharer("user=a/b", 70, Some(75)), sharer("user=c", 3, None)],
            ..LimitState::default()
        };
        let text = table(&[limit]);
        let line = |at: usize| -> Vec<String> {
            let line = text.lines().nth(at).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(line(2), ["by", "user=a/b", "share", "75", "70", "2"]);
        assert_eq!(line(3), ["by", "user=c", "3", "2"]);
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

    #[test]
    fn suspense_names_the_process_to_close() {
        let limit = LimitState {
            counter: "month".to_owned(),
            unit: "cost_usd".to_owned(),
            limit: 5_000_000_000,
            spent: 1_000_000_000,
            suspense: 500_000_000,
            free: 3_500_000_000,
            nodes: vec![NodeShare {
                node: "a".to_owned(),
                incarnation: 77,
                granted: 2_000_000_000,
                spent: 1_000_000_000,
                freed: 500_000_000,
                suspense: 500_000_000,
                closed: true,
                ..NodeShare::default()
            }],
            ..LimitState::default()
        };
        let text = table(&[limit]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[1], ["month", "cost_usd", "5", "1", "0", "0.5", "3.5"]);
        assert_eq!(lines[2], ["a", "process", "77", "1", "0", "0.5", "0"]);
    }
}
