//! `LimitService`: shows the live state of limits, and lets operators intervene.
//!
//! Only the owner of a counter knows its state and may change it, so what is asked of another replica is handed on to
//! the owner, and whoever is asked for all counters asks all owners.

mod shown;

use std::time::Duration;

use tokio::time::timeout;
use tollgate_proto::admin::v1::limit_service_client::LimitServiceClient;
use tollgate_proto::admin::v1::limit_service_server::LimitService;
use tollgate_proto::admin::v1::raise_limit_request::End;
use tollgate_proto::admin::v1::{
    CloseShareRequest, CloseShareResponse, LimitState, ListAuditRequest, ListAuditResponse,
    ListLimitsRequest, ListLimitsResponse, RaiseLimitRequest, RaiseLimitResponse,
    ResetCounterRequest, ResetCounterResponse, ThawLimitsRequest, ThawLimitsResponse,
};
use tollgate_quota::owner::{CounterState, Holding, Raise};
use tollgate_quota::{Close, Counter, Incarnation, Kind, OwnerTime, Window};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use self::shown::{Subject, subject};
use crate::audit::{self, Asker};
use crate::clock;
use crate::error::{Error, Result};
use crate::owner::Handle;
use crate::ownership::Replica;
use crate::page;
use crate::peers::{self, Peers};
use crate::snapshot::{self, Current};
use crate::store::SharedStore;

/// How long a change may take to become durable, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// No limit is raised for longer: what is for ever belongs into policy.
const LONGEST_RAISE_MS: u64 = 366 * 86_400_000;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    owner: Handle,
    current: Current,
    peers: Peers,
    store: SharedStore,
}

impl Service {
    pub(crate) fn new(owner: Handle, current: Current, peers: Peers, store: SharedStore) -> Self {
        Self {
            owner,
            current,
            peers,
            store,
        }
    }
}

#[tonic::async_trait]
impl LimitService for Service {
    async fn list_limits(
        &self,
        request: Request<ListLimitsRequest>,
    ) -> Result<Response<ListLimitsResponse>, Status> {
        let forwarded = peers::is_forwarded(request.metadata());
        let asked = request.into_inner();
        let mut all = self.list(&asked).await?;
        if !forwarded {
            for owner in self.owner.others()? {
                let there = async |mut owner: Client, request| owner.list_limits(request).await;
                add(
                    &mut all,
                    self.ask(&owner, asked.clone(), there).await?.into_inner(),
                );
            }
            all.limits.sort_by(|a, b| a.name.cmp(&b.name));
            cut(&mut all, page::size(asked.page_size)?);
        }
        Ok(Response::new(all))
    }

    async fn close_share(
        &self,
        request: Request<CloseShareRequest>,
    ) -> Result<Response<CloseShareResponse>, Status> {
        let there = async |mut owner: Client, request| owner.close_share(request).await;
        self.at_owner(request, async |asked| self.close(asked).await, there)
            .await
    }

    async fn raise_limit(
        &self,
        request: Request<RaiseLimitRequest>,
    ) -> Result<Response<RaiseLimitResponse>, Status> {
        let there = async |mut owner: Client, request| owner.raise_limit(request).await;
        self.at_owner(request, async |asked| self.raise(asked).await, there)
            .await
    }

    async fn reset_counter(
        &self,
        request: Request<ResetCounterRequest>,
    ) -> Result<Response<ResetCounterResponse>, Status> {
        let there = async |mut owner: Client, request| owner.reset_counter(request).await;
        self.at_owner(request, async |asked| self.reset(asked).await, there)
            .await
    }

    async fn thaw_limits(
        &self,
        request: Request<ThawLimitsRequest>,
    ) -> Result<Response<ThawLimitsResponse>, Status> {
        let there = async |mut owner: Client, request| owner.thaw_limits(request).await;
        self.at_owner(request, async |asked| self.thaw(asked).await, there)
            .await
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let (records, next) = audit::list(&self.store, &request.page_token, size).await?;
        Ok(Response::new(ListAuditResponse {
            records,
            next_page_token: next.unwrap_or_default(),
        }))
    }
}

type Client = LimitServiceClient<Channel>;

