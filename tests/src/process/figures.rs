//! What the kernel knows of a process: time on the processors and memory.

use std::fs;
use std::time::Duration;

use anyhow::Context;

use super::Process;

impl Process {
    /// Time its threads have spent on the processors since its start, from
    /// `/proc/PID/task/*/schedstat` (nanoseconds); threads that have ended are not in it, so a
    /// process whose threads come and go is better measured by [`Self::cpu_ticks`].
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let tasks = format!("/proc/{}/task", self.pid());
        let mut total = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("read {tasks}"))? {
            let path = task
                .context("read a thread's entry")?
                .path()
                .join("schedstat");
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let on_cpu = text.split_whitespace().next().unwrap_or("0");
            let on_cpu: u64 = on_cpu.parse().with_context(|| format!("read `{text}`"))?;
            total += on_cpu;
        }
        Ok(Duration::from_nanos(total))
    }

    /// User and system time of all its threads, ended ones included, from `/proc/PID/stat`: whole
    /// ticks of 10 ms.
    pub fn cpu_ticks(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        // The command's name, in brackets, may itself hold spaces and brackets.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
        let total = total.with_context(|| format!("read `{text}`"))?;
        Ok(Duration::from_millis(total * 10))
    }

    /// Highest resident set so far, bytes (`VmHWM`).
    pub fn peak_rss(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    /// Resident set now, bytes (`VmRSS`).
    pub fn rss(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// Open file descriptors now.
    pub fn open_files(&self) -> anyhow::Result<usize> {
        let path = format!("/proc/{}/fd", self.pid());
        Ok(fs::read_dir(&path)
            .with_context(|| format!("read {path}"))?
            .count())
    }

    fn status_bytes(&self, field: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: Option<u64> = kib.and_then(|kib| kib.trim().parse().ok());
        Ok(kib.with_context(|| format!("find {field} in {path}"))? * 1024)
    }

    /// Process ids of its children, for servers that fork their workers.
    pub fn children(&self) -> anyhow::Result<Vec<u32>> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let ids = text.split_whitespace().map(str::parse);
        ids.collect::<Result<_, _>>()
            .with_context(|| format!("read `{text}`"))
    }
}
