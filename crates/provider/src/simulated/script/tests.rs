use std::time::Duration;

use proptest::prelude::*;

use super::Script;
use crate::chat::{
    Assembler, Chunk, FinishReason, Function, Message, Part, Request, Response, Role, Tool,
    ToolChoice,
};
use crate::failure::Class;
use crate::simulated::{Action, Config, Fault, Step};
use crate::tokens;

fn config(output_tokens: u32, fault: Fault) -> Config {
    Config {
        first_token_latency: Duration::from_millis(100),
        token_interval: Duration::from_millis(10),
        output_tokens,
        fault,
    }
}

fn request(prompt: &str) -> Request {
    Request {
        messages: vec![Message::text(Role::User, prompt)],
        ..Request::default()
    }
}

fn steps(config: &Config, request: &Request) -> Vec<Step> {
    Script::new(config, request, "fake-1", 7).collect()
}

/// The whole answer, if the steps make one.
fn answer(config: &Config, request: &Request) -> Option<Response> {
    let mut assembler = Assembler::new();
    for step in steps(config, request) {
        match step.action {
            Action::Chunk(chunk) => assembler.push(chunk),
            Action::Fail(_) | Action::Hang => return None,
        }
    }
    assembler.finish()
}

fn text(response: &Response) -> &str {
    match response.choices[0].message.parts.as_slice() {
        [Part::Text(text)] => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_prompt_is_echoed_and_the_usage_adds_up() {
    let request = request("one two three");
    let response = answer(&config(5, Fault::None), &request).unwrap();
    assert!(
        text(&response).starts_with("one two three "),
        "{}",
        text(&response)
    );
    assert_eq!(text(&response).split(' ').count(), 5);
    assert_eq!(response.model, "fake-1");
    assert_eq!(response.choices[0].finish_reason, FinishReason::Stop);
    let usage = response.usage.unwrap();
    assert_eq!(usage.output_total, 5);
    assert_eq!(usage.input_total, tokens::estimate_request(&request));
}

#[test]
fn the_limit_of_the_request_is_kept() {
    let mut request = request("one two three");
    for (limit, words, reason) in [
        (2, 2, FinishReason::Length),
        (5, 5, FinishReason::Stop),
        (9, 5, FinishReason::Stop),
    ] {
        request.max_output_tokens = Some(limit);
        let response = answer(&config(5, Fault::None), &request).unwrap();
        assert_eq!(text(&response).split(' ').count(), words);
        assert_eq!(response.choices[0].finish_reason, reason);
        assert_eq!(response.usage.unwrap().output_total, words as u64);
    }
}

#[test]
fn every_choice_is_answered() {
    let mut request = request("hi");
    request.choices = Some(3);
    let response = answer(&config(4, Fault::None), &request).unwrap();
    assert_eq!(response.choices.len(), 3);
    assert_eq!(response.usage.unwrap().output_total, 12);
}

#[test]
fn a_tool_that_must_be_called_is_called() {
    let mut request = request("hi");
    let tool = |name: &str| {
        Tool::Function(Function {
            name: name.to_owned(),
            description: None,
            parameters: None,
            strict: None,
        })
    };
    request.tools = vec![tool("f"), tool("g")];
    for (choice, expect) in [
        (Some(ToolChoice::Required), Some("f")),
        (Some(ToolChoice::Tool("g".to_owned())), Some("g")),
        (Some(ToolChoice::Auto), None),
        (None, None),
    ] {
        request.tool_choice = choice;
        let choice = answer(&config(3, Fault::None), &request)
            .unwrap()
            .choices
            .remove(0);
        match (choice.message.parts.as_slice(), expect) {
            ([Part::ToolCall(call)], Some(name)) => {
                assert_eq!((call.name.as_str(), call.arguments.as_str()), (name, "{}"));
                assert_eq!(choice.finish_reason, FinishReason::ToolCalls);
            }
            ([Part::Text(_)], None) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn time_passes_as_configured() {
    let times: Vec<u128> = steps(&config(3, Fault::None), &request("a"))
        .iter()
        .map(|step| step.at.as_millis())
        .collect();
    // Start and first word together, then a word each interval; end and usage with the last word.
    assert_eq!(times, [100, 100, 110, 120, 120, 120]);
}

#[test]
fn faults_strike_after_so_many_words_and_nothing_follows() {
    let fail = |class: Class| Some(class);
    for (make, class) in [
        (Fault::HangAfter as fn(u32) -> Fault, None),
        (Fault::ResetAfter, fail(Class::Transport)),
        (Fault::TruncateAfter, fail(Class::Truncated)),
        (Fault::ErrorAfter, fail(Class::Server)),
    ] {
        for after in [0, 1, 3] {
            let steps = steps(&config(3, make(after)), &request("a"));
            let words = steps
                .iter()
                .filter(|step| matches!(&step.action, Action::Chunk(Chunk::Delta { .. })))
                .count();
            assert_eq!(words, after as usize, "{:?}", make(after));
            assert!(
                !steps
                    .iter()
                    .any(|step| matches!(&step.action, Action::Chunk(Chunk::Finish { .. })))
            );
            match (&steps.last().unwrap().action, class) {
                (Action::Hang, None) => {}
                (Action::Fail(failure), Some(class)) => assert_eq!(failure.class, class),
                other => panic!("{other:?}"),
            }
        }
        // A fault beyond the end of the answer does not strike.
        assert!(answer(&config(3, make(4)), &request("a")).is_some());
    }
}

#[test]
fn an_error_status_is_classified_as_a_providers_would_be() {
    for (code, class) in [
        (400, Class::CallerError),
        (429, Class::KeyLimited),
        (503, Class::Overloaded),
        (9, Class::Server),
    ] {
        let wait = Some(Duration::from_secs(3));
        let steps = steps(
            &config(
                3,
                Fault::Status {
                    code,
                    retry_after: wait,
                },
            ),
            &request("a"),
        );
        assert_eq!(steps.len(), 1);
        let Action::Fail(failure) = &steps[0].action else {
            panic!("{steps:?}")
        };
        assert_eq!((failure.class, failure.retry_after), (class, wait));
    }
}

proptest! {
    #[test]
    fn a_script_is_repeatable_ordered_in_time_and_as_long_as_it_should_be(
        output in 0_u32..40,
        limit in prop::option::of(0_u32..40),
        choices in 1_u32..4,
        seed: u64,
        prompt in "\\PC{0,40}",
    ) {
        let config = config(output, Fault::None);
        let mut request = request(&prompt);
        request.max_output_tokens = limit;
        request.choices = Some(choices);
        let first: Vec<Step> = Script::new(&config, &request, "m", seed).collect();
        let second: Vec<Step> = Script::new(&config, &request, "m", seed).collect();
        prop_assert_eq!(&first, &second);
        prop_assert!(first.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let words = output.max(1).min(limit.unwrap_or(u32::MAX).max(1));
        // Start, the words, a finish for each choice, the usage.
        prop_assert_eq!(first.len() as u32, 1 + words * choices + choices + 1);
    }
}
