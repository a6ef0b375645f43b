use serde_json::{Value, json};

use super::*;
use crate::chat::{Opaque, Reasoning, ToolCall};
use crate::codec::Target;

fn wanted(effort: Option<Effort>, budget_tokens: Option<u32>) -> Request {
    Request {
        reasoning: Some(Reasoning {
            effort,
            budget_tokens,
            include_text: None,
        }),
        max_output_tokens: Some(64_000),
        ..Request::default()
    }
}

fn asked(request: &Request, model: &str, drop: bool) -> Result<(Value, Value, Vec<String>), Error> {
    let target = Target {
        drop_unsupported: drop,
        ..Target::of(model)
    };
    let mut unsupported = Unsupported::new(Kind::Anthropic, &target);
    let (thinking, effort) = thinking(request, model, &mut unsupported)?;
    let warnings = unsupported.into_warnings().into_iter();
    Ok((
        json!(thinking),
        json!(effort),
        warnings.map(|it| it.field).collect(),
    ))
}

#[test]
fn versions_are_found_wherever_they_stand() {
    for (model, expected) in [
        ("claude-3-7-sonnet-20250219", Understands::Budgets),
        ("claude-3-5-haiku-20241022", Understands::Nothing),
        ("claude-2.1", Understands::Nothing),
        ("claude-sonnet-4-20250514", Understands::Budgets),
        ("claude-opus-4@20250514", Understands::Budgets),
        ("claude-opus-4-1-20250805", Understands::Budgets),
        (
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            Understands::Budgets,
        ),
        ("claude-haiku-4-5", Understands::Budgets),
        ("anthropic.claude-opus-4-6-v1", Understands::Both),
        ("claude-sonnet-4.6", Understands::Both),
        ("claude-opus-4-7", Understands::Efforts),
        ("claude-sonnet-5", Understands::Efforts),
        ("anthropic.claude-mythos-preview", Understands::Efforts),
        ("my-own", Understands::Anything),
    ] {
        assert_eq!(Understands::of(model), expected, "{model}");
    }
}

#[test]
fn each_generation_is_asked_in_its_own_words() {
    let adaptive = json!({"type": "adaptive"});
    let budget = |tokens| json!({"type": "enabled", "budget_tokens": tokens});
    let (low, high) = (Some(Effort::Low), Some(Effort::High));
    for (model, effort, tokens, thinking, sent) in [
        ("claude-haiku-4-5", low, None, budget(1024), Value::Null),
        ("claude-haiku-4-5", high, None, budget(16_384), Value::Null),
        (
            "claude-haiku-4-5",
            None,
            Some(2048),
            budget(2048),
            Value::Null,
        ),
        (
            "claude-opus-4-6",
            high,
            None,
            adaptive.clone(),
            json!("high"),
        ),
        (
            "claude-opus-4-6",
            low,
            Some(2048),
            budget(2048),
            json!("low"),
        ),
        ("claude-opus-4-8", high, None, adaptive, json!("high")),
        ("claude-opus-4-8", None, None, Value::Null, Value::Null),
    ] {
        let found = asked(&wanted(effort, tokens), model, false).unwrap();
        assert_eq!(found, (thinking, sent, vec![]), "{model}");
    }
    for model in ["claude-haiku-4-5", "claude-opus-4-6", "claude-opus-4-8"] {
        for off in [wanted(Some(Effort::None), None), wanted(None, Some(0))] {
            let found = asked(&off, model, false).unwrap();
            assert_eq!(found.0, json!({"type": "disabled"}), "{model}");
        }
    }
}

#[test]
fn what_a_generation_has_no_words_for_is_refused_or_left_out_with_a_warning() {
    let low = Some(Effort::Low);
    for (model, request, field, left) in [
        (
            "claude-opus-4-8",
            wanted(None, Some(2048)),
            "reasoning.max_tokens",
            json!({"type": "adaptive"}),
        ),
        (
            "claude-haiku-4-5",
            wanted(low, Some(2048)),
            "reasoning.effort",
            json!({"type": "enabled", "budget_tokens": 2048}),
        ),
        (
            "claude-haiku-4-5",
            wanted(None, Some(100)),
            "reasoning.max_tokens",
            Value::Null,
        ),
        (
            "claude-3-5-haiku",
            wanted(low, None),
            "reasoning.effort",
            Value::Null,
        ),
        (
            "claude-opus-4-8",
            wanted(Some(Effort::Minimal), None),
            "reasoning.effort",
            json!({"type": "adaptive"}),
        ),
    ] {
        let error = asked(&request, model, false).unwrap_err();
        assert_eq!(error.field(), Some(field), "{model}");
        let (thinking, _, warnings) = asked(&request, model, true).unwrap();
        assert_eq!(
            (thinking, warnings),
            (left, vec![field.to_owned()]),
            "{model}"
        );
    }
}

