//! What a node makes of callers and providers that misbehave.
//!
//! A control plane and a node run as processes, the fake provider beside them. **Misbehaviours**: each of the provider's
//! faults and oddities beside one deployment that is well, and all of them together with it, over both edges, whole and
//! streamed; what breaks off with continuation and without. **Disconnects**: callers go away at random moments; when the
//! provider is told, and what is settled. **Nonces**: many requests of which three in ten are given up, each with a nonce
//! that its answer must repeat: not a byte of another's. All of it goes by a gateway with limits, health and retries, and
//! then by a plain one that only has deployments take turns.
//!
//! Every reply is checked. It does NOT judge: it prints what is wanted beside what is.

mod departures;
mod misbehaviours;
mod summary;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;

use crate::arm::Arm;
use crate::gateway::Gateway;
use crate::load::{Load, Protocol};
use crate::provider::{MockProvider, Options as Provider};
pub use summary::Figures;

/// Shows how a node bears misbehaviour.
#[derive(Debug, Parser)]
#[command(name = "faults")]
pub struct Options {
    /// The gateway's program.
    #[arg(long)]
    tollgate: PathBuf,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/faults.json")]
    out: PathBuf,
    /// Seconds of misbehaviour that are measured, after ten that are not; 0 leaves it out.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Requests per second of each misbehaviour, over each edge, whole and streamed: 156 times as many in all.
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Callers that go away, over both edges together, by either gateway; 0 leaves them out.
    #[arg(long, default_value_t = 10_000)]
    disconnects: u64,
    /// Requests with nonces, over both edges together, and a quarter as many by the plain gateway; 0 leaves them out.
    #[arg(long, default_value_t = 1_000_000)]
    nonces: u64,
}

/// Both edges, whole and streamed.
const WAYS: [(Protocol, bool); 4] = [
    (Protocol::Http, false),
    (Protocol::Http, true),
    (Protocol::Grpc, false),
    (Protocol::Grpc, true),
];

/// Runs the show.
///
/// # Errors
/// The processes could not be started, or the load not be generated.
pub async fn run(options: &Options) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    if options.seconds > 0 {
        for arm in Arm::GATEWAYS {
            let shown = misbehaviours::show(options, arm).await?;
            figures.misbehaviours.push(shown);
            figures.save(&options.out)?;
        }
    }
    if options.disconnects > 0 {
        for arm in Arm::GATEWAYS {
            let shown =
                departures::disconnects(&options.tollgate, arm, options.disconnects).await?;
            figures.disconnects.push(shown);
            figures.save(&options.out)?;
        }
    }
    if options.nonces > 0 {
        for (arm, part) in Arm::GATEWAYS.into_iter().zip([1, 4]) {
            let requests = options.nonces / part;
            let shown = departures::nonces(&options.tollgate, arm, requests).await?;
            figures.nonces.push(shown);
            figures.save(&options.out)?;
        }
    }
    Ok(figures)
}

impl Figures {
    /// Writes what there is by now: a later part may fail.
    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_vec_pretty(self).context("encode the figures")?;
        std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
    }
}

/// What a part runs on.
struct Stage {
    key: String,
    gateway: Gateway,
    provider: MockProvider,
    _directory: tempfile::TempDir,
}

impl Stage {
    /// Starts everything, with a policy for a provider at this address.
    async fn start(
        tollgate: &Path,
        ledger: usize,
        policy: impl Fn(&str) -> String,
    ) -> anyhow::Result<Self> {
        let provider = MockProvider::start_with(Provider {
            ledger_capacity: ledger,
            ..Provider::default()
        })?;
        let directory = tempfile::tempdir().context("create a directory")?;
        let policy = policy(&provider.base_url());
        let gateway = Gateway::start(tollgate, directory.path(), &policy, &[]).await?;
        Ok(Self {
            key: gateway.key("show/show/show")?,
            gateway,
            provider,
            _directory: directory,
        })
    }

    fn load(&self, model: &str, (protocol, stream): (Protocol, bool)) -> Load {
        Load {
            target: self.gateway.url(),
            protocol,
            stream,
            key: self.key.clone(),
            model: model.to_owned(),
            ..Load::default()
        }
    }
}
