//! The books at rest: what `tollgate limits` says when nothing moves, against itself, against the nodes' logs, and
//! against what the provider served.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::time::Instant;

use super::evidence::Collector;
use super::limits::{Cell, Kind};
use super::operator::{Counter, Operator, Share};
use super::oracle::Admitted;

/// Nodes tell what is spent within two seconds; the books are at rest when this long nothing was spent or lost.
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

/// The counters' figures at one time.
pub(super) type Figures = Vec<(Cell, Counter)>;
/// What the provider served of every counter, at one time.
pub(super) type AllServed = BTreeMap<Cell, Served>;

/// What the provider served of one counter.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Served {
    units: u64,
    /// What requests that were broken off were charged at most beyond what the provider says: their nodes do not
    /// know what became of them.
    doubt: u64,
}

/// What the provider served of every counter.
pub(super) fn served(collector: &Collector) -> AllServed {
    let of_cell = |cell: Cell| {
        let mut served = Served::default();
        for arrival in collector.arrivals.iter().filter(|a| a.counts_in(cell)) {
            served.units += cell.rule().unit.of(arrival.tokens);
            if arrival.broken_off {
                served.doubt += collector.reserved[cell.limit];
            }
        }
        (cell, served)
    };
    Cell::all().map(of_cell).collect()
}

