//! Child processes: started with their output in a file, ready when they say so, gone when dropped.

mod figures;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempPath;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What tells that a process can be used.
#[derive(Debug, Clone)]
pub enum Ready {
    /// A line of its output contains this text; see [`Process::ready_line`].
    Line(String),
    /// `GET` of this `http://ADDRESS/PATH` answers with a status from 200 to 299.
    Http(String),
    /// This address accepts a connection.
    Tcp(SocketAddr),
    /// It is started, which is all that is asked.
    Started,
}

impl Ready {
    /// [`Ready::Line`] from a literal.
    pub fn line(text: &str) -> Self {
        Self::Line(text.to_owned())
    }
}

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(2);
/// How long a process may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running child process. Dropping it kills it (`SIGKILL`) and waits until it is gone.
///
/// Standard output and error go to one file, read by [`Self::output`].
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    ready_line: String,
}

#[derive(Debug)]
enum Log {
    Temporary(TempPath),
    Kept(PathBuf),
}

impl Log {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(path) => path,
            Self::Kept(path) => path,
        }
    }
}

impl Process {
    /// Starts `command`, with its output in a temporary file, and waits until it is ready.
    ///
    /// Fails, with the end of its output, if it ends or is not ready within 30 seconds.
    pub async fn spawn(name: &str, command: &mut Command, ready: Ready) -> anyhow::Result<Self> {
        let (file, path) = tempfile::NamedTempFile::new()
            .context("create a log file")?
            .into_parts();
        Self::start(name, command, file, Log::Temporary(path), ready).await
    }

    /// The same with the output appended to `log`, which outlives the process.
    pub async fn spawn_logged(
        name: &str,
        command: &mut Command,
        log: &Path,
        ready: Ready,
    ) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("open {}", log.display()))?;
        Self::start(name, command, file, Log::Kept(log.to_owned()), ready).await
    }

    async fn start(
        name: &str,
        command: &mut Command,
        file: File,
        log: Log,
        ready: Ready,
    ) -> anyhow::Result<Self> {
        // What an earlier process left in a kept log must not count as this one's ready line.
        let skip = file.metadata().context("read the log's length")?.len();
        let error_file = file.try_clone().context("share the log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(error_file)
            .spawn()
            .with_context(|| format!("start {name} ({})", command.get_program().display()))?;
        let mut process = Self {
            name: name.to_owned(),
            child,
            log,
            ready_line: String::new(),
        };
        process.wait_ready(&ready, usize::try_from(skip)?).await?;
        Ok(process)
    }

    async fn wait_ready(&mut self, ready: &Ready, skip: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let is_ready = match ready {
                Ready::Started => true,
                Ready::Line(text) => self.find_line(text, skip)?,
                Ready::Http(url) => http_ok(url).await,
                Ready::Tcp(address) => TcpStream::connect(address).await.is_ok(),
            };
            if is_ready {
                return Ok(());
            }
            if let Some(status) = self.try_wait()? {
                bail!(
                    "{} ended with {status} before it was ready:\n{}",
                    self.name,
                    self.tail()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{} was not ready ({ready:?}) within {READY_WITHIN:?}:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn find_line(&mut self, text: &str, skip: usize) -> anyhow::Result<bool> {
        let output = self.output()?;
        let output = output.get(skip..).unwrap_or("");
        // The last piece has no line end yet and may be half a line.
        let complete = output.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let found = complete.lines().find(|line| line.contains(text));
        if let Some(line) = found {
            self.ready_line = line.to_owned();
        }
        Ok(found.is_some())
    }

    /// The line that matched [`Ready::Line`]; empty for other conditions.
    pub fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// The first `http://…` address in the ready line, for a process told to take a free port.
    pub fn ready_url(&self) -> anyhow::Result<&str> {
        let start = self.ready_line.find("http://");
        let start = start.with_context(|| format!("no address in `{}`", self.ready_line))?;
        let tail = &self.ready_line[start..];
        let end = tail.find(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | ')'));
        Ok(&tail[..end.unwrap_or(tail.len())])
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written so far (a kept log: since the log began).
    pub fn output(&self) -> anyhow::Result<String> {
        let path = self.log.path();
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn tail(&self) -> String {
        let output = self.output().unwrap_or_else(|error| format!("{error:#}"));
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until a line of its output contains `text`, and returns the first such line.
    pub async fn wait_line(&self, text: &str, within: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + within;
        loop {
            let output = self.output()?;
            if let Some(line) = output.lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} did not write `{text}` within {within:?}:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills it with no chance to clean up (`kill -9`), and waits until it is gone.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        // Fails only when it has ended already, which is what is wanted.
        let _ended_already = self.child.kill();
        self.child
            .wait()
            .with_context(|| format!("wait for {}", self.name))
    }

    /// Asks it to end (`SIGTERM`) and waits for that; fails if it takes longer than `within`.
    pub async fn terminate(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.ask_to_end()?;
        self.wait(within).await
    }

    /// Asks it to end (`SIGTERM`).
    pub fn ask_to_end(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it ends by itself.
    pub async fn wait(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "{} has not ended within {within:?}:\n{}",
                    self.name,
                    self.tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("look after {}", self.name))
    }

    /// Freezes it (`SIGSTOP`): its connections stay open and silent.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (`SIGCONT`).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("process id of {}", self.name))?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that cannot be killed has ended; one that cannot be waited for is not ours.
        let _ended_already = self.kill();
    }
}

/// Runs `command` to its end and returns its standard output.
///
/// Fails, with what it wrote, unless it ends with success.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}:\n{text}{errors}", output.status);
    }
    Ok(text)
}

/// A loopback address nobody listens on now, for a process that must be told one; it should be
/// started at once, before another takes it.
pub fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("learn the port")?.to_string())
}

/// `GET`s an `http://ADDRESS/PATH` and returns status and body.
///
/// Fails if nothing answers whole within five seconds.
pub async fn get(url: &str) -> anyhow::Result<(u16, String)> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let exchange = async {
        let rest = url.strip_prefix("http://").context("not http://")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut socket = TcpStream::connect(address).await?;
        // HTTP/1.0: the body ends with the connection, and no part of it is chunked.
        let request = format!("GET /{path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut reply = Vec::new();
        socket.read_to_end(&mut reply).await?;
        anyhow::Ok(String::from_utf8(reply)?)
    };
    let reply = tokio::time::timeout(PATIENCE, exchange).await;
    let reply = reply.context("no answer in time").flatten();
    let reply = reply.with_context(|| format!("GET {url}"))?;
    let parsed = reply.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parsed.with_context(|| format!("GET {url}: no HTTP: {reply:.200}"))
}

async fn http_ok(url: &str) -> bool {
    matches!(get(url).await, Ok((200..=299, _)))
}

#[cfg(test)]
mod tests;
