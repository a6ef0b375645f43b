//! A network for the run alone: every member in a namespace of its own, one bridge between them.
//!
//! The program itself runs in a network, mount and process namespace that were made for it, so that nothing of
//! this is seen on the machine and all of it is gone with the program, however that ends. The bridge lies in
//! the program's own namespace; what must not pass is dropped there without a word, as a broken network does
//! it: no error, no reset. Faults are directed, from one address to another.
//!
//! Callers and the provider are never cut off: how late a request may arrive at the provider is part of what
//! is promised about it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::member::Member;
use crate::process;

/// The program's own address on the bridge.
const GATEWAY: &str = "10.77.0.1/24";
/// Where `ip netns` keeps its names; in a file system of this run's own.
const NAMES: &str = "/run";
const BRIDGE: &str = "bridge0";

/// Rules of the bridge. An address pair in `cut` loses everything, one in `lossy` a fifth.
const RULES: &str = "
table bridge chaos {
  set cut { type ipv4_addr . ipv4_addr; }
  set lossy { type ipv4_addr . ipv4_addr; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @cut drop
    ip saddr . ip daddr @lossy numgen random mod 100 < 20 drop
  }
}
";

/// From one member to another.
pub(super) type Way = (Member, Member);

/// What is wrong with the network now. One fault may come on top of another: each is undone by itself.
#[derive(Debug, Default)]
pub(super) struct Network {
    cut: BTreeMap<Way, u32>,
    lossy: BTreeMap<Way, u32>,
}

impl Network {
    /// Makes the bridge and a namespace for each member.
    ///
    /// Fails outside of namespaces of the program's own, before it has changed anything.
    pub(super) fn create(members: impl Iterator<Item = Member>) -> anyhow::Result<Self> {
        ensure!(
            std::process::id() == 1,
            "this program makes networks and must be alone in its namespaces: start it by `cargo xtask chaos`"
        );
        command("mount", &["-t", "tmpfs", "tmpfs", NAMES])?;
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        ip(&["addr", "add", GATEWAY, "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        for member in members {
            attach(member).with_context(|| format!("attach {member} to the network"))?;
        }
        nft(RULES)?;
        Ok(Self::default())
    }

    /// Drops everything on these ways, or lets it pass again.
    pub(super) fn cut(&mut self, ways: &[Way], on: bool) -> anyhow::Result<()> {
        count(&mut self.cut, ways, on);
        nft(&elements("cut", &self.cut))
    }

    /// Drops a fifth of the packets on these ways, or no longer does.
    pub(super) fn lose(&mut self, ways: &[Way], on: bool) -> anyhow::Result<()> {
        count(&mut self.lossy, ways, on);
        nft(&elements("lossy", &self.lossy))
    }

    /// Makes everything that is sent to a member pass through a narrow place, where it queues for up to 200 ms
    /// and is lost beyond that; or no longer does.
    pub(super) fn narrow(&self, member: Member, on: bool) -> anyhow::Result<()> {
        let port = port(member);
        match on {
            true => command(
                "tc",
                &[
                    "qdisc", "add", "dev", &port, "root", "tbf", "rate", "512kbit", "burst", "4kb",
                    "latency", "200ms",
                ],
            ),
            false => command("tc", &["qdisc", "del", "dev", &port, "root"]),
        }
    }
}

/// A command that runs a program in a member's namespace. It becomes the program: its process id is the
/// program's.
pub(super) fn inside(member: Member, program: &std::path::Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &member.to_string()]);
    command.arg(program);
    command
}

fn attach(member: Member) -> anyhow::Result<()> {
    let (name, port) = (member.to_string(), port(member));
    ip(&["netns", "add", &name])?;
    ip(&[
        "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name,
    ])?;
    ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
    let address = format!("{}/24", member.address());
    ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
    ip(&["-n", &name, "link", "set", "eth0", "up"])?;
    ip(&["-n", &name, "link", "set", "lo", "up"])
}

/// The member's end on the bridge.
fn port(member: Member) -> String {
    format!("to-{member}")
}

fn count(faults: &mut BTreeMap<Way, u32>, ways: &[Way], on: bool) {
    for way in ways {
        let depth = faults.entry(*way).or_default();
        *depth = if on {
            *depth + 1
        } else {
            depth.saturating_sub(1)
        };
    }
    faults.retain(|_, depth| *depth > 0);
}

/// Replaces a set's elements, in one transaction.
fn elements(set: &str, faults: &BTreeMap<Way, u32>) -> String {
    let pair = |(from, to): &Way| {
        let (from, to): (Ipv4Addr, Ipv4Addr) = (from.address(), to.address());
        format!("{from} . {to}")
    };
    let pairs: Vec<String> = faults.keys().map(pair).collect();
    let mut script = format!("flush set bridge chaos {set}\n");
    if !pairs.is_empty() {
        let pairs = pairs.join(", ");
        script.push_str(&format!("add element bridge chaos {set} {{ {pairs} }}\n"));
    }
    script
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    command("ip", arguments)
}

fn command(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    process::run(Command::new(program).args(arguments)).map(drop)
}

fn nft(script: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("start nft")?;
    let mut input = child.stdin.take().context("nft's input was asked for")?;
    input.write_all(script.as_bytes()).context("tell nft")?;
    drop(input);
    let status = child.wait().context("wait for nft")?;
    ensure!(status.success(), "nft ended with {status} on:\n{script}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_on_top_of_each_other_are_undone_one_by_one() {
        let way = (Member::Etcd(0), Member::Etcd(1));
        let other = (Member::Node(2), Member::Control(0));
        let mut cut = BTreeMap::new();
        count(&mut cut, &[way], true);
        count(&mut cut, &[way, other], true);
        count(&mut cut, &[way], false);
        let script = elements("cut", &cut);
        let expected = "flush set bridge chaos cut
add element bridge chaos cut { 10.77.0.11 . 10.77.0.12, 10.77.0.33 . 10.77.0.21 }
";
        assert_eq!(script, expected);
        count(&mut cut, &[way, other], false);
        assert_eq!(elements("cut", &cut), "flush set bridge chaos cut\n");
    }
}
