//! The books at rest: what `tollgate limits` says when nothing moves, against itself and against the nodes' logs.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::time::Instant;

use super::operator::{Counter, Operator};
use super::oracle::Admitted;
use super::stage::Cell;

/// Nodes give idle units back within some seconds; the books are at rest when this long nothing changed.
const AT_REST: Duration = Duration::from_millis(2_500);
const PATIENCE: Duration = Duration::from_secs(12);

/// The outcome.
#[derive(Debug, Default, Serialize)]
pub(super) struct Balance {
    /// Counters looked at.
    pub(super) counters: usize,
    /// What does not add up.
    pub(super) faults: Vec<String>,
}

/// Waits until no figure moves any more, and returns them.
pub(super) async fn at_rest(operator: &Operator) -> anyhow::Result<Vec<Counter>> {
    let begin = Instant::now();
    let mut last = operator.limits().await?;
    let mut since = Instant::now();
    while since.elapsed() < AT_REST {
        ensure!(
            begin.elapsed() < PATIENCE,
            "the limits' figures go on moving although nobody calls"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = operator.limits().await?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Compares the figures of a window in which no owner was replaced and no node crashed.
pub(super) fn compare(
    counters: &[Counter],
    cells: &HashMap<String, Cell>,
    admitted: &Admitted,
    window: u64,
) -> Balance {
    let mut balance = Balance::default();
    for counter in counters {
        let Some(cell) = cells.get(&counter.counter) else {
            continue;
        };
        balance.counters += 1;
        let logged = admitted.get(&(*cell, window)).copied().unwrap_or(0);
        for fault in faults(counter, logged) {
            balance.faults.push(format!("{}: {fault}", counter.counter));
        }
    }
    balance
}

fn faults(counter: &Counter, logged: u64) -> Vec<String> {
    let sum =
        |part: fn(&super::operator::Share) -> u64| counter.nodes.iter().map(part).sum::<u64>();
    let (granted, returned, spent) = (sum(|n| n.granted), sum(|n| n.returned), sum(|n| n.spent));
    let Counter {
        limit,
        outstanding,
        free,
        ..
    } = *counter;
    let mut faults = Vec::new();
    if granted != spent + returned + outstanding {
        faults.push(format!(
            "granted {granted} is not spent {spent} + returned {returned} + outstanding {outstanding}"
        ));
    }
    if limit != spent + outstanding + free {
        faults.push(format!(
            "limit {limit} is not spent {spent} + outstanding {outstanding} + free {free}"
        ));
    }
    if counter.spent != logged {
        faults.push(format!(
            "spent {} is not the {logged} that the nodes logged",
            counter.spent
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::operator::Share;
    use super::*;

    #[test]
    fn books_that_add_up_pass_and_each_way_of_not_adding_up_is_told() {
        let share = |granted, returned, spent| Share {
            granted,
            returned,
            spent,
        };
        let good = Counter {
            counter: "a".to_owned(),
            limit: 100,
            spent: 60,
            outstanding: 15,
            free: 25,
            nodes: vec![share(50, 10, 40), share(40, 5, 20)],
        };
        assert_eq!(faults(&good, 60), Vec::<String>::new());
        assert!(faults(&good, 61)[0].contains("nodes logged"));
        let lost = Counter {
            outstanding: 14,
            free: 26,
            ..good.clone()
        };
        assert!(faults(&lost, 60)[0].starts_with("granted 90"));
        let invented = Counter { free: 26, ..good };
        assert!(faults(&invented, 60)[0].starts_with("limit 100"));
    }
}
