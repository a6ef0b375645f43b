//! Answers that are coded though they were asked for as they are.

use super::*;

/// `{"error":{"message":"no"}}`, compressed: what a body under such a header looks like.
const GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0x4a, 0x2d, 0x2a, 0xca,
    0x2f, 0x52, 0xb2, 0xaa, 0x56, 0xca, 0x4d, 0x2d, 0x2e, 0x4e, 0x4c, 0x4f, 0x55, 0xb2, 0x52, 0xca,
    0xcb, 0x57, 0xaa, 0xad, 0x05, 0x00, 0xdc, 0x82, 0x6c, 0xee, 0x1a, 0x00, 0x00, 0x00,
];

fn answer(status: &str, kind: &str, coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{coding}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

const EVENTS: &str = concat!(
    "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n"
);

#[tokio::test]
async fn a_coded_answer_is_none_whatever_is_in_it() {
    for coding in [
        "gzip",
        "br",
        "zstd",
        "of tomorrow",
        "identity, gzip",
        "identity\r\ncontent-encoding: deflate",
    ] {
        let header = format!("content-encoding: {coding}\r\n");
        for body in [GZIP, ANSWER.as_bytes(), EVENTS.as_bytes(), &[0xff; 64]] {
            let ended = whole(answer("200 OK", "application/json", &header, body), false)
                .await
                .unwrap_err();
            check(&ended, coding);
            let kind = "text/event-stream";
            let (chunks, end) = stream(answer("200 OK", kind, &header, body), false).await;
            assert_eq!(chunks, []);
            check(&end.unwrap_err(), coding);
        }
    }
}

/// It is the provider's fault, to be made up for elsewhere, and an operator can read what it is.
#[track_caller]
fn check(ended: &Ended, coding: &str) {
    assert_eq!(ended.outcome, AttemptOutcome::BadResponse, "{coding}");
    assert_eq!(ended.reached, Reached::Perhaps, "{coding}");
    assert_eq!(ended.failure.class, Class::Server, "{coding}");
    let named = coding.rsplit(' ').next().unwrap_or(coding);
    let detail = &ended.failure.detail;
    assert!(
        detail.contains("coded as") && detail.contains(named),
        "{detail}"
    );
}

#[tokio::test]
async fn an_answer_that_says_it_is_not_coded_is_one() {
    for coding in [
        "content-encoding: identity\r\n",
        "content-encoding: \r\n",
        "content-encoding: Identity\r\n",
    ] {
        let body = ANSWER.as_bytes();
        let response = whole(answer("200 OK", "application/json", coding, body), false).await;
        assert_eq!(response.unwrap().usage.unwrap().total(), 4, "{coding}");
        let kind = "text/event-stream";
        let events = answer("200 OK", kind, coding, EVENTS.as_bytes());
        let (chunks, end) = stream(events, false).await;
        end.unwrap();
        assert!(!chunks.is_empty(), "{coding}");
    }
}

#[tokio::test]
async fn a_coded_error_has_the_class_of_its_status() {
    let coded = "content-encoding: gzip\r\nretry-after: 7\r\n";
    for (status, class) in [
        ("400 Bad Request", Class::CallerError),
        ("401 Unauthorized", Class::KeyDead),
        ("429 Too Many Requests", Class::KeyLimited),
        ("500 Internal Server Error", Class::Server),
        ("503 Service Unavailable", Class::Overloaded),
    ] {
        let answer = answer(status, "application/json", coded, GZIP);
        let ended = whole(answer.clone(), false).await.unwrap_err();
        assert_eq!(
            (ended.failure.class, ended.reached),
            (class, Reached::Refusal),
            "{status}"
        );
        assert!(
            ended.failure.detail.contains("coded as \"gzip\""),
            "{status}"
        );
        if class == Class::KeyLimited {
            assert_eq!(ended.failure.retry_after, Some(Duration::from_secs(7)));
        }
        let (_, end) = stream(answer, false).await;
        assert_eq!(end.unwrap_err().failure.class, class, "{status}");
    }
}
