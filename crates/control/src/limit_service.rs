//! `LimitService`: shows the live state of limits.

use std::collections::HashMap;

use tollgate_proto::admin::v1::limit_service_server::LimitService;
use tollgate_proto::admin::v1::{LimitState, ListLimitsRequest, ListLimitsResponse, NodeShare};
use tollgate_quota::owner::{CounterState, Holding};
use tollgate_quota::{Counter, Kind};
use tonic::{Request, Response, Status};

use crate::clock;
use crate::owner::Handle;
use crate::page;
use crate::snapshot::{self, Current};

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
        let limits = snapshot.table.limits().iter();
        let units: HashMap<&str, &str> = limits
            .map(|limit| (&*limit.name, limit.measure.unit.as_str()))
            .collect();
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
}

fn shown(state: &CounterState, units: &HashMap<&str, &str>) -> LimitState {
    let name = state.counter.limit();
    let spent = state.spent;
    let window = state.window.as_ref();
    // What no owner has charged yet can be handed out as well as what is charged and held by nobody.
    let free = state.free + state.limit.saturating_sub(state.hwm);
    LimitState {
        limit_name: name.to_owned(),
        counter: label(&state.counter),
        unit: units.get(name).copied().unwrap_or_default().to_owned(),
        limit: state.limit,
        spent,
        outstanding: state.limit.saturating_sub(free.saturating_add(spent)),
        free,
        window_start: window.map(|(_, start, _)| clock::timestamp(start.0)),
        window_end: window.map(|(_, _, end)| clock::timestamp(end.0)),
        exhausted: state.exhausted,
        nodes: state.nodes.iter().map(share).collect(),
        kind: kind(state.counter.kind()).to_owned(),
        per_request: state.per_request,
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Fixed { .. } => "fixed",
        Kind::Sliding { .. } => "sliding",
        Kind::Bucket { .. } => "bucket",
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
    }
}

#[cfg(test)]
mod tests {
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
