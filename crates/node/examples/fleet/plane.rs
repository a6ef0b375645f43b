//! An etcd server and a control plane, for as long as they are needed.

use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long both may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Dropping it ends both.
pub(crate) struct Plane {
    url: String,
    data: tempfile::TempDir,
    _processes: [Running; 2],
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It is ended already, or will be now; nobody can be told of anything else here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Plane {
    /// Starts both, and makes this the policy.
    pub(crate) async fn start(
        etcd: &Path,
        tollgate: &Path,
        policy: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let data = tempfile::tempdir()?;
        let [clients, peers, control, ops] = free_ports()?;
        let store = start_etcd(etcd, data.path(), (clients, peers))?;
        let mut command = Command::new(tollgate);
        let listen = format!("127.0.0.1:{control}");
        command
            .args(["control", "--store", &format!("etcd://127.0.0.1:{clients}")])
            .args(["--listen", &listen])
            .args(["--ops-listen", &format!("127.0.0.1:{ops}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let plane = Self {
            url: format!("http://{listen}"),
            _processes: [store, Running(command.spawn()?)],
            data,
        };
        plane.apply(tollgate, policy).await?;
        Ok(plane)
    }

    /// The control plane's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn apply(&self, tollgate: &Path, policy: &str) -> Result<(), Box<dyn Error>> {
        let file = self.data.path().join("policy.yaml");
        std::fs::write(&file, policy)?;
        let file = file.display().to_string();
        self.until_done(tollgate, &["apply", "-f", &file]).await?;
        // Its limits have owners once it can list them.
        self.until_done(tollgate, &["limits"]).await
    }

    /// Tries until the control plane is ready.
    async fn until_done(&self, tollgate: &Path, verb: &[&str]) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        loop {
            let mut command = Command::new(tollgate);
            command.args(verb).env("TOLLGATE_CONTROL", &self.url);
            let output = command.output()?;
            if output.status.success() {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("the control plane does not do {verb:?}: {said}").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn start_etcd(program: &Path, data: &Path, ports: (u16, u16)) -> Result<Running, Box<dyn Error>> {
    let clients = format!("http://127.0.0.1:{}", ports.0);
    let peers = format!("http://127.0.0.1:{}", ports.1);
    let mut command = Command::new(program);
    command
        .arg("--data-dir")
        .arg(data.join("etcd"))
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("default={peers}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(Running(command.spawn()?))
}

/// Ports that nobody listens at.
fn free_ports<const N: usize>() -> Result<[u16; N], Box<dyn Error>> {
    let bound = || TcpListener::bind("127.0.0.1:0");
    let listeners: Vec<TcpListener> = std::iter::repeat_with(bound)
        .take(N)
        .collect::<Result<_, _>>()?;
    let ports = listeners.iter().map(|l| Ok(l.local_addr()?.port()));
    let ports: Vec<u16> = ports.collect::<Result<_, std::io::Error>>()?;
    ports.try_into().map_err(|_| "too few ports".into())
}
