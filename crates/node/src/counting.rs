//! How the tokens of a model's prompts are counted before they are sent.
//!
//! A count, even of a model's own tokeniser, misses what the provider adds around a conversation, and an estimate errs by
//! the kind of text. So what is held for a prompt is corrected by what providers have reported of the model's prompts
//! before: by the running mean of reported to counted tokens and twice its running mean deviation, with the gains that
//! TCP uses for round-trip times (see `expected`). The factor is bounded, so that a few odd reports neither hold
//! everything nor nothing.

use std::sync::Arc;

use parking_lot::Mutex;
use tollgate_policy::table::{Model, Table};
use tollgate_provider::chat::{Request, Usage, UsageSource};
use tollgate_provider::embeddings;
use tollgate_provider::tokens::{Counter, Encoding, Tokeniser};

/// What stands for the factor 1.
const ONE: i64 = 1 << 16;
/// The lowest and the highest factor.
const BOUNDS: (i64, i64) = (ONE * 3 / 4, ONE * 2);
/// The lowest and the highest that a single prompt counts as.
const SAMPLE_BOUNDS: (i64, i64) = (ONE / 4, ONE * 4);
/// Shortest prompt that says anything: in shorter ones the frame weighs too much.
const SHORTEST: u64 = 64;
/// Prompts before the experience is trusted.
const FEWEST: u32 = 8;

/// How one model's prompts are counted.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    counter: Counter,
    factor: Mutex<Factor>,
}

/// Both figures are in parts of [`ONE`].
#[derive(Debug, Default, Clone, Copy)]
struct Factor {
    prompts: u32,
    mean: i64,
    deviation: i64,
}

/// The count of one prompt.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    counting: Arc<Counting>,
    tokens: u64,
}

/// The tokenisers that a revision uses. One serves all models of its family.
#[derive(Debug, Default)]
pub(crate) struct Tokenisers(Vec<Arc<Tokeniser>>);

// === impl Counting ===

impl Counting {
    /// The way of a model, with the experience of the revision before.
    pub(crate) fn new(counter: Counter, before: Option<&Self>) -> Self {
        let factor = before.map(|before| *before.factor.lock());
        Self {
            counter,
            factor: Mutex::new(factor.unwrap_or_default()),
        }
    }

    /// Counts a prompt.
    pub(crate) fn count(self: Arc<Self>, request: &Request) -> Counted {
        Counted {
            tokens: self.counter.request(request),
            counting: self,
        }
    }

    /// Counts what is to be embedded.
    pub(crate) fn count_inputs(self: Arc<Self>, request: &embeddings::Request) -> Counted {
        Counted {
            tokens: self.counter.embeddings(request),
            counting: self,
        }
    }
}

// === impl Counted ===

impl Counted {
    /// The tokens as they were counted, and by what.
    pub(crate) fn told(&self) -> (u64, UsageSource) {
        let source = match self.counting.counter {
            Counter::Exact(_) => UsageSource::Counted,
            Counter::Estimate => UsageSource::Estimated,
        };
        (self.tokens, source)
    }

    /// The tokens to hold.
    pub(crate) fn held(&self) -> u64 {
        self.counting.factor.lock().corrected(self.tokens)
    }

    /// This is what was used.
    pub(crate) fn learn(&self, usage: &Usage) {
        if usage.source == UsageSource::Provider && self.tokens >= SHORTEST {
            let mut factor = self.counting.factor.lock();
            factor.learn(self.tokens, usage.input_total);
        }
    }
}

// === impl Factor ===

impl Factor {
    fn learn(&mut self, counted: u64, reported: u64) {
        let (low, high) = SAMPLE_BOUNDS;
        let ratio = u128::from(reported) * ONE.unsigned_abs() as u128 / u128::from(counted.max(1));
        let ratio = i64::try_from(ratio).unwrap_or(high).clamp(low, high);
        if self.prompts == 0 {
            self.mean = ratio;
            self.deviation = ratio / 8;
        } else {
            let error = ratio - self.mean;
            self.mean += error / 8;
            self.deviation += (error.abs() - self.deviation) / 4;
        }
        self.prompts = self.prompts.saturating_add(1);
    }

    fn corrected(self, counted: u64) -> u64 {
        if self.prompts < FEWEST {
            return counted;
        }
        let factor = (self.mean + 2 * self.deviation).clamp(BOUNDS.0, BOUNDS.1);
        let corrected = (u128::from(counted) * factor.unsigned_abs() as u128)
            .div_ceil(ONE.unsigned_abs() as u128);
        u64::try_from(corrected).unwrap_or(u64::MAX)
    }
}

// === impl Tokenisers ===