/// Waits until nothing is spent of these counters, nor lost, and returns their figures. Idle units may still be on
/// their way back, which takes long: the figures add up at any time.
pub(super) async fn at_rest(
    operator: &Operator,
    cells: &HashMap<String, Cell>,
    kinds: &[Kind],
) -> anyhow::Result<Figures> {
    let look = async || -> anyhow::Result<Figures> {
        let counters = operator.limits().await?.into_iter();
        let known = counters.filter_map(|counter| Some((*cells.get(&counter.counter)?, counter)));
        Ok(known
            .filter(|(cell, _)| kinds.contains(&cell.rule().kind))
            .collect())
    };
    let begin = Instant::now();
    let mut last = look().await?;
    let mut since = Instant::now();
    while since.elapsed() < AT_REST {
        ensure!(
            begin.elapsed() < PATIENCE,
            "the limits' figures go on moving although nobody calls"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = look().await?;
        if spent(&now) != spent(&last) {
            since = Instant::now();
        }
        last = now;
    }
    Ok(last)
}

/// What each counter has lost for good.
fn spent(figures: &Figures) -> BTreeMap<Cell, [u64; 3]> {
    let of_counter = |(cell, it): &(Cell, Counter)| (*cell, [it.spent, it.suspense, it.debt]);
    figures.iter().map(of_counter).collect()
}

impl Balance {
    /// Compares the figures of a fixed window in which no owner was replaced and no node crashed.
    pub(super) fn window(
        &mut self,
        counters: &[(Cell, Counter)],
        admitted: &Admitted,
        window: u64,
    ) {
        for (cell, counter) in counters {
            let logged = admitted.get(&(*cell, window)).copied().unwrap_or(0);
            self.note(counter, of_window(counter, logged));
        }
    }

    /// Compares the figures of what is kept by rows, whatever has happened before.
    pub(super) fn rows(&mut self, counters: &[(Cell, Counter)], served: &AllServed) {
        for (cell, counter) in counters {
            let served = served.get(cell).copied().unwrap_or_default();
            let mut faults = of_rows(counter);
            if cell.rule().kind.is_budget() {
                faults.extend(of_budget(counter, served));
            }
            self.note(counter, faults);
        }
    }

    /// Compares what budgets have grown by with what the provider served meanwhile, while nothing went wrong.
    pub(super) fn growth(
        &mut self,
        (before, after): (&Figures, &Figures),
        (served_before, served_after): (&AllServed, &AllServed),
    ) {
        for (cell, counter) in after
            .iter()
            .filter(|(cell, _)| cell.rule().kind.is_budget())
        {
            let earlier = before.iter().find(|(other, _)| other == cell);
            let spent = earlier.map_or(0, |(_, counter)| counter.spent);
            let suspense = earlier.map_or(0, |(_, counter)| counter.suspense);
            let units = |served: &AllServed| served.get(cell).map_or(0, |s| s.units);
            let (grew, cost) = (
                counter.spent - spent,
                units(served_after) - units(served_before),
            );
            let mut faults = Vec::new();
            if grew != cost {
                faults.push(format!(
                    "it grew by {grew} while the provider served {cost}"
                ));
            }
            if counter.suspense != suspense {
                let now = counter.suspense;
                faults.push(format!("suspense went from {suspense} to {now} by itself"));
            }
            self.note(counter, faults);
        }
    }

    fn note(&mut self, counter: &Counter, faults: Vec<String>) {
        self.counters += 1;
        let told = |fault| format!("{}: {fault}", counter.counter);
        self.faults.extend(faults.into_iter().map(told));
    }
}

fn of_window(counter: &Counter, logged: u64) -> Vec<String> {
    let sum = |part: fn(&Share) -> u64| counter.nodes.iter().map(part).sum::<u64>();
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

fn of_rows(counter: &Counter) -> Vec<String> {
    let sum = |part: fn(&Share) -> u64| counter.nodes.iter().map(part).sum::<u64>();
    let Counter {
        limit,
        debt,
        spent,
        outstanding,
        suspense,
        free,
        ..
    } = *counter;
    let mut faults = Vec::new();
    if limit + debt != spent + outstanding + suspense + free {
        faults.push(format!(
            "limit {limit} + debt {debt} is not spent {spent} + outstanding {outstanding} + suspense {suspense} + free {free}"
        ));
    }
    let of_nodes = (sum(|n| n.spent), sum(|n| n.suspense));
    if of_nodes != (spent, suspense) {
        faults.push(format!(
            "spent and suspense {:?} are not the nodes' {of_nodes:?}",
            (spent, suspense)
        ));
    }
    let gone = |n: &&Share| n.returned + n.freed > n.granted;
    if counter.nodes.iter().any(|n| gone(&n)) {
        faults.push("more came back from a node than went there".to_owned());
    }
    faults
}

fn of_budget(counter: &Counter, served: Served) -> Vec<String> {
    let (spent, suspense) = (counter.spent, counter.suspense);
    let Served { units, doubt } = served;
    let mut faults = Vec::new();
    if units > spent + suspense {
        faults.push(format!(
            "the provider served {units}, which is more than spent {spent} + suspense {suspense}"
        ));
    }
    if spent > units + doubt {
        faults.push(format!(
            "spent {spent} is more than the {units} served and {doubt} in doubt"
        ));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(granted: u64, returned: u64, spent: u64) -> Share {
        Share {
            granted,
            returned,
            spent,
            freed: 0,
            suspense: 0,
        }
    }

    fn counter() -> Counter {
        Counter {
            counter: "a".to_owned(),
            limit: 100,
            spent: 60,
            outstanding: 15,
            free: 25,
            suspense: 0,
            debt: 0,
            nodes: vec![share(50, 10, 40), share(40, 5, 20)],
        }
    }

    #[test]
    fn books_that_add_up_pass_and_each_way_of_not_adding_up_is_told() {
        let good = counter();
        assert_eq!(of_window(&good, 60), Vec::<String>::new());
        assert!(of_window(&good, 61)[0].contains("nodes logged"));
        let lost = Counter {
            outstanding: 14,
            free: 26,
            ..good.clone()
        };
        assert!(of_window(&lost, 60)[0].starts_with("granted 90"));
        let invented = Counter { free: 26, ..good };
        assert!(of_window(&invented, 60)[0].starts_with("limit 100"));
    }

    #[test]
    fn rows_add_up_with_suspense_and_charge_what_was_served() {
        let mut dead = counter();
        (dead.suspense, dead.free) = (5, 20);
        dead.nodes[0].suspense = 5;
        assert_eq!(of_rows(&dead), Vec::<String>::new());
        let served = |units| Served { units, doubt: 3 };
        for units in [57, 60, 65] {
            assert_eq!(of_budget(&dead, served(units)), Vec::<String>::new());
        }
        assert!(of_budget(&dead, served(66))[0].starts_with("the provider served 66"));
        assert!(of_budget(&dead, served(56))[0].starts_with("spent 60"));
        dead.nodes[0].suspense = 4;
        assert!(of_rows(&dead)[0].starts_with("spent and suspense"));
        dead.free += 1;
        assert!(of_rows(&dead)[0].starts_with("limit 100 + debt 0"));
    }

    #[test]
    fn a_budget_grows_by_what_is_served() {
        let cell = Cell::of(6, 0);
        let then = vec![(cell, counter())];
        let mut now = then.clone();
        now[0].1.spent += 10;
        let served = |units| BTreeMap::from([(cell, Served { units, doubt: 0 })]);
        for (units, faults) in [(70, 0), (71, 1)] {
            let mut balance = Balance::default();
            balance.growth((&then, &now), (&served(60), &served(units)));
            assert_eq!((balance.counters, balance.faults.len()), (1, faults));
        }
    }
}
