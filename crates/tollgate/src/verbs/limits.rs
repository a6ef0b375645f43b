//! `tollgate limits`: what is left of each limit, and where the rest is.

use tollgate_policy::table::Unit;
use tollgate_proto::admin::v1::{
    CloseShareRequest, LimitState, ListLimitsRequest, ListLimitsResponse, NodeShare,
};

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

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Close the share of a node's process that is dead, where its data folder is lost or it had requests under way
    Close(Close),
}

#[derive(Debug, clap::Args)]
struct Close {
    /// The counter, as `limits` shows it
    counter: String,
    /// Number of the dead process, as `limits` shows it beside the node
    #[arg(long, value_name = "NUMBER")]
    process: u64,
    /// All that it has spent in this window, by the provider's records; money in US dollars. Everything else that it
    /// held is freed. A process that still runs would spend that a second time: make sure that it is dead
    #[arg(long, value_name = "AMOUNT")]
    spent: String,
    #[command(flatten)]
    operator: Operator,
}

/// Lists the counters in use, or closes a share.
///
/// # Errors
/// Why the control plane did not answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    match arguments.action {
        Some(Action::Close(close)) => close_share(close).await,
        None => list(arguments.list).await,
    }
}

async fn close_share(close: Close) -> Result<(), Error> {
    let control = close.operator.connect().await?;
    let mut client = control.limits();
    let request = CloseShareRequest {
        spent: units(&close.spent)?,
        counter: close.counter,
        incarnation: close.process,
    };
    let closed = control.remote.call(client.close_share(request)).await?;
    output::show(
        close.operator.output(),
        || json::of(&closed, "tollgate.admin.v1.CloseShareResponse"),
        || table(closed.limit.as_slice()),
    )
}

/// An amount as people write it: a whole number, or US dollars with a point. Dollars are told from counts by the
/// point or a `$`, so that `2` is never two billion units by mistake.
fn units(text: &str) -> Result<u64, Error> {
    let wrong = || {
        let hint =
            "write a whole number of units, or US dollars with a point, such as `12.50` or `0.0`";
        Error::Config(format!("--spent: {text:?} is not an amount: {hint}"))
    };
    if !text.contains('.') {
        return text.parse().map_err(|_| wrong());
    }
    let (whole, fraction) = text.split_once('.').ok_or_else(wrong)?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(wrong());
    }
    let billionths = format!("{whole}{fraction:0<9}");
    billionths.parse().map_err(|_| wrong())
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
        "SUSPENSE",
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

fn total(limit: &LimitState) -> [String; 10] {
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
        suspense(&limit.unit, limit.suspense),
        format!("{}{mark}", figure(limit.free)),
        String::new(),
        ends.unwrap_or_default(),
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

    #[test]
    fn amounts_are_units_or_dollars() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("0.0", Some(0)),
            ("12.5", Some(12_500_000_000)),
            ("0.000000001", Some(1)),
            ("-1", None),
            ("1.", None),
            (".5", None),
            ("1.0000000001", None),
            ("99999999999.0", None),
        ] {
            assert_eq!(units(text).ok(), expected, "{text}");
        }
    }
}
