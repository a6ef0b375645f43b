//! The processes under comparison and the ways to them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::load::Protocol;
use crate::process::{Process, Ready, free_address, get};
use crate::provider::Stats;

/// nginx as the far end of the protocol that gRPC runs on, which costs either proxy more than HTTP/1.1.
pub(super) const NGINX_HTTP2: &str = "nginx over HTTP/2";

/// One way to the provider.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) url: String,
    pub(super) protocol: Protocol,
    pub(super) key: String,
    under_test: UnderTest,
}

#[derive(Debug, Clone, Copy)]
enum UnderTest {
    Nothing,
    Nginx,
    Node,
}

/// All processes, ready to be measured.
#[derive(Debug)]
pub(super) struct Stand {
    targets: Vec<Target>,
    gateway: Option<Gateway>,
    nginx: Process,
    provider: Process,
    /// Dropped last: the processes have their files in it.
    _directory: TempDir,
}

/// Peak resident sets, bytes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct PeakRss {
    pub(super) nginx: u64,
    pub(super) node: Option<u64>,
    pub(super) control: Option<u64>,
}

impl Stand {
    pub(super) async fn start(
        nginx: &Path,
        tollgate: Option<&Path>,
        models: &[&str],
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("create a directory")?;
        let beside = std::env::current_exe().context("find this program")?;
        let provider = Process::spawn(
            "mock-provider",
            Command::new(beside.with_file_name("mock-provider")).arg("--no-ledger"),
            Ready::line("ready on"),
        )
        .await?;
        let provider_url = provider.ready_url()?.to_owned();
        let (nginx, urls) = start_nginx(nginx, directory.path(), &provider_url).await?;
        let [nginx_url, nginx_http2_url] = urls;
        let mut targets = vec![
            Target::plain("direct", provider_url.clone(), UnderTest::Nothing),
            Target::plain("nginx", nginx_url, UnderTest::Nginx),
            Target {
                protocol: Protocol::Http2,
                ..Target::plain(NGINX_HTTP2, nginx_http2_url, UnderTest::Nginx)
            },
        ];
        let mut gateway = None;
        if let Some(tollgate) = tollgate {
            let policy = policy_text(&provider_url, models);
            let started = Gateway::start(tollgate, directory.path(), &policy, &[]).await?;
            let key = started.key("bench/bench/bench")?;
            targets.extend(ways_through(&started, &key));
            gateway = Some(started);
        }
        Ok(Self {
            targets,
            gateway,
            nginx,
            provider,
            _directory: directory,
        })
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Processor time spent so far by the process that `target` is to measure.
    pub(super) fn cpu(&self, target: &Target) -> anyhow::Result<Option<Duration>> {
        let process = match target.under_test {
            UnderTest::Nothing => None,
            UnderTest::Nginx => Some(&self.nginx),
            UnderTest::Node => self.gateway.as_ref().map(|gateway| &gateway.node),
        };
        process.map(Process::cpu).transpose()
    }

    pub(super) fn peak_rss(&self) -> anyhow::Result<PeakRss> {
        let gateway = self.gateway.as_ref();
        Ok(PeakRss {
            nginx: self.nginx.peak_rss()?,
            node: gateway.map(|gateway| gateway.node.peak_rss()).transpose()?,
            control: gateway
                .map(|gateway| gateway.control.peak_rss())
                .transpose()?,
        })
    }

    /// What the provider has counted.
    pub(super) async fn provider_stats(&self) -> anyhow::Result<Stats> {
        let url = format!("{}/_stats", self.provider.ready_url()?);
        let (status, body) = get(&url).await?;
        ensure!(status == 200, "{url}: {status} {body}");
        serde_json::from_str(&body).context("read the provider's totals")
    }
}

impl Target {
    fn plain(name: &'static str, url: String, under_test: UnderTest) -> Self {
        Self {
            name,
            url,
            protocol: Protocol::Http,
            key: "sk-bench".to_owned(),
            under_test,
        }
    }
}

fn ways_through(gateway: &Gateway, key: &str) -> [Target; 2] {
    let target = |name, protocol| Target {
        name,
        url: gateway.url(),
        protocol,
        key: key.to_owned(),
        under_test: UnderTest::Node,
    };
    [
        target("node over HTTP", Protocol::Http),
        target("node over gRPC", Protocol::Grpc),
    ]
}

async fn start_nginx(
    program: &Path,
    directory: &Path,
    provider_url: &str,
) -> anyhow::Result<(Process, [String; 2])> {
    let addresses = [free_address()?, free_address()?];
    let upstream = provider_url.trim_start_matches("http://");
    let home = directory.join("nginx");
    fs::create_dir_all(&home).context("create nginx's directory")?;
    let config = directory.join("nginx.conf");
    fs::write(&config, nginx_config(&home, &addresses, upstream)).context("write nginx.conf")?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&home).arg("-c").arg(&config);
    command.arg("-e").arg(home.join("error.log"));
    let urls = addresses.map(|address| format!("http://{address}"));
    let ready = Ready::Http(format!("{}/_health", urls[0]));
    Ok((Process::spawn("nginx", &mut command, ready).await?, urls))
}

/// A plain reverse proxy, one process, with all that makes it fast: kept-alive connections on both
/// sides, no access log. Buffering is off, or it would hold a stream's chunks back.
fn nginx_config(home: &Path, addresses: &[impl fmt::Display; 2], upstream: &str) -> String {
    let home = home.display();
    let [http1, http2] = addresses;
    format!(
        "daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    client_body_buffer_size 256k;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    upstream provider {{
        server {upstream};
        keepalive 256;
        keepalive_timeout 1h;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {http1};
        listen {http2} http2;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}

/// Each model by its own name, with a price, and two limits that count all and refuse nothing.
fn policy_text(provider_url: &str, models: &[&str]) -> String {
    let mut text = format!(
        "providers:
  mock: {{ kind: openai_compatible, base_url: \"{provider_url}/v1\", internal: true }}
limits:
  - {{ name: key-requests, per: [key], requests: 1000000000, window: 1m }}
  - {{ name: key-tokens, per: [key], tokens: 1000000000000, window: 1m }}
"
    );
    let each =
        |line: fn(&str) -> String| -> String { models.iter().map(|model| line(model)).collect() };
    text += "deployments:\n";
    text += &each(|m| {
        format!(
            "  {m}: {{ provider: mock, model: {m}, price: {{ input: \"0.15\", output: \"0.6\" }} }}\n"
        )
    });
    text += "pools:\n";
    text += &each(|m| format!("  {m}: {{ targets: [{{ deployment: {m} }}] }}\n"));
    text += "models:\n";
    text += &each(|m| format!("  {m}: {{ routes: [{{ pools: [{m}] }}] }}\n"));
    text
}
