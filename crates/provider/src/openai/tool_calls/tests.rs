use super::super::wire::CallFragment;
use super::{Broken, Calls};
use crate::chat::{Assembler, Chunk, Delta, FinishReason, Part};

/// The chunks that come of these fragments.
fn chunks(fragments: &[&str]) -> Result<Vec<Chunk>, Broken> {
    let mut calls = Calls::default();
    let mut out = Vec::new();
    for fragment in fragments {
        let fragment: CallFragment<'_> = serde_json::from_str(fragment).unwrap();
        calls.add(0, fragment, &mut out)?;
    }
    calls.finish()?;
    Ok(out)
}

/// Checks what tool calls come of the fragments: (id, name, arguments) each.
fn check_calls(fragments: &[&str], expect: &[(&str, &str, &str)]) {
    let mut assembler = Assembler::new();
    for chunk in chunks(fragments).unwrap() {
        assembler.push(chunk);
    }
    assembler.push(Chunk::Finish {
        choice: 0,
        reason: FinishReason::ToolCalls,
    });
    let parts = assembler.finish().unwrap().choices.remove(0).message.parts;
    assert_eq!(parts.len(), expect.len(), "{fragments:?}");
    for (part, (id, name, arguments)) in parts.iter().zip(expect) {
        let Part::ToolCall(call) = part else {
            panic!("{part:?}")
        };
        assert_eq!(
            (&*call.id, &*call.name, &*call.arguments),
            (*id, *name, *arguments)
        );
    }
}

#[test]
fn tool_calls_are_understood_in_every_style() {
    // The name after the id, and arguments before either.
    check_calls(
        &[
            r#"{"index":0,"id":"a"}"#,
            r#"{"index":0,"function":{"arguments":"{"}}"#,
            r#"{"index":0,"function":{"name":"f","arguments":"}"}}"#,
        ],
        &[("a", "f", "{}")],
    );
    // Everything at once, without index, twice.
    check_calls(
        &[
            r#"{"id":"a","function":{"name":"f","arguments":"1"}}"#,
            r#"{"id":"b","function":{"name":"g","arguments":"2"}}"#,
        ],
        &[("a", "f", "1"), ("b", "g", "2")],
    );
    // The id and name repeated with every fragment.
    check_calls(
        &[
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}"#,
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}"#,
        ],
        &[("a", "f", "12")],
    );
    // Interleaved, counted from one.
    check_calls(
        &[
            r#"{"index":1,"id":"a","function":{"name":"f","arguments":"1"}}"#,
            r#"{"index":2,"id":"b","function":{"name":"g","arguments":"2"}}"#,
            r#"{"index":1,"function":{"arguments":"3"}}"#,
        ],
        &[("a", "f", "13"), ("b", "g", "2")],
    );
    // Neither index nor id: it goes on with the latest call.
    check_calls(
        &[
            r#"{"id":"a","function":{"name":"f","arguments":"1"}}"#,
            r#"{"id":"b","function":{"name":"g"}}"#,
            r#"{"function":{"arguments":"2"}}"#,
        ],
        &[("a", "f", "1"), ("b", "g", "2")],
    );
    // No id at all: one is made up, since the caller has to answer to something.
    check_calls(
        &[r#"{"index":0,"function":{"name":"f","arguments":"1"}}"#],
        &[("call_0_0", "f", "1")],
    );
}

#[test]
fn fragments_that_make_up_no_call_are_refused() {
    assert!(chunks(&[r#"{"index":0,"id":"a"}"#]).is_err());
    assert!(chunks(&[r#"{"index":0,"id":"a","function":{"name":"","arguments":"{}"}}"#]).is_err());
    let long = format!(
        r#"{{"index":0,"function":{{"arguments":"{}"}}}}"#,
        "x".repeat(30_000)
    );
    let name = r#"{"index":0,"function":{"name":"f"}}"#;
    assert!(chunks(&[&long, &long, name]).is_ok());
    assert!(chunks(&[&long, &long, &long, name]).is_err());
    let many: Vec<String> = (0..1025)
        .map(|index| format!(r#"{{"index":{index},"function":{{"name":"f"}}}}"#))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(chunks(&many[..1024]).unwrap().len(), 1024);
    assert!(chunks(&many).is_err());
}

#[test]
fn state_that_comes_before_the_name_is_kept() {
    let state = r#"{"index":0,"id":"a","extra_content":{"google":{"thought_signature":"c2ln"}}}"#;
    let named = r#"{"index":0,"function":{"name":"f","arguments":"{}"}}"#;
    let chunks = chunks(&[state, named]).unwrap();
    let states: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| {
            let Chunk::Delta {
                delta: Delta::ToolState { index: 0, state },
                ..
            } = chunk
            else {
                return None;
            };
            Some(&state.bytes[..])
        })
        .collect();
    assert_eq!(states, [b"c2ln"]);
    let endless = vec![state; 17];
    assert_eq!(
        super::tests::chunks(&endless),
        Err("a tool call sends state but no name")
    );
}
