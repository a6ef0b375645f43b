//! Carries faults out and undoes them, on time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::Instant;

use super::fleet::Fleet;
use super::member::Member;
use super::network::{Network, Way};
use super::now_ms;
use super::plan::{Blow, Fault, Scheduled, Target};
use super::politics::Politics;
use super::stage::Amounts;
use super::watch::{Watch, leader};

/// Faults at work at the same time at most.
const AT_ONCE: usize = 3;
/// A process that was asked to end must have done so by then.
const END_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks at what is due.
const STEP: Duration = Duration::from_millis(20);

/// What happened.
#[derive(Debug, Default, Serialize)]
pub(super) struct Record {
    /// Faults carried out, by name.
    pub(super) faults: BTreeMap<&'static str, u32>,
    /// Everything in the order of its time.
    pub(super) events: Vec<Event>,
    /// What must not happen whatever the faults: a process that fell over by itself, or did not end.
    pub(super) defects: Vec<String>,
    /// When some node stood still: begin and end, milliseconds since 1970.
    pub(super) freezes: Vec<(u64, u64)>,
}

/// One line of the run's log.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) at_ms: u64,
    pub(super) what: String,
}

/// How a fault is undone.
#[derive(Debug)]
enum Undo {
    Launch(Member),
    /// Once it has ended, which it was asked to at that time.
    Relaunch(Member, Instant),
    Thaw(Member, u64),
    Mend(Vec<Way>),
    Keep(Vec<Way>),
    Widen(Member),
    Restore,
}

/// Everything that faults work on.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) fleet: Fleet,
    pub(super) network: Network,
    pub(super) watch: Watch,
    pub(super) politics: Politics,
    pub(super) record: Record,
}

