//! What the nodes' logs say of each request.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// One request, as its log line tells.
#[derive(Debug, Clone)]
pub struct Request {
    /// `OK`, or the reason of its error.
    pub status: String,
    /// Whether it counts against limits.
    pub admitted: bool,
    /// What it took from each limit.
    pub limits: Vec<Taken>,
    /// Tokens charged, input and output.
    pub tokens: u64,
    /// Billionths of a US dollar.
    pub cost: u64,
    /// The limits in shadow mode that would have refused it.
    pub would_refuse: String,
    /// Each attempt, as `deployment:outcome`.
    pub attempts: String,
    /// What was wrong with those that failed.
    pub failures: String,
    /// What the provider that answered calls the request.
    pub provider_request: String,
}

/// Units taken from one counter in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The limit's name and the values of its dimensions.
    pub counter: String,
    /// Number of the window; 0 for kinds without windows.
    pub window: u64,
    /// Units reserved.
    pub units: u64,
}

/// All requests in a node's log.
pub fn requests(log: &Path) -> anyhow::Result<Vec<Request>> {
    let text = std::fs::read(log).with_context(|| format!("read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    // A line without its end is still being written.
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let values = whole
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    values
        .filter(|line: &Value| line["message"] == "request")
        .map(|line| request(&line).with_context(|| format!("read {line}")))
        .collect()
}

fn request(line: &Value) -> anyhow::Result<Request> {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| line[name].as_u64().unwrap_or_default();
    Ok(Request {
        status: text("status"),
        admitted: line["admitted"].as_bool().context("admitted")?,
        limits: text("limits")
            .split_whitespace()
            .map(taken)
            .collect::<anyhow::Result<_>>()?,
        tokens: number("input_tokens") + number("output_tokens"),
        cost: number("cost_nano_usd"),
        would_refuse: text("would_refuse"),
        attempts: text("attempts"),
        failures: text("failures"),
        provider_request: text("provider_request"),
    })
}

/// Reads `per-key/key=k1@29384756:1`.
fn taken(label: &str) -> anyhow::Result<Taken> {
    let (counter, rest) = label.rsplit_once('@').context("`@` in a label")?;
    let (window, units) = rest.split_once(':').context("`:` in a label")?;
    Ok(Taken {
        counter: counter.to_owned(),
        // Kinds without windows show their names.
        window: window.parse().unwrap_or(0),
        units: units.parse()?,
    })
}

/// Units that admitted requests took, by counter and window.
pub fn units_by_window(requests: &[Request]) -> BTreeMap<(String, u64), u64> {
    let mut sums = BTreeMap::new();
    let admitted = requests.iter().filter(|request| request.admitted);
    for taken in admitted.flat_map(|request| &request.limits) {
        let key = (taken.counter.clone(), taken.window);
        *sums.entry(key).or_default() += taken.units;
    }
    sums
}

/// Tokens charged to requests that took from `counter`, by window.
pub fn tokens_by_window(requests: &[Request], counter: &str) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for request in requests.iter().filter(|request| request.admitted) {
        for taken in request.limits.iter().filter(|t| t.counter == counter) {
            *sums.entry(taken.window).or_default() += request.tokens;
        }
    }
    sums
}
