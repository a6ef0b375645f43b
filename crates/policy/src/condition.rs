//! Conditions that operators write: expressions in CEL, the Common Expression Language
//! (<https://github.com/google/cel-spec>).
//!
//! A condition is checked when the policy is: it parses, every name is known, every operator and function gets what
//! it takes, and the whole is true or false. What can still fail when it is evaluated is only a label that a caller
//! lacks. The checked part of the language has no loops, so that an evaluation takes time in the length of the text.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::parser::PrattParser;
use cel::{Context, IdedExpr, Value};

use crate::table::{Caller, Labels};

mod check;
mod uses;

pub(crate) use uses::Uses;

/// Longest condition, in bytes.
pub(crate) const MAX_LENGTH: usize = 1024;
/// Deepest nesting. Reading goes down the stack as deep, and the stacks that this runs on are small.
const MAX_DEPTH: u16 = 32;

/// A checked condition.
#[derive(Debug)]
pub struct Condition {
    text: Box<str>,
    expression: IdedExpr,
    uses: Uses,
}

impl Condition {
    /// Reads and checks a condition of a limit.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it where that is known.
    pub(crate) fn new(text: &str) -> Result<Self, Wrong> {
        Self::over(text, check::OF_LIMITS)
    }

    /// Reads and checks a condition of a route.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it where that is known.
    pub(crate) fn of_route(text: &str) -> Result<Self, Wrong> {
        Self::over(text, check::OF_ROUTES)
    }

    fn over(text: &str, variables: check::Variables) -> Result<Self, Wrong> {
        if text.len() > MAX_LENGTH {
            return Err(Wrong::new(format!(
                "is longer than {MAX_LENGTH} characters"
            )));
        }
        let parser = PrattParser::new().max_recursion_depth(MAX_DEPTH);
        let expression = parser.parse(text).map_err(|errors| {
            let first = errors.errors.first();
            let (column, problem) = first.map_or((0, ""), |it| (it.pos.1, it.msg.as_str()));
            Wrong::new(format!(
                "is not an expression: {} at character {column}",
                crate::path::shorten(problem)
            ))
        })?;
        check::check(&expression, variables)?;
        Ok(Self {
            text: text.into(),
            uses: Uses::of(&expression),
            expression,
        })
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it looks at that takes work to find out.
    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Why that cannot be said: the caller lacks a label that it asks for.
    pub(crate) fn holds(&self, facts: &Facts) -> Result<bool, String> {
        match Value::resolve(&self.expression, &facts.0) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("it is neither true nor false".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Conditions are what their texts are.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

/// What is wrong with a condition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// What conditions of routes can tell apart about a request.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// Tokens of input, counted or estimated.
    pub input_tokens: u64,
    /// Tokens of output, at most.
    pub max_output_tokens: u64,
    /// How much work is asked for, from 0 to 1, as in [`complexity`](crate::complexity).
    pub complexity: f64,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Whether there are tools to call.
    pub has_tools: bool,
    /// Whether the input holds pictures or documents.
    pub has_images: bool,
    /// Whether the input holds sound.
    pub has_audio: bool,
    /// Whether the answer has to follow a JSON schema.
    pub has_schema: bool,
    /// The caller's name for its end user; empty where there is none.
    pub user: &'a str,
    /// The caller's labels of the request.
    pub metadata: &'a Labels,
    /// How far limits are used that conditions ask for. One that is not among them does not apply to the caller.
    pub budgets: &'a [Budget],
}

/// How far a limit is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Name of the limit.
    pub limit: Arc<str>,
    /// The part of it that is used or held, from 0 to 1, as far as is known.
    pub used: f64,
    /// That part by the part of the window that is over: above 1, it is used up before the window ends. The first
    /// hundredth of a window counts as over. 0 where there are no windows.
    pub pace: f64,
}

/// What conditions are evaluated over. The names are those of [`check`].
pub(crate) struct Facts(Context<'static, 'static>);

impl Facts {
    /// What conditions of limits know.
    pub(crate) fn new(caller: &Caller<'_>, model: &str) -> Self {
        Self::over(caller, record([("model", model.into())]))
    }

    /// What conditions of routes know.
    pub(crate) fn of_request(caller: &Caller<'_>, model: &str, it: &Features<'_>) -> Self {
        let request = record([
            ("model", model.into()),
            ("input_tokens", whole(it.input_tokens)),
            ("max_output_tokens", whole(it.max_output_tokens)),
            ("complexity", it.complexity.into()),
            ("stream", it.stream.into()),
            ("has_tools", it.has_tools.into()),
            ("has_images", it.has_images.into()),
            ("has_audio", it.has_audio.into()),
            ("has_schema", it.has_schema.into()),
            ("user", it.user.into()),
            ("metadata", labels(it.metadata)),
        ]);
        let mut facts = Self::over(caller, request);
        if !it.budgets.is_empty() {
            facts.know(it.budgets.to_vec());
        }
        facts
    }

    fn know(&mut self, budgets: Vec<Budget>) {
        let budget = move |name: Arc<String>| {
            let known = budgets.iter().find(|it| *it.limit == **name);
            let (used, pace) = known.map_or((0.0, 0.0), |it| (it.used, it.pace));
            record([("used", used.into()), ("pace", pace.into())])
        };
        // It only fails where the language has a function of this name. Then no condition that uses it can be decided.
        let _ = self.0.add_function("budget", budget);
    }

    fn over(caller: &Caller<'_>, request: Value) -> Self {
        let mut context = Context::default();
        context.add_variable_from_value("request", request);
        let subject = record([
            ("path", caller.subject.as_str().into()),
            ("org", caller.subject.org().into()),
            ("team", caller.subject.team().into()),
            ("user", caller.subject.user().into()),
            ("labels", labels(caller.labels)),
        ]);
        context.add_variable_from_value("subject", subject);
        let key = record([
            ("id", caller.key.into()),
            ("name", caller.key_name.into()),
            ("bucket", whole(bucket(caller.key))),
        ]);
        context.add_variable_from_value("key", key);
        context.add_variable_from_value("tier", caller.tier.unwrap_or_default());
        Self(context)
    }
}

fn whole(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Which of a hundred equal parts of all keys this one is in: FNV-1a (G. Fowler, L. Noll, K.-P. Vo), whose upper bits are
/// spread best. It must stay as it is, or keys change sides.
fn bucket(key: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    (hash >> 24) % 100
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(Map::from(HashMap::from(fields)))
}

fn labels(labels: &Labels) -> Value {
    let pairs = labels
        .iter()
        .map(|(name, value)| (Key::from(name.as_str()), Value::from(value.as_str())));
    Value::Map(Map::from(pairs.collect::<HashMap<_, _>>()))
}

#[cfg(test)]
mod tests;