impl Tokenisers {
    /// The counter of a model, its tokeniser loaded where it wants one, or taken over from the revision before.
    pub(crate) fn counter(
        &mut self,
        before: Option<&Self>,
        table: &Table,
        model: &Model,
    ) -> Counter {
        if !model.exact_tokens {
            return Counter::Estimate;
        }
        let Some(encoding) = encoding(table, model) else {
            tracing::warn!(
                model = &*model.name,
                "tokens are estimated, though the policy wants them counted: its deployments are not all of one family \
                 of OpenAI's; name the models that they are by `base_model`"
            );
            return Counter::Estimate;
        };
        if let Some(loaded) = self.of(encoding) {
            return Counter::Exact(loaded);
        }
        let loaded = before.and_then(|before| before.of(encoding));
        let loaded = loaded.unwrap_or_else(|| Arc::new(Tokeniser::new(encoding)));
        self.0.push(Arc::clone(&loaded));
        Counter::Exact(loaded)
    }

    fn of(&self, encoding: Encoding) -> Option<Arc<Tokeniser>> {
        let mut loaded = self.0.iter();
        loaded.find(|it| it.encoding() == encoding).cloned()
    }
}

/// The encoding of all of a model's deployments. None where one has none that is known, or another.
fn encoding(table: &Table, model: &Model) -> Option<Encoding> {
    let mut encodings = model.targets().map(|target| {
        let deployment = table.deployments().get(target.deployment)?;
        Encoding::of_model(&deployment.base_model)
    });
    let first = encodings.next()??;
    encodings.all(|it| it == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use tollgate_provider::chat::{Message, Role};

    use super::*;

    #[test]
    fn what_is_held_follows_what_providers_report() {
        let mut factor = Factor::default();
        for _ in 0..FEWEST {
            assert_eq!(factor.corrected(1000), 1000, "not trusted yet");
            factor.learn(1000, 1300);
        }
        for _ in 0..100 {
            factor.learn(1000, 1300);
        }
        assert!((1300..1310).contains(&factor.corrected(1000)));
        // Reports that vary leave a margin.
        for _ in 0..50 {
            factor.learn(1000, 900);
            factor.learn(1000, 1100);
        }
        assert!((1100..1250).contains(&factor.corrected(1000)), "{factor:?}");
    }

    #[test]
    fn odd_reports_are_bounded() {
        let mut factor = Factor::default();
        for _ in 0..100 {
            factor.learn(1000, u64::MAX);
        }
        assert_eq!(factor.corrected(1000), 2000);
        for _ in 0..200 {
            factor.learn(u64::MAX, 0);
        }
        assert_eq!(factor.corrected(1000), 750);
        assert_eq!(factor.corrected(u64::MAX - 1), (u64::MAX - 1) / 4 * 3 + 2);
    }

    #[test]
    fn short_prompts_and_estimates_teach_nothing() {
        let counting = Arc::new(Counting::default());
        let request = |text: &str| Request {
            messages: vec![Message::text(Role::User, text)],
            ..Request::default()
        };
        let long = request(&"word ".repeat(200));
        let learn = |request: &Request, source| {
            for _ in 0..FEWEST {
                let counted = Arc::clone(&counting).count(request);
                counted.learn(&Usage::of(10_000, 1, source));
            }
            let counted = Arc::clone(&counting).count(&long);
            counted.held() > counted.tokens
        };
        assert!(!learn(&request("Hello."), UsageSource::Provider));
        assert!(!learn(&long, UsageSource::Estimated));
        assert!(learn(&long, UsageSource::Provider));
        let next = Arc::new(Counting::new(Counter::Estimate, Some(&counting)));
        let counted = next.count(&long);
        assert!(
            counted.held() > counted.tokens,
            "the experience outlives the revision"
        );
    }

    #[test]
    fn a_tokeniser_is_loaded_for_models_of_its_family_only() {
        let text = b"
providers: { openai: { kind: openai, credential: { env: K } }, claude: { kind: anthropic, credential: { env: K } } }
deployments:
  new: { provider: openai, model: gpt-4o }
  named: { provider: openai, model: mine, base_model: gpt-4.1 }
  old: { provider: openai, model: gpt-4 }
  other: { provider: claude, model: claude-haiku-4-5 }
pools: { a: { targets: [ { deployment: new }, { deployment: named } ] }, b: { targets: [ { deployment: old } ] }, c: { targets: [ { deployment: other } ] } }
models:
  exact: { routes: [ { pools: [a] } ], tokens: exact }
  mixed: { routes: [ { pools: [a, b] } ], tokens: exact }
  unknown: { routes: [ { pools: [c] } ], tokens: exact }
  usual: { routes: [ { pools: [a] } ] }
";
        let source = tollgate_policy::yaml::Source { name: "p", text };
        let policy = tollgate_policy::yaml::load(&[source]).unwrap();
        let table = tollgate_policy::compile(&policy, 1).unwrap();
        let mut tokenisers = Tokenisers::default();
        let mut is_exact = |name: &str| {
            let model = table.model(name).unwrap();
            matches!(tokenisers.counter(None, &table, model), Counter::Exact(_))
        };
        let names = ["exact", "mixed", "unknown", "usual"];
        assert_eq!(names.map(&mut is_exact), [true, false, false, false]);
        assert_eq!(tokenisers.0.len(), 1);
    }
}
