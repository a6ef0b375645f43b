//! What operators do to limits, and the record of it.

use std::time::Duration;

use prost_types::Timestamp;
use tollgate_proto::admin::v1::raise_limit_request::End;
use tollgate_proto::admin::v1::{
    AuditRecord, CloseShareRequest, ListAuditRequest, ListAuditResponse, RaiseLimitRequest,
    ResetCounterRequest, ThawLimitsRequest,
};

use super::table;
use crate::error::Error;
use crate::operator::{Operator, PAGE};
use crate::table::Table;
use crate::{duration, json, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Raise the limit of one counter for a while, in use or not; policy's holds again afterwards
    Raise(Raise),
    /// Forgive all that a counter has spent; what nodes hold stays charged
    Reset(Reset),
    /// Close the share of a node's process that is dead, where its data folder is lost or it had requests under way
    Close(Close),
    /// Hand out units again after the store was restored from an older copy, once every node is connected, or known to
    /// be dead and its shares closed
    Thaw(Thaw),
    /// List what operators did to limits: who, when, what and why
    Audit(Audit),
}

/// Who does it, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Asker {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who you are, for the audit
    #[arg(long, env = "USER", value_name = "NAME", default_value = "an operator")]
    by: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Raise {
    /// The counter, as `limits` shows it
    counter: String,
    /// What it admits meanwhile; money as $12 or 12.50, since 12 is twelve billionths of a US dollar
    #[arg(long, value_name = "AMOUNT", required_unless_present = "end")]
    to: Option<String>,
    /// For how long, such as 30m or 12h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, conflicts_with = "until")]
    lasting: Option<Duration>,
    /// Until when, such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// End the raise that is in force
    #[arg(long, conflicts_with_all = ["to", "lasting", "until"])]
    end: bool,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// The counter, as `limits` shows it
    counter: String,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Close {
    /// The counter, as `limits` shows it
    counter: String,
    /// Number of the dead process, as `limits` shows it beside the node
    #[arg(long, value_name = "NUMBER")]
    process: u64,
    /// All that it has spent in this window, by the provider's records; money as $12 or 12.50, since 12 is
    /// twelve billionths of a US dollar. Everything else that it
    /// held is freed. A process that still runs would spend that a second time: make sure that it is dead
    #[arg(long, value_name = "AMOUNT")]
    spent: String,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Who you are, for the audit
    #[arg(long, env = "USER", value_name = "NAME", default_value = "")]
    by: String,
    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Thaw {
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    operator: Operator,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// At most so many records, the latest
    #[arg(long, default_value_t = 100)]
    most: usize,
    #[command(flatten)]
    operator: Operator,
}

impl Action {
    /// Does it.
    ///
    /// # Errors
    /// Why the control plane did not.
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::Raise(raise) => raise.run().await,
            Self::Reset(reset) => reset.run().await,
            Self::Close(close) => close.run().await,
            Self::Thaw(thaw) => thaw.run().await,
            Self::Audit(audit) => audit.run().await,
        }
    }
}

impl Raise {
    async fn run(self) -> Result<(), Error> {
        let limit = self.to.as_deref().map(|to| units("--to", to)).transpose()?;
        if limit == Some(0) {
            let hint = "--to: 0 raises nothing; to end a raise, use --end";
            return Err(Error::Config(hint.to_owned()));
        }
        let lasting = self.lasting.map(prost_types::Duration::try_from);
        let lasting = lasting
            .transpose()
            .map_err(|error| Error::Config(error.to_string()))?;
        let end = self.until.map(End::Until).or(lasting.map(End::Lasting));
        if limit.is_some() && end.is_none() {
            let hint = "say for how long: --for DURATION or --until TIME";
            return Err(Error::Config(hint.to_owned()));
        }
        let request = RaiseLimitRequest {
            counter: self.counter,
            limit: limit.unwrap_or(0),
            end,
            by: self.asker.by,
            reason: self.asker.reason,
        };
        let control = self.operator.connect().await?;
        let mut client = control.limits();
        let raised = control.remote.call(client.raise_limit(request)).await?;
        output::show(
            self.operator.output(),
            || json::of(&raised, "tollgate.admin.v1.RaiseLimitResponse"),
            || table(raised.limit.as_slice()),
        )
    }
}

