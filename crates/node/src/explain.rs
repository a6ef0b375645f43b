//! Why a request goes where it goes: for callers who wonder, of a request that they might send or of one they sent.
//!
//! It decides nothing by itself. The route is judged, deployments are looked at and drawn, and limits are looked into by
//! the same functions that a request is served with; here is only told what those saw. Nothing is taken from any limit
//! and no provider is asked.

mod brief;
mod candidates;
mod compact;
mod limits;

use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_policy::condition::Budget;
use tollgate_policy::table::{Model, Route, Shadow, Verdict};
use tollgate_proto::completion::v1 as wire;

use crate::app::Node;
use crate::asked::Asked;
use crate::complete::Call;
use crate::dispatch::Case;
use crate::error::Error;
use crate::grpc::encode::source;
use crate::permit::Needs;
use crate::plan::Plan;
use crate::prepared::Prepared;

pub(crate) use compact::compact;

/// Header, or metadata, by which callers ask why, with the value `1`; and by which they are told, in one line.
pub(crate) const HEADER: &str = "x-tollgate-explain";

/// Explains a request. `decode` is only called for a caller whose key is good.
///
/// # Errors
/// The key is not good, or the request is one that could not be answered.
pub(crate) async fn explain(
    node: &Node,
    call: Call<'_>,
    decode: impl FnOnce() -> Result<Asked, Error>,
) -> Result<wire::ExplainResponse, Error> {
    let revision = node.in_force()?;
    let known = node.keys.authenticate(call.authorization);
    let key = call.patience.bound(known).await?;
    key.admit()?;
    let request = Prepared::new(revision, key, decode()?)?;
    let plan = request.key.plan(&request.revision, &request.model)?;
    request.check_price(&plan)?;
    let needs = plan.needs(&request.revision, &request.model, &request.bounds);
    let case = Case::new(&node.limiter, &request, &plan)?;
    let explanation = wire::Explanation {
        pools: candidates::pools(&case, &needs, true),
        limits: limits::foreseen(&node.limiter, &plan, &needs),
        ..basis(&case, &plan, &needs)
    };
    let explanation = for_caller(explanation, &request);
    Ok(wire::ExplainResponse {
        model: request.model.name.to_string(),
        explanation: Some(explanation),
    })
}

/// Explains a request that its limits have just admitted. Whether providers have words for it shows when they are
/// asked.
pub(crate) fn admitted(case: &Case<'_>, plan: &Plan, needs: &Needs) -> wire::Explanation {
    let explanation = wire::Explanation {
        pools: candidates::pools(case, needs, false),
        limits: limits::admitted(case.limiter, plan, needs),
        ..basis(case, plan, needs)
    };
    for_caller(explanation, case.request)
}

/// As much of an explanation as the policy lets the caller know.
fn for_caller(explanation: wire::Explanation, request: &Prepared) -> wire::Explanation {
    let tier = request.key.tier.as_deref();
    if request.revision.table.explains_fully(tier) {
        explanation
    } else {
        brief::brief(explanation)
    }
}

/// Whether a caller wants to know why.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(HEADER).is_some_and(|value| value == "1")
}

/// Tells a caller why, in one line.
pub(crate) fn write(headers: &mut HeaderMap, explanation: Option<&wire::Explanation>) {
    let line = explanation.map(compact).map(HeaderValue::try_from);
    if let Some(Ok(line)) = line {
        headers.insert(HeaderName::from_static(HEADER), line);
    }
}

/// What is the same of requests that were sent and of others.
fn basis(case: &Case<'_>, plan: &Plan, needs: &Needs) -> wire::Explanation {
    let Prepared {
        revision,
        key,
        model,
        counted,
        bounds,
        ..
    } = case.request;
    let (caller, features) = (key.caller(), case.request.features(&case.budgets));
    let verdicts = model.judge(&caller, &features);
    let counts_money = plan.counts_money();
    wire::Explanation {
        policy_revision: revision.table.revision(),
        estimate: Some(wire::SizeEstimate {
            input_tokens: bounds.input,
            source: source(counted.told().1).into(),
            most_output_tokens: bounds.output,
            expected_output_tokens: case.wish.output,
            most_nano_usd: counts_money.then_some(needs.worst.cost),
            complexity: case.request.asked.complexity(),
        }),
        budgets: case.budgets.iter().map(budget).collect(),
        routes: routes(model, verdicts),
        on_cut: model.on_cut.as_str().to_owned(),
        shadow: case.route.shadow.as_ref().and_then(shadow),
        ..wire::Explanation::default()
    }
}

fn shadow(it: &Shadow) -> Option<wire::ShadowUse> {
    let pool = it.model.routes.first()?.pools.first()?;
    Some(wire::ShadowUse {
        pool: pool.name.to_string(),
        percent: it.percent,
        max_in_flight: it.max_in_flight,
    })
}

fn budget(it: &Budget) -> wire::BudgetUse {
    wire::BudgetUse {
        limit: it.limit.to_string(),
        used: it.used,
        pace: it.pace,
    }
}

/// The routes up to the one that serves.
fn routes(model: &Model, verdicts: impl Iterator<Item = Verdict>) -> Vec<wire::RouteVerdict> {
    let mut told = Vec::new();
    for ((index, Route { condition, .. }), verdict) in (0..).zip(&model.routes).zip(verdicts) {
        let serves = verdict == Verdict::Serves;
        told.push(wire::RouteVerdict {
            index,
            when: condition
                .as_ref()
                .map_or_else(String::new, |it| it.as_str().to_owned()),
            serves,
            undecided: match verdict {
                Verdict::Undecided(why) => why,
                Verdict::Serves | Verdict::Not => String::new(),
            },
        });
        if serves {
            break;
        }
    }
    told
}
