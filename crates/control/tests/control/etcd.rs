//! A real etcd server for one test, on loopback ports of its own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tollgate_control::store::etcd::Etcd;

/// Dies with the test.
pub(crate) struct Server {
    program: PathBuf,
    data: TempDir,
    client_port: u16,
    peer_port: u16,
    process: Child,
}

impl Server {
    /// Starts an empty server and waits until it serves.
    pub(crate) fn start() -> Self {
        let program = std::env::var_os("TOLLGATE_TEST_ETCD")
            .expect("TOLLGATE_TEST_ETCD is not set: run `cargo xtask test`, which installs etcd");
        let program = PathBuf::from(program);
        let data = tempfile::tempdir().unwrap();
        let (client_port, peer_port) = free_ports();
        let process = spawn(&program, &data, client_port, peer_port);
        Self {
            program,
            data,
            client_port,
            peer_port,
            process,
        }
    }

    pub(crate) async fn client(&self) -> Etcd {
        Etcd::connect(&[self.endpoint()]).await.unwrap()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// Ends it as a power cut would: SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the same data and ports.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.program, &self.data, self.client_port, self.peer_port);
    }

    /// Sends it a signal by name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success(), "kill -s {name} {pid}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> (u16, u16) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [client, peer] = listeners.map(|listener| listener.local_addr().unwrap().port());
    (client, peer)
}

fn spawn(program: &PathBuf, data: &TempDir, client_port: u16, peer_port: u16) -> Child {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut child = Command::new(program)
        .arg("--data-dir")
        .arg(data.path())
        .args([
            "--name",
            "only",
            "--initial-cluster",
            &format!("only={peer}"),
        ])
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args(["--log-outputs", "stderr"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("ready to serve client requests") {
        let read = log.read_line(&mut seen).unwrap();
        assert!(read > 0, "etcd ended before it served:\n{seen}");
    }
    // Its log is read to the end, so that it never blocks on a full pipe.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    child
}