impl Reset {
    async fn run(self) -> Result<(), Error> {
        let request = ResetCounterRequest {
            counter: self.counter,
            by: self.asker.by,
            reason: self.asker.reason,
        };
        let control = self.operator.connect().await?;
        let mut client = control.limits();
        let reset = control.remote.call(client.reset_counter(request)).await?;
        output::show(
            self.operator.output(),
            || json::of(&reset, "tollgate.admin.v1.ResetCounterResponse"),
            || table(reset.limit.as_slice()),
        )
    }
}

impl Close {
    async fn run(self) -> Result<(), Error> {
        let request = CloseShareRequest {
            spent: units("--spent", &self.spent)?,
            counter: self.counter,
            incarnation: self.process,
            by: self.by,
            reason: self.reason,
        };
        let control = self.operator.connect().await?;
        let mut client = control.limits();
        let closed = control.remote.call(client.close_share(request)).await?;
        output::show(
            self.operator.output(),
            || json::of(&closed, "tollgate.admin.v1.CloseShareResponse"),
            || table(closed.limit.as_slice()),
        )
    }
}

impl Thaw {
    async fn run(self) -> Result<(), Error> {
        let request = ThawLimitsRequest {
            by: self.asker.by,
            reason: self.asker.reason,
        };
        let control = self.operator.connect().await?;
        let mut client = control.limits();
        let thawed = control.remote.call(client.thaw_limits(request)).await?;
        output::show(
            self.operator.output(),
            || json::of(&thawed, "tollgate.admin.v1.ThawLimitsResponse"),
            || "units are handed out again\n".to_owned(),
        )
    }
}

impl Audit {
    async fn run(self) -> Result<(), Error> {
        let control = self.operator.connect().await?;
        let mut all = ListAuditResponse::default();
        loop {
            let request = ListAuditRequest {
                page_size: PAGE,
                page_token: std::mem::take(&mut all.next_page_token),
            };
            let mut client = control.limits();
            let page = control.remote.call(client.list_audit(request)).await?;
            all.records.extend(page.records);
            all.next_page_token = page.next_page_token;
            if all.next_page_token.is_empty() || all.records.len() >= self.most {
                break;
            }
        }
        all.records.truncate(self.most);
        output::show(
            self.operator.output(),
            || json::of(&all, "tollgate.admin.v1.ListAuditResponse"),
            || audit(&all.records),
        )
    }
}

fn audit(records: &[AuditRecord]) -> String {
    if records.is_empty() {
        return "no operator has done anything to a limit\n".to_owned();
    }
    let mut table = Table::new(["AT", "BY", "ACTION", "COUNTER", "DETAIL", "REASON"]);
    for record in records {
        let at = record.at.map_or_else(String::new, |at| at.to_string());
        let doubt = if record.done {
            ""
        } else {
            " (perhaps not done)"
        };
        table.row([
            at,
            record.by.clone(),
            format!("{}{doubt}", record.action),
            record.counter.clone(),
            record.detail.clone(),
            record.reason.clone(),
        ]);
    }
    table.render()
}

/// An amount as people write it: a whole number, or US dollars with a point. Dollars are told from counts by the
/// point or a `$`, so that `2` is never two billion units by mistake.
fn units(flag: &str, text: &str) -> Result<u64, Error> {
    let wrong = || {
        let hint = "write a whole number of units, or US dollars such as `$12`, `12.50` or `0.0`";
        Error::Config(format!("{flag}: {text:?} is not an amount: {hint}"))
    };
    let (dollars, number) = match text.strip_prefix('$') {
        Some(number) => (true, number),
        None => (false, text),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some(parts) => parts,
        None if dollars => (number, "0"),
        None => return text.parse().map_err(|_| wrong()),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return Err(wrong());
    }
    let billionths = format!("{whole}{fraction:0<9}");
    billionths.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_units_or_dollars() {
        for (text, expected) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("0.0", Some(0)),
            ("12.5", Some(12_500_000_000)),
            ("$12", Some(12_000_000_000)),
            ("$0.5", Some(500_000_000)),
            ("$", None),
            ("0.000000001", Some(1)),
            ("-1", None),
            ("1.", None),
            (".5", None),
            ("1.0000000001", None),
            ("99999999999.0", None),
        ] {
            assert_eq!(units("--to", text).ok(), expected, "{text}");
        }
    }
}
