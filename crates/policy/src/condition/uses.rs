//! What a condition looks at that takes work to find out.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};

/// What a condition looks at that takes work to find out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// How complex the request is.
    pub(crate) complexity: bool,
    /// How far these limits are used. Each once.
    pub(crate) budgets: Vec<Box<str>>,
}

impl Uses {
    /// Of a checked expression.
    pub(super) fn of(expression: &IdedExpr) -> Self {
        let mut uses = Self::default();
        uses.add(expression);
        uses
    }

    fn add(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Select(select) => {
                self.complexity |= select.field == "complexity";
                self.add(&select.operand);
            }
            Expr::Call(call) => {
                if let ("budget", [name]) = (call.func_name.as_str(), call.args.as_slice()) {
                    self.add_budget(name);
                }
                let parts = call.target.iter().map(|it| &**it).chain(&call.args);
                parts.for_each(|it| self.add(it));
            }
            Expr::List(list) => list.elements.iter().for_each(|it| self.add(it)),
            // What is not checked has neither.
            Expr::Literal(_)
            | Expr::Ident(_)
            | Expr::Comprehension(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Unspecified => {}
        }
    }

    fn add_budget(&mut self, name: &IdedExpr) {
        if let Expr::Literal(LiteralValue::String(name)) = &name.expr {
            let name = name.inner();
            if !self.budgets.iter().any(|known| **known == *name) {
                self.budgets.push(name.into());
            }
        }
    }
}
