//! Reads what the oracle judges by: the provider's ledger, and the nodes' logs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::fleet::Fleet;
use super::limits::{Cell, Kind, LIMITS, Model, Unit};
use super::member::Member;
use super::oracle::{Admitted, Arrival};
use crate::process::get;
use crate::provider::{Entry, Outcome};

/// Entries of the ledger asked for at once.
const PAGE: usize = 10_000;

/// Collects it, piece by piece while the run goes on.
#[derive(Debug)]
pub(super) struct Collector {
    /// Counters by their labels in the logs.
    cells: HashMap<String, Cell>,
    next_entry: u64,
    /// Bytes of each node's log that have been read.
    read: HashMap<Member, u64>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) admitted: Admitted,
    /// The most that was reserved of each limit for one request, in the order of [`LIMITS`].
    pub(super) reserved: [u64; LIMITS.len()],
    /// Requests that the nodes logged as admitted.
    pub(super) logged: u64,
}

/// What is read of a request's line in a node's log.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    message: &'a str,
    admitted: Option<bool>,
    #[serde(borrow)]
    limits: Option<&'a str>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Collector {
    /// One that knows the keys' identifiers.
    pub(super) fn new(keys: &[String]) -> Self {
        Self {
            cells: Cell::all().map(|cell| (cell.label(keys), cell)).collect(),
            next_entry: 0,
            read: HashMap::new(),
            arrivals: Vec::new(),
            admitted: Admitted::new(),
            reserved: [0; LIMITS.len()],
            logged: 0,
        }
    }

    /// Reads on. Requests that have not ended are left for the next time.
    pub(super) async fn collect(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        while self.read_ledger().await? {}
        for node in Member::nodes() {
            self.read_log(node, &fleet.log(node))
                .with_context(|| format!("read the log of {node}"))?;
        }
        Ok(())
    }

    /// Reads a page; whether another may follow.
    async fn read_ledger(&mut self) -> anyhow::Result<bool> {
        let provider = Member::Provider.serves_at();
        let from = self.next_entry;
        let url = format!("http://{provider}/_ledger?from={from}&most={PAGE}");
        let (status, body) = get(&url).await.context("read the provider's ledger")?;
        ensure!(status == 200, "{url}: {status} {body:.200}");
        let page: Vec<Entry> = serde_json::from_str(&body).context("read a page of the ledger")?;
        let whole = page.len() == PAGE;
        for entry in page {
            if entry.outcome == Outcome::InFlight {
                return Ok(false);
            }
            // Entries of one moment may be in another order, but none may be missing.
            self.next_entry = self.next_entry.max(entry.seq + 1);
            self.arrivals.push(arrival(&entry)?);
        }
        let counted = self.arrivals.len() as u64;
        ensure!(
            self.next_entry == counted,
            "the ledger numbers {} requests and shows {counted}",
            self.next_entry
        );
        Ok(whole)
    }

    fn read_log(&mut self, node: Member, path: &Path) -> anyhow::Result<()> {
        let mut file = File::open(path)?;
        let begin = self.read.get(&node).copied().unwrap_or(0);
        file.seek(SeekFrom::Start(begin))?;
        let mut reader = BufReader::new(file);
        let (mut line, mut at) = (Vec::new(), begin);
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            at += length as u64;
            // What is no JSON is a ready line, or was cut short by a kill.
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(&line) {
                self.admission(&line)?;
            }
        }
        self.read.insert(node, at);
        Ok(())
    }

    fn admission(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        if line.message != "request" || line.admitted != Some(true) {
            return Ok(());
        }
        self.logged += 1;
        let tokens = (
            line.input_tokens.unwrap_or(0),
            line.output_tokens.unwrap_or(0),
        );
        for label in line.limits.unwrap_or_default().split_whitespace() {
            let (cell, window, reserved) = self.taken(label)?;
            let most = &mut self.reserved[cell.limit];
            *most = reserved.max(*most);
            let Some(window) = window else { continue };
            let units = match cell.rule().unit {
                Unit::Requests | Unit::Slots => reserved,
                // What was reserved beyond what was used went back and could be used again.
                unit @ (Unit::Tokens | Unit::Cost) => unit.of(tokens),
            };
            *self.admitted.entry((cell, window)).or_default() += units;
        }
        Ok(())
    }

    /// Reads `key-requests/key=k1@29384756:1`: the counter, its window if it has windows of the run, the units.
    fn taken(&self, label: &str) -> anyhow::Result<(Cell, Option<u64>, u64)> {
        let unreadable = || format!("read the label `{label}`");
        let (counter, rest) = label.rsplit_once('@').with_context(unreadable)?;
        let (window, units) = rest.split_once(':').with_context(unreadable)?;
        let cell = self.cells.get(counter).with_context(unreadable)?;
        let window = match cell.rule().kind {
            Kind::Fixed => Some(window.parse().with_context(unreadable)?),
            Kind::Sliding(_) | Kind::Bucket | Kind::Month | Kind::Endless | Kind::Slots => None,
        };
        Ok((*cell, window, units.parse().with_context(unreadable)?))
    }
}

/// A request as the oracle sees it.
fn arrival(entry: &Entry) -> anyhow::Result<Arrival> {
    let key = entry.nonce.parse();
    let model = Model::of_upstream(&entry.model);
    Ok(Arrival {
        at_ms: entry.arrived_ms,
        until_ms: entry.ended_ms.context("it has ended")?,
        broken_off: entry.outcome == Outcome::Cancelled,
        key: key.with_context(|| format!("the nonce `{}` is no key's", entry.nonce))?,
        model: model.with_context(|| format!("nobody asks for `{}`", entry.model))?,
        tokens: (entry.prompt_tokens, entry.completion_tokens),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admissions_are_read_from_lines_and_tokens_are_what_was_used() {
        let keys: Vec<String> = (0..super::super::limits::KEYS)
            .map(|n| format!("k{n}"))
            .collect();
        let mut collector = Collector::new(&keys);
        let line = r#"{"message":"request","admitted":true,"input_tokens":11,"output_tokens":8,
            "limits":"key-requests/key=k3@77:1 team-tokens/team=chaos/team1@77:40 key-sliding/key=k3@sliding:1"}"#;
        let refused =
            r#"{"message":"request","admitted":false,"limits":"key-requests/key=k3@77:1"}"#;
        for line in [line, line, refused] {
            let line = serde_json::from_str(line).unwrap();
            collector.admission(&line).unwrap();
        }
        let expected = Admitted::from([((Cell::of(0, 3), 77), 2), ((Cell::of(2, 3), 77), 38)]);
        assert_eq!(collector.admitted, expected);
        assert_eq!(collector.logged, 2);
        assert_eq!(collector.reserved[2], 40);
        let strange = Line {
            message: "request",
            admitted: Some(true),
            limits: Some("nobody@1:1"),
            input_tokens: None,
            output_tokens: None,
        };
        assert!(collector.admission(&strange).is_err());
    }
}
