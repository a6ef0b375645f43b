//! The types of conditions.

use std::fmt;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::Wrong;
use crate::nearest;

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    String,
    /// A list of texts.
    Texts,
    /// Texts by name: labels.
    Labels,
    /// Named values, each of a type of its own.
    Record(&'static [(&'static str, Type)]),
}

/// What conditions of a kind know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables {
    /// Variables by name.
    named: &'static [(&'static str, Type)],
    /// Whether they know how far limits are used.
    budgets: bool,
}

/// What `budget("…")` knows of a limit.
const BUDGET: Type = Type::Record(&[("used", Type::Double), ("pace", Type::Double)]);

const SUBJECT: (&str, Type) = (
    "subject",
    Type::Record(&[
        ("path", Type::String),
        ("org", Type::String),
        ("team", Type::String),
        ("user", Type::String),
        ("labels", Type::Labels),
    ]),
);

/// What conditions of limits are about.
pub(super) const OF_LIMITS: Variables = Variables {
    named: &[
        ("request", Type::Record(&[("model", Type::String)])),
        SUBJECT,
        (
            "key",
            Type::Record(&[("id", Type::String), ("name", Type::String)]),
        ),
        ("tier", Type::String),
    ],
    budgets: false,
};

/// What conditions of routes are about.
pub(super) const OF_ROUTES: Variables = Variables {
    named: &[
        (
            "request",
            Type::Record(&[
                ("model", Type::String),
                ("input_tokens", Type::Int),
                ("max_output_tokens", Type::Int),
                ("complexity", Type::Double),
                ("stream", Type::Bool),
                ("has_tools", Type::Bool),
                ("has_images", Type::Bool),
                ("has_audio", Type::Bool),
                ("has_schema", Type::Bool),
                ("user", Type::String),
                ("metadata", Type::Labels),
            ]),
        ),
        SUBJECT,
        (
            "key",
            Type::Record(&[
                ("id", Type::String),
                ("name", Type::String),
                ("bucket", Type::Int),
            ]),
        ),
        ("tier", Type::String),
    ],
    budgets: true,
};

/// Functions of a text and another that are true or false.
const TEXT_FUNCTIONS: [&str; 3] = ["contains", "endsWith", "startsWith"];

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double => "a number with decimals",
            Self::String => "a text",
            Self::Texts => "a list of texts",
            Self::Labels => "labels",
            Self::Record(_) => "a group of values",
        })
    }
}

/// Looks whether an expression is one that this version evaluates, and true or false.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(expression: &IdedExpr, variables: Variables) -> Result<(), Wrong> {
    let found = type_of(variables, expression)?;
    if found == Type::Bool {
        return Ok(());
    }
    let wrong = Wrong::new(format!("is {found}, and has to be true or false"));
    let hint = found == Type::String;
    Err(wrong.hint(hint.then(|| "compare it, such as `tier == \"free\"`".to_owned())))
}

fn type_of(variables: Variables, expression: &IdedExpr) -> Result<Type, Wrong> {
    match &expression.expr {
        Expr::Literal(literal) => literal_type(literal),
        Expr::Ident(name) => lookup("variable", name, variables.named),
        Expr::Select(select) => selected(variables, select),
        Expr::Call(call) => called(variables, call),
        Expr::List(list) => {
            for element in &list.elements {
                expect(variables, element, Type::String, "an element of a list")?;
            }
            Ok(Type::Texts)
        }
        Expr::Comprehension(_) => Err(unsupported("`all`, `exists`, `map` and `filter`")),
        Expr::Map(_) | Expr::Struct(_) => Err(unsupported("`{ … }`")),
        Expr::Unspecified => Err(Wrong::new("is empty")),
    }
}

fn unsupported(what: &str) -> Wrong {
    Wrong::new(format!("uses {what}, which conditions do not have"))
}

fn literal_type(literal: &LiteralValue) -> Result<Type, Wrong> {
    match literal {
        LiteralValue::Boolean(_) => Ok(Type::Bool),
        LiteralValue::Int(_) => Ok(Type::Int),
        LiteralValue::Double(_) => Ok(Type::Double),
        LiteralValue::String(_) => Ok(Type::String),
        LiteralValue::UInt(_) => Err(unsupported("numbers such as `1u`")),
        LiteralValue::Bytes(_) => Err(unsupported("bytes")),
        LiteralValue::Null => Err(unsupported("`null`")),
    }
}

fn lookup(what: &str, name: &str, known: &[(&str, Type)]) -> Result<Type, Wrong> {
    if let Some((_, found)) = known.iter().find(|(known, _)| *known == name) {
        return Ok(*found);
    }
    let wrong = Wrong::new(format!(
        "there is no {what} `{}`",
        crate::path::shorten(name)
    ));
    Err(wrong.hint(nearest::hint(name, known.iter().map(|(name, _)| *name))))
}

fn selected(variables: Variables, select: &SelectExpr) -> Result<Type, Wrong> {
    let found = match type_of(variables, &select.operand)? {
        Type::Record(fields) => lookup("field", &select.field, fields)?,
        Type::Labels => Type::String,
        other @ (Type::Bool | Type::Int | Type::Double | Type::String | Type::Texts) => {
            return Err(Wrong::new(format!(
                "asks {other} for `{}`, and it has no fields",
                crate::path::shorten(&select.field)
            )));
        }
    };
    // `has(…)` asks whether it is there.
    Ok(if select.test { Type::Bool } else { found })
}

