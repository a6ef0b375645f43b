//! Everything behind a model fails at once, and then works again.

use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Stage;
use super::asker::Asker;
use super::summary::{Books, Outage};
use crate::arm::Arm;
use crate::load::{Load, Pace, Report, prompt, run_async};
use crate::provider::{Behaviour, Entry};

/// Models, and what befalls all of their deployments.
pub(super) const KINDS: [(&str, &str); 3] = [
    ("down", "status-500"),
    ("limited", "status-429"),
    ("hung", "hang"),
];
/// What is counted for each team, and each model has callers of one team. Nothing reaches these.
pub(super) const LIMITS: &str =
    "  - { name: requests, per: [team], requests: 1000000000, window: 1mo }
  - { name: tokens, per: [team], tokens: 1000000000000 }
";

/// Outages of each kind.
const TIMES: usize = 2;
/// How many seconds each lasts. Drawn: cool-downs double from second to second, and a fixed length would always meet them
/// at the same point.
const LASTS: Range<f64> = 20.0..40.0;
/// Requests per second meanwhile, to each.
const RATE: f64 = 50.0;
/// Bytes of a prompt: so few that a node does not learn from them how far its count is off, and reserves just what it
/// counts.
const PROMPT: usize = 128;
/// What goes before, so that the node knows the deployments, and what follows each outage.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(10);
/// After so long without an answer nobody waits for recovery any more.
const GIVE_UP: Duration = Duration::from_secs(60);
/// How long charges may take to reach the owner of the limits.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// A model whose deployments are all in trouble, and who calls it.
struct Stricken {
    arm: Arm,
    kind: &'static str,
    fault: Behaviour,
    key: String,
}

/// All kinds of outages at the same time, each with the same lengths for all that are compared.
pub(super) async fn outages(stage: &Stage, seed: u64) -> anyhow::Result<Vec<Outage>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut lengths = || [(); TIMES].map(|()| Duration::from_secs_f64(random.random_range(LASTS)));
    let [down, limited, hung] = KINDS;
    let (down, limited, hung) = tokio::try_join!(
        compared(stage, down, lengths()),
        compared(stage, limited, lengths()),
        compared(stage, hung, lengths())
    )?;
    Ok([down, limited, hung].into_iter().flatten().collect())
}

async fn compared(
    stage: &Stage,
    (kind, fault): (&'static str, &str),
    lengths: [Duration; TIMES],
) -> anyhow::Result<[Outage; 3]> {
    let stricken = |arm: Arm| {
        let team = arm.of(kind);
        anyhow::Ok(Stricken {
            arm,
            kind,
            fault: fault.parse()?,
            key: stage.gateway.key(&format!("show/{team}/show"))?,
        })
    };
    let (ours, plain, direct) = (
        stricken(Arm::Ours)?,
        stricken(Arm::Plain)?,
        stricken(Arm::Direct)?,
    );
    let (ours, plain, direct) = tokio::try_join!(
        ours.outages(stage, &lengths),
        plain.outages(stage, &lengths),
        direct.outages(stage, &lengths)
    )?;
    Ok([ours, plain, direct])
}

impl Stricken {
    async fn outages(&self, stage: &Stage, lengths: &[Duration]) -> anyhow::Result<Outage> {
        let mut outage = Outage::new(self.arm, self.kind);
        self.calls(stage, BEFORE).await?.all_ok()?;
        for lasts in lengths {
            let before = asked(stage, &outage.model()).len();
            self.behave(stage, Some(&self.fault));
            let during = self.calls(stage, *lasts).await?;
            outage.attempts += asked(stage, &outage.model()).len() - before;
            self.behave(stage, None);
            let recovery = self.recovery(stage).await?;
            let after = self.calls(stage, AFTER).await?;
            outage.lasted(*lasts, &during);
            outage.recovered(recovery, &after);
        }
        Ok(outage)
    }

    fn behave(&self, stage: &Stage, behaviour: Option<&Behaviour>) {
        let model = self.arm.of(self.kind);
        for number in 1..=3 {
            let name = format!("{model}-{number}@ok");
            stage.provider.behave_for(&name, behaviour.cloned());
        }
    }

    /// From now to the first answer.
    async fn recovery(&self, stage: &Stage) -> anyhow::Result<Duration> {
        let healed = Instant::now();
        let one = Load {
            pace: Pace::Closed,
            callers: 1,
            timeout: Duration::from_secs(5),
            ..self.load(stage, Duration::from_millis(50))
        };
        while run_async(&one).await?.ok == 0 {
            let model = self.arm.of(self.kind);
            ensure!(healed.elapsed() < GIVE_UP, "`{model}` does not recover");
        }
        Ok(healed.elapsed())
    }

    async fn calls(&self, stage: &Stage, duration: Duration) -> anyhow::Result<Report> {
        run_async(&self.load(stage, duration)).await
    }

    fn load(&self, stage: &Stage, duration: Duration) -> Load {
        Load {
            pace: Pace::Open { rate: RATE },
            key: self.key.clone(),
            prompt_bytes: PROMPT,
            warmup: Duration::ZERO,
            duration,
            ..stage.load_of(self.arm, self.kind)
        }
    }
}

/// What callers of a model were charged, and what for by the provider's records. Waits until the owner of the limits knows.
pub(super) async fn books(stage: &Stage, asker: &mut Asker, model: &str) -> anyhow::Result<Books> {
    let ledger = asked(stage, model);
    let nonces: HashSet<_> = ledger.iter().map(|entry| entry.nonce.as_str()).collect();
    let tokens = |entry: &Entry| entry.prompt_tokens + entry.completion_tokens;
    let mut books = Books {
        requests: nonces.len() as u64,
        requests_charged: 0,
        tokens: ledger.iter().map(tokens).sum(),
        tokens_charged: 0,
        untold: 0,
        reserved: 0,
    };
    for entry in ledger.iter().filter(|entry| entry.status == 0) {
        let text = prompt(&entry.nonce, PROMPT);
        let answer = u64::from(Load::default().most_tokens());
        books.untold += 1;
        books.reserved += asker.count(model, &text).await? + answer;
    }
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let spent = |limit| stage.gateway.spent(&format!("{limit}/team=show/{model}"));
        books.requests_charged = spent("requests")?;
        books.tokens_charged = spent("tokens")?;
        if books.are_even() || Instant::now() > until {
            return Ok(books);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the provider was asked for a model.
fn asked(stage: &Stage, model: &str) -> Vec<Entry> {
    let names = [1, 2, 3].map(|number| format!("{model}-{number}@ok"));
    let mut ledger = stage.provider.ledger();
    ledger.retain(|entry| names.contains(&entry.model));
    ledger
}