#[test]
fn a_model_is_kept_from_thinking_in_its_own_words() {
    let disabled = json!({"type": "disabled"});
    for (model, thinking) in [
        ("claude-opus-5", disabled.clone()),
        ("claude-haiku-5-5", disabled),
        ("claude-sonnet-5-5", json!({"type": "between_tools"})),
        ("claude-3-5-haiku", Value::Null),
    ] {
        for off in [wanted(Some(Effort::None), None), wanted(None, Some(0))] {
            let found = asked(&off, model, false).unwrap();
            assert_eq!(found, (thinking.clone(), Value::Null, vec![]), "{model}");
        }
    }
    for model in [
        "claude-opus-5-5",
        "anthropic.claude-fable-5-1-v1:0",
        "claude-mythos-preview",
    ] {
        for (off, field) in [
            (wanted(Some(Effort::None), None), "reasoning.effort"),
            (wanted(None, Some(0)), "reasoning.max_tokens"),
        ] {
            let error = asked(&off, model, false).unwrap_err();
            assert_eq!(error.field(), Some(field), "{model}");
            let found = asked(&off, model, true).unwrap();
            let left = (Value::Null, json!("low"), vec![field.to_owned()]);
            assert_eq!(found, left, "{model}");
        }
    }
}

#[test]
fn an_effort_between_high_and_max_is_known_since_4_7() {
    let wanted = wanted(Some(Effort::XHigh), None);
    let error = asked(&wanted, "claude-opus-4-6", false).unwrap_err();
    assert_eq!(error.field(), Some("reasoning.effort"));
    let (_, effort, warnings) = asked(&wanted, "claude-opus-4-6", true).unwrap();
    assert_eq!((effort, warnings.len()), (json!("high"), 1));
    for model in ["claude-opus-4-7", "my-own"] {
        assert_eq!(asked(&wanted, model, false).unwrap().1, "xhigh", "{model}");
    }
}

#[test]
fn a_call_that_must_be_made_goes_without_thinking() {
    for choice in [ToolChoice::Required, ToolChoice::Tool("look".to_owned())] {
        let request = Request {
            tool_choice: Some(choice),
            ..wanted(Some(Effort::High), None)
        };
        for model in ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8"] {
            let found = asked(&request, model, false).unwrap();
            let warned = vec!["reasoning".to_owned()];
            let left = (json!({"type": "disabled"}), Value::Null, warned);
            assert_eq!(found, left, "{model}");
        }
    }
}

#[test]
fn a_budget_for_an_effort_leaves_room_for_the_answer() {
    let of_length = |length| Request {
        max_output_tokens: Some(length),
        ..wanted(Some(Effort::Max), None)
    };
    for (length, tokens) in [(64_000, 31_744), (8_000, 4_000), (1_500, 1_024)] {
        let (thinking, ..) = asked(&of_length(length), "claude-haiku-4-5", false).unwrap();
        assert_eq!(thinking["budget_tokens"], tokens, "{length}");
    }
    let error = asked(&of_length(1_024), "claude-haiku-4-5", false).unwrap_err();
    assert_eq!(error.field(), Some("reasoning.effort"));
}

#[test]
fn a_turn_that_others_began_goes_on_without_thinking() {
    let call = || {
        Part::ToolCall(ToolCall {
            id: "1".to_owned(),
            name: "look".to_owned(),
            arguments: "{}".to_owned(),
            opaque: vec![],
        })
    };
    let thought = |provider: &str| Part::Reasoning {
        text: "hm".to_owned(),
        opaque: vec![Opaque {
            provider: provider.to_owned(),
            kind: "signature".to_owned(),
            bytes: "s".into(),
        }],
    };
    let said = |role, parts| Message {
        role,
        parts,
        name: None,
    };
    let result = || said(Role::Tool, vec![]);
    let user = || said(Role::User, vec![]);
    let own = || said(Role::Assistant, vec![thought("anthropic"), call()]);
    let foreign = || said(Role::Assistant, vec![thought("gemini"), call()]);
    for (messages, thinks) in [
        (vec![user()], true),
        (vec![user(), own(), result()], true),
        (vec![user(), foreign(), result()], false),
        (vec![user(), own(), result(), foreign(), result()], true),
        // A turn that is over does not matter.
        (vec![user(), foreign(), result(), user()], true),
    ] {
        let request = Request {
            messages: messages.clone(),
            ..wanted(None, Some(2048))
        };
        let (thinking, _, warnings) = asked(&request, "claude-haiku-4-5", false).unwrap();
        assert_eq!(thinking.is_object(), thinks, "{messages:?}");
        assert_eq!(warnings.is_empty(), thinks);
    }
}

#[test]
fn the_name_says_whether_instructions_may_stand_within_a_conversation() {
    for (model, within) in [
        ("claude-opus-4-8", true),
        ("claude-opus-5", true),
        ("claude-opus-5-5-20261001", true),
        ("claude-sonnet-5-5", true),
        ("claude-haiku-5-5", true),
        ("claude-fable-5", true),
        ("claude-mythos-5-1", true),
        ("claude-opus-4-7", false),
        ("claude-sonnet-5", false),
        ("claude-haiku-4-5", false),
        ("claude-opus-latest", false),
        ("my-model", false),
    ] {
        assert_eq!(instructed_within(model), within, "{model}");
    }
}
