use super::*;

/// The content of a body whose bytes arrive in the slices given, and whether it was over at the end of them.
fn read(mut framing: Framing, slices: &[&[u8]]) -> Result<(Vec<u8>, bool), Broken> {
    let mut input = Vec::new();
    let mut content = Vec::new();
    for slice in slices {
        input.extend_from_slice(slice);
        loop {
            let step = framing.step(&input)?;
            input.drain(..step.skip);
            content.extend(input.drain(..step.take));
            if step.take == 0 {
                break;
            }
        }
    }
    Ok((content, framing.is_over()))
}

const CHUNKED: Framing = Framing::Chunked(Chunked::Size);

#[test]
fn a_chunked_body_is_the_same_however_it_is_cut() {
    let body = b"5\r\nhello\r\n1 ;x=\"y\"\r\n \r\n00A\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n";
    for first in 0..=body.len() {
        for second in first..=body.len() {
            let slices = [&body[..first], &body[first..second], &body[second..]];
            let (content, over) = read(CHUNKED, &slices).unwrap();
            assert_eq!(content, b"hello 0123456789", "cut at {first} and {second}");
            assert!(over);
        }
    }
}

#[test]
fn a_chunked_body_is_not_over_before_its_last_byte() {
    let body = b"5\r\nhello\r\n0\r\n\r\n";
    for end in 0..body.len() {
        assert!(!read(CHUNKED, &[&body[..end]]).unwrap().1, "cut at {end}");
    }
}

#[test]
fn what_follows_a_body_is_left_alone() {
    let mut framing = CHUNKED;
    let input = b"0\r\n\r\nHTTP/1.1 200 OK";
    assert_eq!(framing.step(input).unwrap(), Step { skip: 5, take: 0 });
    assert!(framing.is_over());
    let mut framing = Framing::length(2);
    assert_eq!(framing.step(b"abc").unwrap(), Step { skip: 0, take: 2 });
    assert!(framing.is_over());
}

#[test]
fn malformed_chunks_are_errors() {
    for body in [
        &b"\r\n"[..],
        b"x\r\n",
        b"5 x\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\r\nhello\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"11111111111111111\r\n",
    ] {
        let shown = String::from_utf8_lossy(body);
        assert!(read(CHUNKED, &[body]).is_err(), "{shown:?}");
    }
    assert!(read(CHUNKED, &[&vec![b'1'; LONGEST_LINE + 1]]).is_err());
    let trailers = b"0\r\n".iter().copied();
    let trailers: Vec<u8> = trailers
        .chain(
            b"x-trailer: 0123456789\r\n"
                .iter()
                .copied()
                .cycle()
                .take(LONGEST_TRAILERS * 2),
        )
        .collect();
    assert!(read(CHUNKED, &[&trailers]).is_err());
}

#[test]
fn only_a_body_without_a_length_may_end_with_its_connection() {
    assert!(Framing::UntilClose.close().is_ok());
    assert!(Framing::Over.close().is_ok());
    for mut framing in [
        Framing::Length(1),
        CHUNKED,
        Framing::Chunked(Chunked::Trailers(0)),
    ] {
        assert!(matches!(framing.close(), Err(Broken::Closed)));
    }
}
