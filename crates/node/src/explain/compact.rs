//! An explanation in one line, for headers.

use std::fmt::Write;

use tollgate_proto::completion::v1::{
    CandidateState, CandidateVerdict, Explanation, LimitVerdict, PoolVerdict,
};

/// Longest line, in bytes: servers and proxies bound headers.
const LONGEST: usize = 2048;

/// An explanation in one line of printable ASCII, such as
/// `revision=7 route=1 input=20 output<=512 pools: main(weighted) a=75% b=0%:ejected; limits: per-key=1/100`.
///
/// Of each deployment it tells how likely it was to be asked first, and its state where it is not ready; of each limit
/// what is left of it.
pub(crate) fn compact(explanation: &Explanation) -> String {
    let mut line = format!("revision={}", explanation.policy_revision);
    let route = explanation.routes.iter().find(|it| it.serves);
    if let Some(route) = route {
        add(&mut line, format_args!(" route={}", route.index));
    }
    if let Some(size) = &explanation.estimate {
        let (input, output) = (size.input_tokens, size.most_output_tokens);
        add(&mut line, format_args!(" input={input} output<={output}"));
    }
    line.push_str(" pools:");
    for pool in &explanation.pools {
        add_pool(&mut line, pool);
    }
    if !explanation.limits.is_empty() {
        line.push_str(" limits:");
    }
    for limit in &explanation.limits {
        let LimitVerdict {
            counter,
            left,
            admits,
            ..
        } = limit;
        add(&mut line, format_args!(" {counter}={left}/{admits}"));
    }
    for passed_over in &explanation.passed_over {
        let name = &passed_over.deployment;
        add(&mut line, format_args!(" passed-over={name}"));
    }
    // Values of dimensions may hold anything.
    let printable = line
        .chars()
        .filter(|it| it.is_ascii_graphic() || *it == ' ');
    printable.take(LONGEST).collect()
}

fn add_pool(line: &mut String, pool: &PoolVerdict) {
    add(line, format_args!(" {}({})", pool.pool, pool.strategy));
    for it in &pool.candidates {
        let CandidateVerdict {
            deployment, chance, ..
        } = it;
        add(line, format_args!(" {deployment}={:.0}%", chance * 100.0));
        if it.state() != CandidateState::Ready {
            let state = it.state().as_str_name();
            let state = state.strip_prefix("CANDIDATE_STATE_").unwrap_or(state);
            add(line, format_args!(":{}", state.to_ascii_lowercase()));
        }
    }
    line.push(';');
}

fn add(line: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = line.write_fmt(piece);
}

#[cfg(test)]
mod tests {
    use tollgate_proto::completion::v1::{PassedOver, RouteVerdict, SizeEstimate};

    use super::*;

    #[test]
    fn a_line_names_what_decided_and_stays_a_line() {
        let candidate = |name: &str, chance, state: CandidateState| CandidateVerdict {
            deployment: name.to_owned(),
            chance,
            state: state.into(),
            ..CandidateVerdict::default()
        };
        let explanation = Explanation {
            policy_revision: 7,
            estimate: Some(SizeEstimate {
                input_tokens: 20,
                most_output_tokens: 512,
                ..SizeEstimate::default()
            }),
            routes: vec![
                RouteVerdict::default(),
                RouteVerdict {
                    index: 1,
                    serves: true,
                    ..RouteVerdict::default()
                },
            ],
            pools: vec![PoolVerdict {
                pool: "main".to_owned(),
                strategy: "weighted".to_owned(),
                candidates: vec![
                    candidate("a", 0.75, CandidateState::Ready),
                    candidate("b", 0.0, CandidateState::Ejected),
                ],
                ..PoolVerdict::default()
            }],
            limits: vec![LimitVerdict {
                counter: "per-label/env=\u{e9}\r\nx: y".to_owned(),
                left: 1,
                admits: 100,
                ..LimitVerdict::default()
            }],
            passed_over: vec![PassedOver {
                deployment: "c".to_owned(),
                reason: String::new(),
            }],
            ..Explanation::default()
        };
        assert_eq!(
            compact(&explanation),
            "revision=7 route=1 input=20 output<=512 pools: main(weighted) a=75% b=0%:ejected; limits: \
             per-label/env=x: y=1/100 passed-over=c"
        );
        let many = Explanation {
            limits: vec![explanation.limits[0].clone(); 1000],
            ..explanation
        };
        assert_eq!(compact(&many).len(), LONGEST);
    }
}
