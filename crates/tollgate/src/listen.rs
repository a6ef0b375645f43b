//! Opens the process's listeners, so that a taken port is known before anything else starts.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::error::Error;

/// A listener and where it listens, which for port 0 is known only now.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The listener.
    pub(crate) listener: TcpListener,
    /// Its address.
    pub(crate) address: SocketAddr,
}

/// Listens on `address`, which `flag` changes.
///
/// # Errors
/// [`Error::Listen`] if the address is taken or not this machine's.
pub(crate) async fn bind(address: SocketAddr, flag: &'static str) -> Result<Bound, Error> {
    let failed = |source| Error::Listen {
        address,
        flag,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_says_which_flag_changes_it() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "--listen");
        let first = first.await.unwrap();
        let second = bind(first.address, "--ops-listen").await.unwrap_err();
        let text = second.to_string();
        assert!(text.contains(&first.address.to_string()), "{text}");
        assert!(text.contains("--ops-listen"), "{text}");
    }
}
