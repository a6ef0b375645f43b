//! Reaching the control plane: its addresses in turn, and how long to wait between tries.

use std::time::Duration;

use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::config::{Config, Secret};
use crate::error::StartError;
use crate::random;

/// Waits between two rounds of tries, one at each address: random, at most this much, doubling with each round up
/// to the second. A random wait keeps a fleet from coming back all at once (M. Brooker, "Exponential Backoff And
/// Jitter", 2015). Within a round nothing is waited for: where one replica is down, or sends the node to another,
/// the next one is asked at once.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The control plane as one stream of the node reaches it.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    endpoints: Vec<Endpoint>,
    token: Option<AsciiMetadataValue>,
    at: usize,
    failures: u32,
}

impl Control {
    /// Reads the addresses. Connects to nothing yet.
    ///
    /// # Errors
    /// No address, one that is no URL, or a token that no header can carry.
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let endpoints: Result<Vec<_>, _> = config.control.iter().map(|url| endpoint(url)).collect();
        let endpoints = endpoints?;
        if endpoints.is_empty() {
            return Err(StartError::Control(
                "no address of the control plane is given".to_owned(),
            ));
        }
        let token = config.token.as_ref().map(bearer).transpose()?;
        // Different nodes begin at different replicas.
        let at = random::below(u32::try_from(endpoints.len()).unwrap_or(u32::MAX)) as usize;
        Ok(Self {
            endpoints,
            token,
            at,
            failures: 0,
        })
    }

    /// Each address by itself, for streams that are kept to all of them.
    pub(crate) fn each(&self) -> Vec<Self> {
        let endpoints = self.endpoints.iter();
        let alone = endpoints.map(|endpoint| Self {
            endpoints: vec![endpoint.clone()],
            at: 0,
            ..self.clone()
        });
        alone.collect()
    }

    /// A connection to the current address, made when it is first used.
    ///
    /// # Errors
    /// There is no address.
    pub(crate) fn channel(&self) -> Result<Channel, Status> {
        let endpoint = self.endpoints.get(self.at % self.endpoints.len().max(1));
        endpoint
            .map(Endpoint::connect_lazy)
            .ok_or_else(|| Status::internal("no address"))
    }

    /// A request that proves who the node is.
    pub(crate) fn authorised<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }

    /// A stream is open: the next failure is a first one again.
    pub(crate) fn connected(&mut self) {
        self.failures = 0;
    }

    /// Tells the operator that a stream broke: loudly once, quietly while it stays so.
    pub(crate) fn report(&self, stream: &'static str, error: &Status) {
        let address = self
            .endpoints
            .get(self.at)
            .map(|endpoint| endpoint.uri().to_string());
        let address = address.unwrap_or_default();
        if self.failures == 0 {
            tracing::warn!(stream, address, code = ?error.code(), message = error.message(), "lost the control plane, trying again");
        } else {
            tracing::debug!(stream, address, code = ?error.code(), message = error.message(), "still without the control plane");
        }
    }

    /// Turns to the next address; after a random wait where all have been tried.
    pub(crate) async fn next_after_wait(&mut self) {
        tokio::time::sleep(self.turn().mul_f64(random::fraction())).await;
    }

    /// Turns to the next address. Returns the longest time to wait first.
    fn turn(&mut self) -> Duration {
        let addresses = u32::try_from(self.endpoints.len())
            .unwrap_or(u32::MAX)
            .max(1);
        self.failures = self.failures.saturating_add(1);
        self.at = (self.at + 1) % self.endpoints.len().max(1);
        if !self.failures.is_multiple_of(addresses) {
            return Duration::ZERO;
        }
        let rounds = self.failures / addresses - 1;
        FIRST_WAIT
            .saturating_mul(1 << rounds.min(10))
            .min(LONGEST_WAIT)
    }
}

fn endpoint(url: &str) -> Result<Endpoint, StartError> {
    let bad = |error: tonic::transport::Error| {
        StartError::Control(format!(
            "`{url}` is not an address of a control plane: {error}"
        ))
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(bad)?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // A control plane that hangs is worse than one that is gone.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_connection_window_size(1 << 20)
        .initial_stream_window_size(1 << 20))
}

fn bearer(token: &Secret) -> Result<AsciiMetadataValue, StartError> {
    let mut value: AsciiMetadataValue =
        MetadataValue::try_from(format!("Bearer {}", token.reveal())).map_err(|_| {
            StartError::Control("the token has characters that no header can carry".to_owned())
        })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bounds;

    fn control(addresses: &[&str]) -> Control {
        let config = Config {
            name: "n".to_owned(),
            control: addresses.iter().map(|url| (*url).to_owned()).collect(),
            token: None,
            data_dir: "unused".into(),
            advertised_address: String::new(),
            limits: Bounds::default(),
            readiness: None,
        };
        Control::new(&config).unwrap()
    }

    fn waits(control: &mut Control, tries: usize) -> Vec<u128> {
        let mut waits = Vec::new();
        for _ in 0..tries {
            waits.push(control.turn().as_millis());
        }
        waits
    }

    #[tokio::test]
    async fn every_address_is_tried_before_a_wait_and_waits_grow_with_rounds() {
        let mut control = control(&["http://a:1", "http://b:1", "http://c:1"]);
        let begin = control.at;
        assert_eq!(waits(&mut control, 7), [0, 0, 100, 0, 0, 200, 0]);
        assert_eq!(control.at, (begin + 7) % 3);
        assert_eq!(waits(&mut control, 14)[13], 2_000);
        control.connected();
        assert_eq!(waits(&mut control, 3), [0, 0, 100]);
    }

    #[tokio::test]
    async fn a_single_address_is_waited_for_each_time() {
        let mut control = control(&["http://a:1"]);
        assert_eq!(waits(&mut control, 3), [100, 200, 400]);
    }
}
