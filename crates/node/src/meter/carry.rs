//! Answers that broke off and are gone on with: each part is settled by itself, and the caller is told the sum.

use tollgate_policy::price::Bounds;
use tollgate_policy::table::Use;
use tollgate_provider::chat::{Usage, UsageSource};

use super::{Meter, Sent};
use crate::error::Error;
use crate::metrics;
use crate::permit::Charge;
use crate::revision::Revision;

/// What the parts of an answer used that broke off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carried {
    usage: Usage,
    /// None where it is not known.
    cost: Option<u64>,
    /// What of it is settled with the last part, as no limit on the caller tells attempts apart.
    due: Use,
}

impl Meter {
    /// The stream broke off, and another attempt within these bounds is to go on with it: what the last one used is settled,
    /// and the next one reserved for.
    ///
    /// # Errors
    /// A limit has no room for it.
    pub(crate) async fn carry_on(
        &mut self,
        revision: &Revision,
        bounds: Bounds,
    ) -> Result<(), Error> {
        let usage = self.own_usage();
        let usage = usage.unwrap_or_else(|| self.estimate(self.streamed_output));
        let used = self.used(self.answering.as_ref(), &usage);
        let mut due = used;
        if let (Some(permit), Some(model)) = (&mut self.permit, &self.model) {
            let needs = permit.plan().needs(revision, model, &bounds);
            let renewed = permit.renew(Charge::Used(used), needs).await;
            if renewed.map_err(|denial| self.no_room(&denial))? {
                due = Use::default();
            }
        }
        if let Some(room) = self.room.take() {
            room.settle(Charge::Used(used));
        }
        let answering = self.answering.take();
        let cost = answering.as_ref().and_then(|at| self.cost(at, &usage));
        if let (Some(model), Some(deployment)) = (&self.model, &answering) {
            metrics::carried(model, deployment, (&usage, cost));
        }
        let part = Carried { usage, cost, due };
        let before = self.carried.take();
        self.carried = Some(before.map_or(part, |before| before.and_then(&part)));
        self.bounds = bounds;
        self.sent = Sent::Nothing;
        self.usage = None;
        self.usage_report = None;
        self.streamed_output = 0;
        self.noted_output = 0;
        Ok(())
    }

    /// The usage that is charged for the answer, or its last part.
    pub(super) fn own_usage(&self) -> Option<Usage> {
        let estimate = || self.estimate(self.streamed_output);
        self.usage
            .or_else(|| (self.sent == Sent::Streaming).then(estimate))
    }

    /// The usage that is charged in all, for the records.
    pub(super) fn final_usage(&self) -> Option<Usage> {
        let before = self.carried.as_ref().map(Carried::usage);
        match self.own_usage() {
            Some(usage) => Some(self.in_all(usage)),
            None => before,
        }
    }

    /// The usage of an answer of so many tokens whose provider tells none.
    pub(super) fn estimate(&self, output: u64) -> Usage {
        Usage::of(self.bounds.input, output, UsageSource::Estimated)
    }

    /// What the answer, or its last part, used and cost, as far as that is known.
    pub(super) fn used_last(&self) -> (Option<Usage>, Option<u64>) {
        let usage = self.own_usage();
        let at = self.answering.as_ref().zip(usage.as_ref());
        (usage, at.and_then(|(at, usage)| self.cost(at, usage)))
    }

    /// What the request used and cost in all.
    pub(super) fn used_in_all(&self) -> (Option<Usage>, Option<u64>) {
        let (_, cost) = self.used_last();
        (self.final_usage(), self.cost_in_all(cost))
    }

    /// What the request used in all, given what its last part did.
    pub(super) fn in_all(&self, last: Usage) -> Usage {
        let before = self.carried.as_ref();
        before.map_or(last, |it| it.usage.and_then(&last))
    }

    /// What the request cost in all, given what its last part did. None where a part's cost is not known.
    pub(super) fn cost_in_all(&self, last: Option<u64>) -> Option<u64> {
        match &self.carried {
            None => last,
            Some(before) => Some(before.cost?.saturating_add(last?)),
        }
    }

    /// The charge for the last part, with what is settled along with it.
    pub(super) fn with_due(&self, charge: Charge) -> Charge {
        let Some(Carried { due, .. }) = &self.carried else {
            return charge;
        };
        match charge {
            Charge::Nothing if *due == Use::default() => Charge::Nothing,
            Charge::Nothing => Charge::Used(*due),
            Charge::Used(used) => Charge::Used(sum(&used, due)),
            Charge::Unknown(most) => Charge::Unknown(sum(&most, due)),
        }
    }
}

impl Carried {
    /// What they used together.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    fn and_then(&self, next: &Self) -> Self {
        Self {
            usage: self.usage.and_then(&next.usage),
            cost: self.cost.zip(next.cost).map(|(a, b)| a.saturating_add(b)),
            due: sum(&self.due, &next.due),
        }
    }
}

/// The use of two attempts for one request.
fn sum(one: &Use, other: &Use) -> Use {
    Use {
        requests: one.requests.max(other.requests),
        input: one.input.saturating_add(other.input),
        cached_input: one.cached_input.saturating_add(other.cached_input),
        output: one.output.saturating_add(other.output),
        cost: one.cost.saturating_add(other.cost),
    }
}
