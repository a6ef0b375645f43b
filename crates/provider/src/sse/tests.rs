use proptest::prelude::*;

use super::{Decoder, MAX_EVENT, MAX_LINE, TooLong};

type Events = Vec<(String, String)>;

/// Decodes the slices and then the end.
fn decode<'a>(slices: impl IntoIterator<Item = &'a [u8]>) -> Result<Events, TooLong> {
    let mut decoder = Decoder::new();
    let mut events = Events::new();
    let mut keep = |event: super::Event<'_>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        events.push((text(event.name), text(event.data)));
    };
    for slice in slices {
        decoder.push(slice, &mut keep)?;
    }
    decoder.finish(&mut keep)?;
    Ok(events)
}

fn check(body: &str, expect: &[(&str, &str)]) {
    let events = decode([body.as_bytes()]).unwrap();
    let events: Vec<_> = events
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_str()))
        .collect();
    assert_eq!(events, expect, "{body:?}");
}

#[test]
fn the_format_is_read_as_the_standard_says() {
    check("data: a\n\n", &[("", "a")]);
    check("data:a\n\ndata:  b\n\n", &[("", "a"), ("", " b")]);
    check("data: a\ndata: b\n\n", &[("", "a\nb")]);
    check("data\n\n", &[("", "")]);
    check("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]);
    check("event: x\n\ndata: b\n\n", &[("", "b")]);
    check(": comment\n\n:\n\n", &[]);
    check("id: 7\nretry: 10\nunknown: z\ndata: a\n\n", &[("", "a")]);
    check("\u{feff}data: a\n\n", &[("", "a")]);
    check("\n\u{feff}data: a\n\n", &[]);
    check("data: a: b\n\n", &[("", "a: b")]);
}

#[test]
fn every_line_end_ends_a_line() {
    for end in ["\n", "\r", "\r\n"] {
        check(
            &format!("data: a{end}data: b{end}{end}data: c{end}{end}"),
            &[("", "a\nb"), ("", "c")],
        );
    }
    check(
        "data: a\r\n\ndata: b\r\rdata: c\n\r\n",
        &[("", "a"), ("", "b"), ("", "c")],
    );
}

#[test]
fn what_waits_at_the_end_of_the_body_is_delivered() {
    check("data: a\n", &[("", "a")]);
    check("data: a", &[("", "a")]);
    check("data: a\n\nevent: x", &[("", "a")]);
}

#[test]
fn bytes_that_are_not_utf8_do_not_stop_the_stream() {
    let events = decode([&b"data: a\xff\xfeb\n\ndata: c\n\n"[..]]).unwrap();
    assert_eq!(events[1].1, "c");
    assert_eq!(events[0].1, "a\u{fffd}\u{fffd}b");
}

#[test]
fn an_event_is_delivered_with_its_last_byte_and_not_before() {
    let mut decoder = Decoder::new();
    let mut count = 0;
    for (at, byte) in b"data: a\r\n\r".iter().enumerate() {
        decoder.push(&[*byte], |_| count += 1).unwrap();
        assert_eq!(count, usize::from(at == 9), "byte {at}");
    }
    decoder.push(b"\n", |_| count += 1).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn lines_and_events_are_bounded_however_they_are_cut() {
    let line = |length: usize| {
        let mut body = b"data: ".to_vec();
        body.resize(length, b'x');
        body
    };
    for step in [1000, MAX_LINE, 3 * MAX_LINE] {
        let mut longest = line(MAX_LINE);
        longest.extend_from_slice(b"\n\n");
        assert_eq!(decode(longest.chunks(step)).unwrap().len(), 1, "{step}");
        let mut too_long = line(MAX_LINE + 1);
        assert_eq!(decode(too_long.chunks(step)), Err(TooLong::Line), "{step}");
        too_long.push(b'\n');
        assert_eq!(decode(too_long.chunks(step)), Err(TooLong::Line), "{step}");
    }
    let mut event = Vec::new();
    while event.len() <= MAX_EVENT + 100_000 {
        event.extend(line(100_000));
        event.push(b'\n');
    }
    assert_eq!(decode(event.chunks(64 * 1024)), Err(TooLong::Event));
}

fn pieces() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "data: ?[a-z:é ]{0,9}",
        "event: [a-z]{1,3}",
        ": [a-z]{0,3}",
        "[a-z]{1,4}",
        Just(String::new()),
        Just(String::new()),
    ];
    let end = prop_oneof![Just("\n"), Just("\r"), Just("\r\n")];
    prop::collection::vec((line, end), 0..30)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #[test]
    fn the_cuts_do_not_matter(body in pieces(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let body = body.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let slices = at.windows(2).map(|pair| &body[pair[0]..pair[1]]);
        prop_assert_eq!(decode(slices), decode([body]));
    }

    #[test]
    fn any_bytes_are_survived(slices in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10)) {
        decode(slices.iter().map(Vec::as_slice)).unwrap();
    }
}