fn called(variables: Variables, call: &CallExpr) -> Result<Type, Wrong> {
    let name = call.func_name.as_str();
    if let Some(target) = &call.target {
        return method(variables, name, target, &call.args);
    }
    match (name, call.args.as_slice()) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, args) => {
            for arg in args {
                expect(variables, arg, Type::Bool, "what `&&` and `||` join")?;
            }
            Ok(Type::Bool)
        }
        (operators::LOGICAL_NOT, [it]) => expect(variables, it, Type::Bool, "what `!` negates"),
        (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => alike(variables, left, right),
        (
            operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS,
            [left, right],
        ) => ordered(variables, left, right),
        (operators::IN, [item, among]) => contained(variables, item, among),
        (operators::INDEX, [of, name]) => {
            expect(
                variables,
                of,
                Type::Labels,
                "what is asked for a name in `[…]`",
            )?;
            expect(variables, name, Type::String, "a name in `[…]`")
        }
        (operators::CONDITIONAL, [condition, yes, no]) => {
            expect(variables, condition, Type::Bool, "what stands before `?`")?;
            let found = type_of(variables, yes)?;
            expect(variables, no, found, "what stands after `:`")
        }
        ("size", [it]) => size(variables, it),
        ("budget", [name]) if variables.budgets => budget(name),
        _ => Err(unknown_function(variables, name)),
    }
}

/// A limit is named by its name, so that it is known when the policy is applied that there is such a one.
fn budget(name: &IdedExpr) -> Result<Type, Wrong> {
    if matches!(name.expr, Expr::Literal(LiteralValue::String(_))) {
        return Ok(BUDGET);
    }
    let wrong = Wrong::new("does not name the limit in `budget(…)`");
    let hint = "write the name of a limit, such as `budget(\"team-month\").used > 0.8`";
    Err(wrong.hint(Some(hint.to_owned())))
}

fn method(
    variables: Variables,
    name: &str,
    target: &IdedExpr,
    args: &[IdedExpr],
) -> Result<Type, Wrong> {
    match args {
        [arg] if TEXT_FUNCTIONS.contains(&name) => {
            expect(
                variables,
                target,
                Type::String,
                &format!("what `{name}` looks into"),
            )?;
            expect(
                variables,
                arg,
                Type::String,
                &format!("what `{name}` looks for"),
            )?;
            Ok(Type::Bool)
        }
        [] if name == "size" => size(variables, target),
        _ => Err(unknown_function(variables, name)),
    }
}

fn unknown_function(variables: Variables, name: &str) -> Wrong {
    let budget = variables.budgets.then_some("budget");
    let known = TEXT_FUNCTIONS.into_iter().chain(["size", "has"]);
    let known = known.chain(budget);
    let hint = nearest::hint(name, known);
    let name = crate::path::shorten(name);
    Wrong::new(format!("there is no such operator or function: `{name}`")).hint(hint)
}

fn size(variables: Variables, it: &IdedExpr) -> Result<Type, Wrong> {
    match type_of(variables, it)? {
        Type::String | Type::Texts | Type::Labels => Ok(Type::Int),
        other @ (Type::Bool | Type::Int | Type::Double | Type::Record(_)) => {
            Err(Wrong::new(format!("asks for the size of {other}")))
        }
    }
}

fn alike(variables: Variables, left: &IdedExpr, right: &IdedExpr) -> Result<Type, Wrong> {
    let (left, right) = (type_of(variables, left)?, type_of(variables, right)?);
    let numbers = |it| matches!(it, Type::Int | Type::Double);
    if left == right || (numbers(left) && numbers(right)) {
        return Ok(Type::Bool);
    }
    Err(Wrong::new(format!(
        "compares {left} with {right}: they are never equal"
    )))
}

fn ordered(variables: Variables, left: &IdedExpr, right: &IdedExpr) -> Result<Type, Wrong> {
    alike(variables, left, right)?;
    match type_of(variables, left)? {
        Type::Int | Type::Double | Type::String => Ok(Type::Bool),
        other @ (Type::Bool | Type::Texts | Type::Labels | Type::Record(_)) => Err(Wrong::new(
            format!("asks which is more of {other}, which has no order"),
        )),
    }
}

fn contained(variables: Variables, item: &IdedExpr, among: &IdedExpr) -> Result<Type, Wrong> {
    expect(variables, item, Type::String, "what stands before `in`")?;
    match type_of(variables, among)? {
        Type::Texts | Type::Labels => Ok(Type::Bool),
        other @ (Type::Bool | Type::Int | Type::Double | Type::String | Type::Record(_)) => {
            let wrong = Wrong::new(format!("asks what is in {other}"));
            Err(wrong.hint(Some(
                "write a list, such as `tier in [\"free\", \"trial\"]`, or `subject.labels`"
                    .to_owned(),
            )))
        }
    }
}

fn expect(
    variables: Variables,
    expression: &IdedExpr,
    wanted: Type,
    what: &str,
) -> Result<Type, Wrong> {
    let found = type_of(variables, expression)?;
    if found == wanted {
        return Ok(found);
    }
    Err(Wrong::new(format!("{what} is {found}, not {wanted}")))
}