impl Service {
    /// Answers here, or has the owner answer where that is another replica.
    async fn at_owner<Q: Clone, A>(
        &self,
        request: Request<Q>,
        here: impl AsyncFnOnce(Q) -> Result<A>,
        there: impl AsyncFnOnce(Client, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<Response<A>, Status> {
        let forwarded = peers::is_forwarded(request.metadata());
        let asked = request.into_inner();
        match here(asked.clone()).await {
            Err(Error::NotOwner(owner)) if !forwarded => self.ask(&owner, asked, there).await,
            answer => Ok(Response::new(answer?)),
        }
    }

    /// Has another replica answer.
    async fn ask<Q, A>(
        &self,
        owner: &Replica,
        asked: Q,
        there: impl AsyncFnOnce(Client, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<Response<A>, Status> {
        let answer = there(self.peers.limits(owner)?, self.peers.request(asked)).await;
        answer.map_err(|status| match std::error::Error::source(&status) {
            // Made on this side: the connection failed.
            Some(_) => {
                Error::Busy("the control replica that owns the limits cannot be reached").into()
            }
            None => status,
        })
    }

    /// Lists the counters of this replica.
    async fn list(&self, request: &ListLimitsRequest) -> Result<ListLimitsResponse> {
        let size = page::size(request.page_size)?;
        let snapshot = snapshot::now(&self.current)?;
        let mut states = self.owner.counters().await?;
        states.retain(|state| {
            let wanted = request.limit.is_empty() || state.counter.limit() == request.limit;
            wanted && state.counter.as_str() > request.page_token.as_str()
        });
        states.sort_by(|a, b| a.counter.as_str().cmp(b.counter.as_str()));
        let more = states.len() > size;
        states.truncate(size);
        let last = states.last().filter(|_| more);
        let frozen = self.owner.frozen_since();
        Ok(ListLimitsResponse {
            frozen_since: frozen.map(clock::timestamp),
            next_page_token: last.map_or_else(String::new, |state| state.counter.to_string()),
            limits: states
                .iter()
                .map(|state| shown::state(state, &snapshot))
                .collect(),
        })
    }

    async fn close(&self, request: CloseShareRequest) -> Result<CloseShareResponse> {
        let of = Incarnation(request.incarnation);
        let Subject {
            counter,
            label,
            unit,
            ..
        } = subject(&self.current, &request.counter)?;
        self.owner.check(&counter)?;
        let (state, holding) = self.share(&counter, of).await?;
        if state.books.is_none() {
            let hint =
                "the counter is kept by a mark: what is held is given up when the window ends";
            return Err(Error::NotPossible(hint.to_owned()));
        }
        if holding.alive {
            let hint = "the process is connected: end it first, and it gives back what it holds";
            return Err(Error::NotPossible(hint.to_owned()));
        }
        let close = Close {
            incarnation: of,
            counter: counter.clone(),
            window: state.window.map_or(Window(0), |(window, _, _)| window),
            mark: request.spent,
            settled: 0,
        };
        // Older clients do not say who asks.
        let or = |text: String| {
            if text.is_empty() {
                "not said".to_owned()
            } else {
                text
            }
        };
        let asker = Asker::new(&or(request.by), &or(request.reason))?;
        let spent = unit.figure(request.spent);
        let detail = format!("process {} at {spent}", request.incarnation);
        let record = asker.record("close", &label, detail)?;
        record.announce(&self.store).await?;
        info!(%counter, incarnation = of.0, spent = request.spent, "an operator closes a share");
        self.owner.release(close).await?;
        let most = holding.spent.max(request.spent) - holding.spent;
        let closed = |state: &CounterState| {
            let mut shares = state.nodes.iter().filter(|share| share.incarnation == of);
            !state.pending && shares.any(|share| share.closed && share.suspense <= most)
        };
        let state = self.wait_for(&counter, closed).await?;
        self.note_done(&record).await;
        Ok(CloseShareResponse {
            limit: Some(self.shown(&state)?),
        })
    }

    async fn raise(&self, request: RaiseLimitRequest) -> Result<RaiseLimitResponse> {
        let asker = Asker::new(&request.by, &request.reason)?;
        let subject = subject(&self.current, &request.counter)?;
        let raise = match request.limit {
            0 => None,
            units => Some(Raise {
                units: subject.raised_to(units)?,
                until: until(request.end)?,
            }),
        };
        let Subject {
            counter,
            label,
            unit,
            ..
        } = subject;
        let detail = match raise {
            Some(raise) => {
                let until = clock::timestamp(raise.until.0);
                format!("to {} until {until}", unit.figure(raise.units))
            }
            None => "ended".to_owned(),
        };
        info!(%counter, detail, "an operator raises a limit");
        let record = asker.record("raise", &label, detail)?;
        self.owner.raise(counter.clone(), raise, record).await?;
        let state = self.state(&counter).await?;
        let shown = state.map(|state| self.shown(&state)).transpose()?;
        Ok(RaiseLimitResponse { limit: shown })
    }

    async fn reset(&self, request: ResetCounterRequest) -> Result<ResetCounterResponse> {
        let asker = Asker::new(&request.by, &request.reason)?;
        let Subject {
            counter,
            label,
            unit,
            ..
        } = subject(&self.current, &request.counter)?;
        self.owner.check(&counter)?;
        if counter.kind() == Kind::Concurrent {
            let hint = "slots are held and not spent: they come back when requests end, and those \
                        of a dead process when its share is closed";
            return Err(Error::NotPossible(hint.to_owned()));
        }
        let spent = self.state(&counter).await?.map_or(0, |state| state.spent);
        let detail = format!("forgives {}", unit.figure(spent));
        let record = asker.record("reset", &label, detail)?;
        record.announce(&self.store).await?;
        info!(%counter, spent, "an operator resets a counter");
        self.owner.reset(counter.clone()).await?;
        let state = self.wait_for(&counter, |state| !state.pending).await?;
        self.note_done(&record).await;
        Ok(ResetCounterResponse {
            limit: Some(self.shown(&state)?),
        })
    }

    async fn thaw(&self, request: ThawLimitsRequest) -> Result<ThawLimitsResponse> {
        let asker = Asker::new(&request.by, &request.reason)?;
        info!("an operator thaws quota");
        self.owner
            .thaw(asker.record("thaw", "", String::new())?)
            .await?;
        Ok(ThawLimitsResponse {})
    }

    /// Notes in the audit that something is done. It is, whether or not that can be noted.
    async fn note_done(&self, record: &audit::Record) {
        if let Err(error) = record.done(&self.store).await {
            warn!(%error, "cannot note in the audit that this was done");
        }
    }

    /// Waits until a change of a counter is in force and durable.
    async fn wait_for(
        &self,
        counter: &Counter,
        done: impl Fn(&CounterState) -> bool + Send,
    ) -> Result<CounterState> {
        let seen = async {
            loop {
                match self.state(counter).await? {
                    Some(state) if done(&state) => return Ok(state),
                    Some(_) | None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        let late = |_| Error::Busy("this was asked for, and is not in force yet");
        timeout(PATIENCE, seen).await.map_err(late)?
    }

    async fn state(&self, counter: &Counter) -> Result<Option<CounterState>> {
        let states = self.owner.counters().await?;
        Ok(states.into_iter().find(|state| state.counter == *counter))
    }

    /// A counter, and the share of a process.
    async fn share(&self, counter: &Counter, of: Incarnation) -> Result<(CounterState, Holding)> {
        let not_found = |what, name: String| Error::NotFound { what, name };
        let state = self.state(counter).await?;
        let state = state.ok_or_else(|| not_found("counter in use called", counter.to_string()))?;
        let holding = state.nodes.iter().find(|node| node.incarnation == of);
        let holding = holding.cloned();
        let holding = holding.ok_or_else(|| not_found("share of process", of.0.to_string()))?;
        Ok((state, holding))
    }

    fn shown(&self, state: &CounterState) -> Result<LimitState> {
        Ok(shown::state(state, &*snapshot::now(&self.current)?))
    }
}

/// Adds what another replica lists. More may follow there than it says.
fn add(all: &mut ListLimitsResponse, others: ListLimitsResponse) {
    all.limits.extend(others.limits);
    if all.next_page_token.is_empty() {
        all.next_page_token = others.next_page_token;
    }
    all.frozen_since = all.frozen_since.or(others.frozen_since);
}

/// Keeps one page of what several replicas have listed, each as much as that.
fn cut(all: &mut ListLimitsResponse, size: usize) {
    if all.limits.len() <= size && all.next_page_token.is_empty() {
        return;
    }
    all.limits.truncate(size);
    let last = all.limits.last().map(|limit| limit.name.clone());
    all.next_page_token = last.unwrap_or_default();
}

/// Until when a limit is raised.
fn until(end: Option<End>) -> Result<OwnerTime> {
    let now = clock::wall_ms();
    let (field, at) = match end {
        Some(End::Until(time)) => ("until", clock::unix_ms(time).unwrap_or(0)),
        Some(End::Lasting(duration)) => {
            let lasting = Duration::try_from(duration).unwrap_or_default();
            ("lasting", now.saturating_add(clock::millis(lasting)))
        }
        None => ("until", 0),
    };
    if at <= now {
        let message = "is not in the future: say when policy's limit is to hold again";
        return Err(Error::field(field, message));
    }
    if at > now + LONGEST_RAISE_MS {
        let message = "is more than a year away: change the policy instead";
        return Err(Error::field(field, message));
    }
    Ok(OwnerTime(at))
}
