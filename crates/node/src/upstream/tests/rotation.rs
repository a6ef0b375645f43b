//! Keys that are replaced while the node runs.

use super::*;

const REFUSED: &str = r#"{"error":{"message":"no","code":"invalid_api_key"}}"#;

/// A server that takes one key only, and tells the keys that it was asked with.
async fn taking(
    key: &'static str,
) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, keys) = tokio::sync::mpsc::channel(16);
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_request(&mut stream).await;
            let given = head.split("authorization: bearer ").nth(1).unwrap();
            let given = given.lines().next().unwrap();
            let _ = seen.send(given.to_owned()).await;
            let answer = if given == key {
                ok(ANSWER, "application/json")
            } else {
                let length = REFUSED.len();
                format!("HTTP/1.1 401 No\r\ncontent-length: {length}\r\n\r\n{REFUSED}")
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, keys, task)
}

#[tokio::test]
async fn a_key_that_was_replaced_before_it_was_refused_costs_no_request() {
    let (address, mut keys, _task) = taking("new").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let credential = Credential::File(file.path().to_owned());
    let upstream = Upstream::new(&provider(address, true, credential));
    let ask = async || upstream.whole(&request(), &m(), &|_| ()).await;

    let ended = ask().await.unwrap_err();
    assert_eq!(ended.outcome, AttemptOutcome::KeyRefused);
    assert!(ended.key.is_some() && ended.key == upstream.key().look_again());
    assert_eq!(keys.try_recv().unwrap(), "old");
    assert!(keys.try_recv().is_err(), "the same again is refused again");

    // The node has not looked into the file since.
    std::fs::write(file.path(), "new").unwrap();
    assert!(ask().await.is_ok());
    let asked = [keys.try_recv().unwrap(), keys.try_recv().unwrap()];
    assert_eq!(asked, ["old", "new"]);

    // Once more, but not over and over.
    std::fs::write(file.path(), "newer").unwrap();
    upstream.key().look_again();
    std::fs::write(file.path(), "newest").unwrap();
    let ended = ask().await.unwrap_err();
    assert_eq!(ended.key, upstream.key().look_again());
    let asked = [keys.try_recv().unwrap(), keys.try_recv().unwrap()];
    assert_eq!(asked, ["newer", "newest"]);
    assert!(keys.try_recv().is_err());
}
