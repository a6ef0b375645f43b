//! `tollgate explain`: what would become of a prompt, and why, without sending it.

use std::time::Duration;

use tollgate_proto::completion::v1::{
    CandidateState, CandidateVerdict, ExplainRequest, ExplainResponse, Explanation, LimitOutlook,
    LimitVerdict, SizeEstimate, UsageSource,
};

use super::limits::figure;
use crate::caller::{Caller, dollars};
use crate::error::Error;
use crate::prompt::{self, Prompt};
use crate::table::{Table, visible};
use crate::{duration, json, output};

/// Arguments of `tollgate explain`.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    prompt: Prompt,
    /// As if the answer were streamed
    #[arg(long, env = "TOLLGATE_STREAM")]
    stream: bool,
    #[command(flatten)]
    caller: Caller,
}

/// Asks a node and shows what it says.
///
/// # Errors
/// Why there is no answer: the key is not good, or the request is one that could not be answered.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let remote = arguments.caller.connect().await?;
    let request = ExplainRequest {
        request: Some(arguments.prompt.request(&remote).await?),
        stream: arguments.stream,
    };
    let explained = prompt::client(&remote).explain(request).await;
    let explained = explained
        .map_err(|status| remote.explain(&status))?
        .into_inner();
    output::show(
        arguments.caller.output(),
        || json::of(&explained, "tollgate.completion.v1.ExplainResponse"),
        || shown(&explained),
    )
}

fn shown(explained: &ExplainResponse) -> String {
    let unexplained = Explanation::default();
    let explanation = explained.explanation.as_ref().unwrap_or(&unexplained);
    let mut text = format!(
        "model {}, policy revision {}\n",
        visible(&explained.model),
        explanation.policy_revision
    );
    if let Some(size) = &explanation.estimate {
        text.push_str(&estimate(size));
    }
    for it in &explanation.budgets {
        let (name, used) = (visible(&it.limit), it.used * 100.0);
        text.push_str(&format!(
            "budget {name}: {used:.1}% used, at {:.2} times an even pace\n",
            it.pace
        ));
    }
    text.push_str(&settings(explanation));
    text.push('\n');
    text.push_str(&routes(explanation));
    text.push('\n');
    text.push_str(&candidates(explanation));
    text.push('\n');
    text.push_str(&limits(&explanation.limits));
    text
}

fn estimate(size: &SizeEstimate) -> String {
    let counted = match size.source() {
        UsageSource::Counted => "counted",
        UsageSource::Provider => "counted by the provider",
        UsageSource::Estimated | UsageSource::Unspecified => "estimated",
    };
    let money = size
        .most_nano_usd
        .map_or_else(String::new, |nanos| format!(", {} at most", usd(nanos)));
    format!(
        "{} input tokens ({counted}), {} output tokens at most, {} expected{money}; complexity {:.2}\n",
        size.input_tokens, size.most_output_tokens, size.expected_output_tokens, size.complexity
    )
}

/// What the policy has done with requests beside answering them.
fn settings(explanation: &Explanation) -> String {
    let mut text = String::new();
    match explanation.on_cut.as_str() {
        "" | "fail" => {}
        how => text.push_str(&format!("streams that break off are gone on with: {how}\n")),
    }
    if let Some(it) = &explanation.shadow {
        text.push_str(&format!(
            "{}% of the requests are copied to pool {}, {} at once at most\n",
            it.percent,
            visible(&it.pool),
            it.max_in_flight
        ));
    }
    if explanation.brief {
        text.push_str("brief: conditions, ceilings and the like are told to tiers with `explanations: full`\n");
    }
    text
}

fn routes(explanation: &Explanation) -> String {
    let mut table = Table::new(["ROUTE", "WHEN", "HOLDS"]);
    for route in &explanation.routes {
        let when = match route.when.as_str() {
            "" if explanation.brief => "(not told)",
            "" => "every request",
            when => when,
        };
        let holds = match (route.serves, route.undecided.as_str()) {
            (true, _) => "yes: it serves the request".to_owned(),
            (false, "") => "no".to_owned(),
            (false, why) => format!("no: it cannot be decided ({why})"),
        };
        table.row([route.index.to_string(), when.to_owned(), holds]);
    }
    table.render()
}

