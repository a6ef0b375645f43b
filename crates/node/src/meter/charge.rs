//! What a request is charged.

use tollgate_policy::table::Use;
use tollgate_provider::chat::Usage;

use super::{Meter, Sent, cost};
use crate::permit::{Charge, Needs};

impl Meter {
    pub(super) fn charge(&self) -> Charge {
        if let Some(usage) = self.final_usage() {
            return Charge::Used(self.used(&usage));
        }
        match self.sent {
            Sent::Nothing => Charge::Nothing,
            Sent::Perhaps => Charge::Unknown(self.at_most()),
            // A stream without usage has its own by estimate.
            Sent::Refused | Sent::Streaming => Charge::Used(Use::default()),
        }
    }

    /// What an answer of this usage is charged.
    fn used(&self, usage: &Usage) -> Use {
        let price = self.answering.as_ref().and_then(|at| cost(at, usage));
        Use {
            requests: 1,
            input: usage.input_total,
            cached_input: usage.cache_read,
            output: usage.output_total,
            // A cost that is not known is never taken for none.
            cost: price.unwrap_or_else(|| self.needs().worst.cost),
        }
    }

    /// What an attempt may have been charged of which nothing is known.
    pub(super) fn at_most(&self) -> Use {
        let worst = self.needs().worst;
        let price = self.attempts.last().and_then(|at| at.deployment.price);
        Use {
            cost: price.map_or(worst.cost, |it| it.highest_cost(worst.input, worst.output)),
            ..worst
        }
    }

    /// What the request may use, or what is left of it to be tried.
    pub(crate) fn needs(&self) -> Needs {
        self.permit
            .as_ref()
            .map_or_else(Needs::default, |permit| *permit.needs())
    }
}
