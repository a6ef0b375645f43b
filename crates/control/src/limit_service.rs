//! `LimitService`: shows the live state of limits.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::timeout;
use tollgate_proto::admin::v1::limit_service_server::LimitService;
use tollgate_proto::admin::v1::{
    CloseShareRequest, CloseShareResponse, LimitState, ListLimitsRequest, ListLimitsResponse,
    NodeShare,
};
use tollgate_quota::owner::{Books, CounterState, Holding};
use tollgate_quota::{Close, Counter, Incarnation, Window};
use tonic::{Request, Response, Status};
use tracing::info;

use crate::clock;
use crate::error::Error;
use crate::owner::Handle;
use crate::page;
use crate::snapshot::{self, Current, Snapshot};

/// How long a closing may take to become durable, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    owner: Handle,
    current: Current,
}

impl Service {
    pub(crate) fn new(owner: Handle, current: Current) -> Self {
        Self { owner, current }
    }
}

#[tonic::async_trait]
impl LimitService for Service {
    async fn list_limits(
        &self,
        request: Request<ListLimitsRequest>,
    ) -> Result<Response<ListLimitsResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let snapshot = snapshot::now(&self.current)?;
        let units = units(&snapshot);
        let mut states = self.owner.counters().await?;
        states.retain(|state| {
            let wanted = request.limit.is_empty() || state.counter.limit() == request.limit;
            wanted && state.counter.as_str() > request.page_token.as_str()
        });
        states.sort_by(|a, b| a.counter.as_str().cmp(b.counter.as_str()));
        let more = states.len() > size;
        states.truncate(size);
        let last = states.last().filter(|_| more);
        Ok(Response::new(ListLimitsResponse {
            next_page_token: last.map_or_else(String::new, |state| state.counter.to_string()),
            limits: states.iter().map(|state| shown(state, &units)).collect(),
        }))
    }

    async fn close_share(
        &self,
        request: Request<CloseShareRequest>,
    ) -> Result<Response<CloseShareResponse>, Status> {
        let request = request.into_inner();
        let of = Incarnation(request.incarnation);
        let (state, holding) = self.find(&request.counter, of).await?;
        if state.books.is_none() {
            let hint =
                "its counter is kept by a mark: what is held is given up when the window ends";
            return Err(Error::NotClosable(hint).into());
        }
        if holding.alive {
            let hint = "the process is connected: end it first, and it gives back what it holds";
            return Err(Error::NotClosable(hint).into());
        }
        let close = Close {
            incarnation: of,
            counter: state.counter.clone(),
            window: state.window.map_or(Window(0), |(window, _, _)| window),
            mark: request.spent,
            settled: 0,
        };
        info!(counter = %close.counter, incarnation = of.0, spent = request.spent, "an operator closes a share");
        self.owner.release(close).await?;
        let closed = async {
            loop {
                let (state, holding) = self.find(&request.counter, of).await?;
                let most = holding.spent.max(request.spent);
                if holding.closed && holding.suspense <= most - holding.spent {
                    return Ok::<_, Error>(state);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let state = timeout(PATIENCE, closed)
            .await
            .map_err(|_| Error::Busy("the share is not closed yet"))??;
        let snapshot = snapshot::now(&self.current)?;
        let limit = Some(shown(&state, &units(&snapshot)));
        Ok(Response::new(CloseShareResponse { limit }))
    }
}

impl Service {
    /// A counter, by the name that operators see, and the share of a process.
    async fn find(&self, counter: &str, of: Incarnation) -> Result<(CounterState, Holding), Error> {
        let states = self.owner.counters().await?;
        let not_found = |what, name: String| Error::NotFound { what, name };
        let state = states
            .into_iter()
            .find(|state| label(&state.counter) == counter)
            .ok_or_else(|| not_found("counter", counter.to_owned()))?;
        let holding = state
            .nodes
            .iter()
            .find(|node| node.incarnation == of)
            .cloned();
        let holding = holding.ok_or_else(|| not_found("share of process", of.0.to_string()))?;
        Ok((state, holding))
    }
}

/// The unit of each limit.
fn units(snapshot: &Snapshot) -> HashMap<&str, &str> {
    let limits = snapshot.table.limits().iter();
    limits
        .map(|limit| (&*limit.name, limit.measure.unit.as_str()))
        .collect()
}

fn shown(state: &CounterState, units: &HashMap<&str, &str>) -> LimitState {
    let name = state.counter.limit();
    // What never ends has no end to show.
    let window = state.window.filter(|_| state.counter.kind().has_windows());
    let books = state.books.unwrap_or_else(|| books_of_mark(state));
    LimitState {
        limit_name: name.to_owned(),
        counter: label(&state.counter),
        unit: units.get(name).copied().unwrap_or_default().to_owned(),
        limit: state.limit,
        spent: books.settled,
        outstanding: books.outstanding,
        free: books.free,
        window_start: window.map(|(_, start, _)| clock::timestamp(start.0)),
        window_end: window.map(|(_, _, end)| clock::timestamp(end.0)),
        exhausted: state.exhausted,
        nodes: state.nodes.iter().map(share).collect(),
        kind: state.counter.kind().name().to_owned(),
        per_request: state.per_request,
        suspense: books.suspense,
        debt: books.debt,
    }
}

/// The books of a counter that is not kept by rows. What was held before a failover and cannot come back in this
/// window counts as outstanding.
fn books_of_mark(state: &CounterState) -> Books {
    let settled = state.spent;
    // What no owner has charged yet can be handed out as well as what is charged and held by nobody.
    let free = state.free + state.limit.saturating_sub(state.hwm);
    Books {
        settled,
        free,
        outstanding: state.limit.saturating_sub(free.saturating_add(settled)),
        ..Books::default()
    }
}

/// The limit's name and the values of its dimensions. Unit and window, which are part of a counter's name, are
/// shown beside it.
fn label(counter: &Counter) -> String {
    match counter.subject().split_once('/') {
        Some((_, dimensions)) => format!("{}/{dimensions}", counter.limit()),
        None => counter.limit().to_owned(),
    }
}

fn share(holding: &Holding) -> NodeShare {
    NodeShare {
        node: holding.node.to_string(),
        incarnation: holding.incarnation.0,
        granted: holding.granted,
        returned: holding.returned,
        spent: holding.spent,
        waiting: holding.waiting,
        freed: holding.freed,
        suspense: holding.suspense,
        closed: holding.closed,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_quota::Kind;

    use super::*;

    const MINUTE: Kind = Kind::Fixed { window_ms: 60_000 };

    #[test]
    fn counters_are_shown_without_unit_and_window() {
        for (limit, subject, shown) in [
            ("whole-app", "tokens=3600s", "whole-app"),
            ("per-key", "requests=60s/key=k1", "per-key/key=k1"),
            (
                "both",
                "requests=60s/team=acme/search/model=chat",
                "both/team=acme/search/model=chat",
            ),
        ] {
            assert_eq!(label(&Counter::new(limit, MINUTE, subject).unwrap()), shown);
        }
    }
}