fn candidates(explanation: &Explanation) -> String {
    let mut table = Table::new([
        "POOL",
        "STRATEGY",
        "DEPLOYMENT",
        "FIRST",
        "STATE",
        "SCORE",
        "COST",
        "BUSY",
        "TOKENS",
        "WHY",
    ]);
    for pool in &explanation.pools {
        let name = match pool.after.as_slice() {
            [] => pool.pool.clone(),
            after => format!("{} (after {})", pool.pool, after.join(", ")),
        };
        for it in &pool.candidates {
            table.row([
                name.clone(),
                pool.strategy.clone(),
                format!("{}/{}", it.provider, it.deployment),
                format!("{:.1}%", it.chance * 100.0),
                short(it.state().as_str_name(), "CANDIDATE_STATE_"),
                it.score
                    .map_or_else(String::new, |score| format!("{score:.3}")),
                it.expected_nano_usd.map_or("unknown".to_owned(), usd),
                it.in_flight.to_string(),
                pace(it),
                why(it),
            ]);
        }
    }
    table.render()
}

/// Time to the first token, tokens per second after it, and what the prompt cache saves.
fn pace(it: &CandidateVerdict) -> String {
    let Some(first) = it.first_token.and_then(time) else {
        return String::new();
    };
    let each = it.per_token.and_then(time).map(|each| each.as_secs_f64());
    let rate = each.filter(|each| *each > 0.0);
    let rate = rate.map_or_else(String::new, |each| format!(", then {:.0}/s", 1.0 / each));
    let saving = it.cache_saving.map_or_else(String::new, |saving| {
        format!(", cache saves {:.0}%", saving * 100.0)
    });
    format!("{}{rate}{saving}", duration::show(first))
}

/// Why a deployment is not as others.
fn why(it: &CandidateVerdict) -> String {
    let whose = if it.of_provider { "provider: " } else { "" };
    let wait = it.wait.and_then(time);
    let wait = wait.map_or_else(String::new, |wait| {
        format!(", for {}", duration::show(wait))
    });
    let share = match it.state() {
        CandidateState::Returning => format!(", at {:.0}% of its share", it.share * 100.0),
        CandidateState::Unspecified
        | CandidateState::Ready
        | CandidateState::Probed
        | CandidateState::Ejected
        | CandidateState::Cooling
        | CandidateState::Full
        | CandidateState::NoRoom
        | CandidateState::Unfit => String::new(),
    };
    match it.reason.as_str() {
        "" => String::new(),
        reason => format!("{whose}{reason}{wait}{share}"),
    }
}

fn limits(limits: &[LimitVerdict]) -> String {
    if limits.is_empty() {
        return "no limit applies\n".to_owned();
    }
    let mut table = Table::new(["LIMIT", "UNIT", "NEEDS", "LEFT", "OF", "RESET", "OUTCOME"]);
    for limit in limits {
        let known = limit.outlook() != LimitOutlook::Unknown;
        let figure = |units| figure(&limit.unit, units);
        let known = |units| if known { figure(units) } else { "?".to_owned() };
        let reset = limit.reset.and_then(time).map(duration::show);
        table.row([
            limit.counter.clone(),
            limit.unit.clone(),
            figure(limit.needs),
            known(limit.left),
            known(limit.admits),
            reset.unwrap_or_default(),
            outcome(limit),
        ]);
    }
    table.render()
}

fn outcome(limit: &LimitVerdict) -> String {
    let wait = limit.retry_after.and_then(time);
    let wait = wait.map_or_else(String::new, |it| {
        format!(", room again in {}", duration::show(it))
    });
    let shadow = if limit.is_shadow {
        " (shadow: refuses nobody)"
    } else {
        ""
    };
    let refuses = if limit.waits { "waits" } else { "refuses" };
    let outcome = match limit.outlook() {
        LimitOutlook::Admits => "admits".to_owned(),
        LimitOutlook::Asks if limit.left < limit.needs => {
            format!("asks its owner, and most likely {refuses}")
        }
        LimitOutlook::Asks => "asks its owner, and most likely admits".to_owned(),
        LimitOutlook::Unknown => "not met yet at this node: asks its owner".to_owned(),
        LimitOutlook::Exhausted => format!("{refuses}: used up{wait}"),
        LimitOutlook::TooSmall => "refuses: the request alone is too large".to_owned(),
        LimitOutlook::Unspecified => String::new(),
    };
    format!("{outcome}{shadow}")
}

fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
        .replace('_', " ")
}

fn usd(nanos: u64) -> String {
    dollars(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn time(it: prost_types::Duration) -> Option<Duration> {
    it.try_into().ok()
}

#[cfg(test)]
mod tests {
    use tollgate_proto::completion::v1::{BudgetUse, PoolVerdict, RouteVerdict, ShadowUse};

    use super::*;

    fn copied() -> ShadowUse {
        ShadowUse {
            pool: "next".to_owned(),
            percent: 5,
            max_in_flight: 20,
        }
    }

    fn explained() -> ExplainResponse {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        ExplainResponse {
            model: "chat".to_owned(),
            explanation: Some(Explanation {
                policy_revision: 3,
                estimate: Some(SizeEstimate {
                    input_tokens: 20,
                    most_output_tokens: 512,
                    expected_output_tokens: 100,
                    most_nano_usd: Some(2_500_000),
                    complexity: 0.125,
                    ..SizeEstimate::default()
                }),
                routes: vec![
                    RouteVerdict {
                        when: "tier == 'gold'".to_owned(),
                        ..RouteVerdict::default()
                    },
                    RouteVerdict {
                        index: 1,
                        serves: true,
                        ..RouteVerdict::default()
                    },
                ],
                pools: vec![PoolVerdict {
                    pool: "main".to_owned(),
                    strategy: "weighted".to_owned(),
                    candidates: vec![CandidateVerdict {
                        deployment: "gpt".to_owned(),
                        provider: "openai".to_owned(),
                        state: CandidateState::Ejected.into(),
                        reason: "failed lately".to_owned(),
                        of_provider: true,
                        wait: seconds(12),
                        ..CandidateVerdict::default()
                    }],
                    ..PoolVerdict::default()
                }],
                budgets: vec![BudgetUse {
                    limit: "month".to_owned(),
                    used: 0.5,
                    pace: 2.0,
                }],
                limits: vec![LimitVerdict {
                    counter: "cost/team=acme".to_owned(),
                    unit: "cost_usd".to_owned(),
                    needs: 2_500_000,
                    admits: 5_000_000_000,
                    left: 1_000_000,
                    outlook: LimitOutlook::Exhausted.into(),
                    retry_after: seconds(30),
                    ..LimitVerdict::default()
                }],
                on_cut: "replay".to_owned(),
                shadow: Some(copied()),
                ..Explanation::default()
            }),
        }
    }

    #[test]
    fn what_is_not_told_is_not_taken_for_nothing() {
        let explained = ExplainResponse {
            explanation: Some(Explanation {
                brief: true,
                routes: vec![RouteVerdict::default()],
                ..Explanation::default()
            }),
            ..ExplainResponse::default()
        };
        let text = shown(&explained);
        assert!(text.contains("0      (not told)  no\n"), "{text}");
        assert!(text.contains("explanations: full"), "{text}");
    }

    #[test]
    fn what_decides_is_told_in_words() {
        let text = shown(&explained());
        for part in [
            "model chat, policy revision 3\n",
            "20 input tokens (estimated), 512 output tokens at most, 100 expected, $0.0025 at most; complexity 0.12\n",
            "budget month: 50.0% used, at 2.00 times an even pace\n",
            "streams that break off are gone on with: replay\n",
            "5% of the requests are copied to pool next, 20 at once at most\n",
            "0      tier == 'gold'  no\n",
            "1      every request   yes: it serves the request\n",
            "openai/gpt",
            "provider: failed lately, for 12s",
            "cost/team=acme  cost_usd  0.0025",
            "refuses: used up, room again in 30s",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
