//! Accepting connections, whatever happens.
//!
//! The server ends when its stream of connections yields an error that it does not know, and running out of
//! file descriptors is one. So errors stay here: they are logged, and the next connection is waited for.

use std::io;
use std::time::Duration;

use futures_util::Stream;
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

/// Pause after a failure. Those that concern one connection do not repeat; those that concern the process,
/// such as a lack of file descriptors, take a while to go away.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of a listener, without end and without errors.
pub(crate) fn connections(
    listener: TcpListener,
) -> impl Stream<Item = io::Result<TcpStream>> + Send {
    endless(listener, async |listener: &TcpListener| {
        let (connection, _) = listener.accept().await?;
        // Answers are small and waited for.
        connection.set_nodelay(true)?;
        Ok(connection)
    })
}

fn endless<L, T>(
    listener: L,
    accept: impl AsyncFn(&L) -> io::Result<T>,
) -> impl Stream<Item = io::Result<T>> {
    futures_util::stream::unfold((listener, accept), async |(listener, accept)| {
        loop {
            match accept(&listener).await {
                Ok(connection) => return Some((Ok(connection), (listener, accept))),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_do_not_end_it() {
        let stream = endless(AtomicUsize::new(0), async |count: &AtomicUsize| match count
            .fetch_add(1, Ordering::Relaxed)
        {
            0 => Err(io::Error::from_raw_os_error(24)),
            1 => Err(io::ErrorKind::ConnectionAborted.into()),
            number => Ok(number),
        });
        let accepted: Vec<_> = stream.take(2).map(Result::unwrap).collect().await;
        assert_eq!(accepted, [2, 3]);
    }
}