impl Stand {
    /// Lets a storm pass over the stage of these amounts, and looks after fallen processes meanwhile.
    pub(super) async fn weather(
        &mut self,
        storm: &[Scheduled],
        length: Duration,
        amounts: &Amounts,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut coming = storm.iter().peekable();
        let mut active: Vec<(Instant, Undo)> = Vec::new();
        loop {
            self.pick_up().await?;
            let now = Instant::now();
            for (until, undo) in std::mem::take(&mut active) {
                let left = if now >= until {
                    self.undo(undo, amounts).await?
                } else {
                    Some(undo)
                };
                active.extend(left.map(|undo| (until, undo)));
            }
            if let Some(next) = coming.next_if(|next| begin + next.at <= now)
                && active.len() < AT_ONCE
            {
                let undo = self.strike(next, &active, amounts).await?;
                active.extend(undo.map(|undo| (Instant::now() + next.lasts, undo)));
            }
            if active.is_empty() && now >= begin + length {
                return Ok(());
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// Launches what has fallen over by itself, which is a defect.
    async fn pick_up(&mut self) -> anyhow::Result<()> {
        for (member, status) in self.fleet.fallen()? {
            let text = format!("{member} ended by itself: {status}");
            self.note(&text);
            self.record.defects.push(text);
            self.fleet.launch(member).await?;
        }
        Ok(())
    }

    fn note(&mut self, what: &str) {
        self.record.events.push(Event {
            at_ms: now_ms(),
            what: what.to_owned(),
        });
    }

    /// Carries a fault out. None where its target is down or stopped already.
    async fn strike(
        &mut self,
        next: &Scheduled,
        active: &[(Instant, Undo)],
        amounts: &Amounts,
    ) -> anyhow::Result<Option<Undo>> {
        let Fault::Blow(target, blow) = next.fault else {
            self.halve(next, amounts)?;
            return Ok(Some(Undo::Restore));
        };
        let member = match target {
            Target::Member(member) => Some(member),
            Target::Leader => leader().await,
            Target::Owner => self.watch.owner(),
        };
        let busy: BTreeSet<Member> = active.iter().filter_map(|(_, undo)| undo.busy()).collect();
        let Some(member) = member.filter(|member| !busy.contains(member)) else {
            return Ok(None);
        };
        *self.record.faults.entry(blow.name()).or_default() += 1;
        let lasts = next.lasts.as_millis();
        self.note(&format!(
            "{} {target} ({member}) for {lasts} ms",
            blow.name()
        ));
        self.blow(member, blow)
            .with_context(|| format!("{} {member}", blow.name()))
            .map(Some)
    }

    fn halve(&mut self, next: &Scheduled, amounts: &Amounts) -> anyhow::Result<()> {
        *self.record.faults.entry("limits halved").or_default() += 1;
        self.note(&format!(
            "halve the limits for {} ms",
            next.lasts.as_millis()
        ));
        let half = amounts.map(|amount| amount.map(|amount| (amount / 2).max(1)));
        self.politics.push(half)
    }

    fn blow(&mut self, member: Member, blow: Blow) -> anyhow::Result<Undo> {
        let ways = |peers: &[Member]| -> Vec<Way> {
            let both = peers.iter().map(|peer| [(member, *peer), (*peer, member)]);
            both.flatten().collect()
        };
        let peers = member.peers();
        let nth = |number: usize| peers[number % peers.len()];
        match blow {
            Blow::Kill => {
                self.fleet.kill(member)?;
                Ok(Undo::Launch(member))
            }
            Blow::Stop => {
                self.fleet.ask_to_end(member)?;
                Ok(Undo::Relaunch(member, Instant::now()))
            }
            Blow::Freeze => {
                let process = self.fleet.process(member).context("it runs")?;
                process.pause()?;
                Ok(Undo::Thaw(member, now_ms()))
            }
            Blow::Cut { peer } => self.cut(ways(&[nth(peer)])),
            Blow::Mute { peer } => self.cut(vec![(member, nth(peer))]),
            Blow::Isolate => self.cut(ways(&peers)),
            Blow::Lose => {
                let ways = ways(&peers);
                self.network.lose(&ways, true)?;
                Ok(Undo::Keep(ways))
            }
            Blow::Narrow => {
                self.network.narrow(member, true)?;
                Ok(Undo::Widen(member))
            }
        }
    }

    fn cut(&mut self, ways: Vec<Way>) -> anyhow::Result<Undo> {
        self.network.cut(&ways, true)?;
        Ok(Undo::Mend(ways))
    }

    /// Undoes a fault, or says that it cannot be yet.
    async fn undo(&mut self, undo: Undo, amounts: &Amounts) -> anyhow::Result<Option<Undo>> {
        match undo {
            Undo::Launch(member) => {
                self.note(&format!("start {member}"));
                self.fleet.launch(member).await?;
            }
            Undo::Relaunch(member, asked) => {
                if !self.fleet.has_ended(member)? {
                    if asked.elapsed() < END_WITHIN {
                        return Ok(Some(Undo::Relaunch(member, asked)));
                    }
                    let text = format!("{member} did not end within {END_WITHIN:?} of SIGTERM");
                    self.note(&text);
                    self.record.defects.push(text);
                    self.fleet.kill(member)?;
                }
                self.note(&format!("start {member} again"));
                self.fleet.launch(member).await?;
            }
            Undo::Thaw(member, since_ms) => {
                self.fleet.process(member).context("it runs")?.resume()?;
                if matches!(member, Member::Node(_)) {
                    self.record.freezes.push((since_ms, now_ms()));
                }
            }
            Undo::Mend(ways) => self.network.cut(&ways, false)?,
            Undo::Keep(ways) => self.network.lose(&ways, false)?,
            Undo::Widen(member) => self.network.narrow(member, false)?,
            Undo::Restore => self.politics.push(*amounts)?,
        }
        Ok(None)
    }
}

impl Undo {
    /// The member that no other fault may strike meanwhile.
    fn busy(&self) -> Option<Member> {
        match self {
            Self::Launch(member)
            | Self::Relaunch(member, _)
            | Self::Thaw(member, _)
            | Self::Widen(member) => Some(*member),
            Self::Mend(_) | Self::Keep(_) | Self::Restore => None,
        }
    }
}
