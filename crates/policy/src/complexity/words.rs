//! The words that speak for work or against it.

/// What a word says of the work that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It is much: to reason, to design, to build.
    Hard,
    /// It is little: to look up, to reword, to sort into classes.
    Light,
    /// It is bound by a rule.
    Constraint,
    /// There is a further part of it.
    Step,
}

/// Longest word that is known, in bytes.
const LONGEST: usize = 16;

/// A word as a number, its bytes from the highest on: numbers are in the order of the words.
type Packed = u128;

/// What a word says, however it is capitalised.
pub(super) fn work_of(word: &str) -> Option<Work> {
    let first = *word.as_bytes().first()?;
    // Most words of a text are none of these, and this tells most of them at once.
    if word.len() > LONGEST || LENGTHS[usize::from(first & 31)] & (1 << word.len()) == 0 {
        return None;
    }
    let word = pack(word);
    let mut kinds = KNOWN.into_iter();
    kinds.find_map(|(work, words)| words.binary_search(&word).is_ok().then_some(work))
}

/// The words of each kind.
const KNOWN: [(Work, &[Packed]); 4] = [
    (Work::Hard, HARD),
    (Work::Light, LIGHT),
    (Work::Constraint, CONSTRAINTS),
    (Work::Step, STEPS),
];

/// The lengths of known words, a bit for each, by the letter that they begin with.
const LENGTHS: [u32; 32] = {
    let mut lengths = [0; 32];
    let mut kind = 0;
    while kind < KNOWN.len() {
        let words = KNOWN[kind].1;
        let mut at = 0;
        while at < words.len() {
            let bytes = words[at].to_be_bytes();
            let unused = words[at].trailing_zeros() as usize / 8;
            lengths[(bytes[0] & 31) as usize] |= 1 << (LONGEST - unused);
            at += 1;
        }
        kind += 1;
    }
    lengths
};

/// A word of at most 16 bytes in lower case. What is beyond is cut off.
const fn pack(word: &str) -> Packed {
    let (bytes, mut packed) = (word.as_bytes(), 0);
    let mut at = 0;
    while at < LONGEST {
        let byte = if at < bytes.len() {
            bytes[at].to_ascii_lowercase()
        } else {
            0
        };
        packed = packed << 8 | byte as Packed;
        at += 1;
    }
    packed
}

const fn packed<const N: usize>(words: [&str; N]) -> [Packed; N] {
    let mut all = [0; N];
    let mut at = 0;
    while at < N {
        all[at] = pack(words[at]);
        at += 1;
    }
    all
}

// In the order of their bytes. Forms are listed one by one: to cut words down to their stems finds "proven" in
// "provence".

#[rustfmt::skip]
const HARD: &[Packed] = &packed([
    "algorithm", "algorithms", "allocator", "analiza", "analyse", "analysez", "analysiere",
    "analysis", "analyze", "analyzing", "architect", "architecture", "architektur", "argue",
    "argument", "assumptions", "asynchronous", "audit", "bayesian", "begründe", "beweis",
    "beweise", "bottleneck", "bottlenecks", "bug", "bugs", "cache", "causal", "compara",
    "compare", "comparez", "comparing", "comparison", "compiler", "complexity", "compose",
    "concevoir", "concurrency", "concurrent", "confounders", "consequences", "consistency",
    "convergence", "conçois", "counterexample", "critique", "deadlock", "debug", "debugging",
    "decide", "decompose", "deduce", "demuestra", "demuestre", "derivation", "derivative",
    "derive", "design", "designs", "develop", "diagnose", "diagnosing", "differentiate", "diseña",
    "distributed", "démontre", "démontrer", "eigenvalues", "entwickle", "entwirf", "equation",
    "equations", "estimate", "evaluate", "evaluation", "forecast", "formalize", "formulate",
    "gradient", "heuristic", "heuristics", "hypotheses", "hypothesis", "implement",
    "implementation", "implementing", "implements", "implications", "induction", "infer",
    "integral", "integrate", "interpret", "invariant", "invariants", "investigate", "justify",
    "latency", "lemma", "matrix", "migrate", "migration", "model", "modeling", "multithreaded",
    "negotiate", "optimiere", "optimisation", "optimise", "optimiza", "optimization", "optimize",
    "optimizing", "parser", "plan", "planning", "prevent", "prioritise", "prioritize",
    "probability", "profile", "profiling", "proof", "proofs", "protocol", "prove", "proves",
    "queue", "race", "reason", "reasoning", "recommend", "reconcile", "recursion", "recursive",
    "refactor", "refactoring", "regression", "review", "rigorous", "rigorously", "roadmap",
    "root", "scalability", "scalable", "scheduler", "schema", "simulate", "solve", "solving",
    "strategies", "strategy", "synthesise", "synthesize", "theorem", "thread", "threads",
    "threat", "throughput", "tradeoff", "tradeoffs", "transaction", "transactions", "vergleiche",
    "vulnerability",
]);

#[rustfmt::skip]
const LIGHT: &[Packed] = &packed([
    "answer", "antonym", "capitalise", "capitalize", "categorise", "categorize", "classify",
    "convert", "correct", "corrige", "count", "define", "definition", "extract", "fasse", "fix",
    "format", "grammar", "hello", "hey", "hi", "korrigiere", "label", "list", "lists", "lookup",
    "name", "nenne", "paraphrase", "proofread", "rename", "rephrase", "reply", "resume",
    "rewrite", "résume", "shorten", "sort", "spell", "spelling", "summarise", "summarize",
    "summary", "synonym", "synonyms", "tag", "thank", "thanks", "tldr", "traduce", "traduire",
    "traduis", "translate", "translates", "translation", "typo", "typos", "what", "what's",
    "whats", "when", "where", "which", "who", "write", "yes", "übersetze",
]);

#[rustfmt::skip]
const CONSTRAINTS: &[Packed] = &packed([
    "always", "assuming", "avoid", "bounded", "cannot", "constraint", "constraints", "debe",
    "doit", "ensure", "ensuring", "every", "exactly", "except", "given", "guarantee",
    "guarantees", "höchstens", "least", "maximise", "maximize", "mindestens", "minimise",
    "minimize", "most", "muss", "must", "müssen", "never", "ohne", "only", "precise",
    "requirement", "requirements", "respectively", "sans", "satisfies", "satisfy", "satisfying",
    "shall", "should", "sin", "unless", "valid", "without",
]);

#[rustfmt::skip]
const STEPS: &[Packed] = &packed([
    "additionally", "after", "afterwards", "also", "because", "both", "comment", "each",
    "finally", "first", "furthermore", "how", "next", "porque", "pourquoi", "second", "step",
    "steps", "then", "third", "warum", "why", "wie",
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_order_and_found_in_any_case() {
        for (work, words) in KNOWN {
            assert!(words.is_sorted_by(|a, b| a < b), "{work:?}");
            // The last byte is another's only where a word was cut off.
            assert!(words.iter().all(|word| word & 0xff == 0), "{work:?}");
        }
        assert_eq!(work_of("Prove"), Some(Work::Hard));
        assert_eq!(work_of("TRANSLATE"), Some(Work::Light));
        for (word, work) in [
            ("provence", None),
            ("prov", None),
            ("multithreaded", Some(Work::Hard)),
            ("multithreadedly", None),
            ("antidisestablishmentarianism", None),
            ("\u{e4}hnlich", None),
            ("", None),
        ] {
            assert_eq!(work_of(word), work, "{word}");
        }
    }
}
