//! Requests that lack units: their queues, what wakes them, and when they are refused.

use crate::node::account::Account;
use crate::node::book::Slot;
use crate::node::request::Request;
use crate::node::{Denial, Edges, Node, Outcome, RequestId, Wake, Why};
use crate::{Counter, Kind, NodeTime};

/// Counters known to be silent at once. Of further ones each request waits anew.
const MOST_SILENT: usize = 10_000;

impl Node {
    /// Takes what can be taken; then the request is taken, waits, or is refused.
    pub(super) fn proceed(&mut self, now: NodeTime, mut request: Request) -> Outcome {
        let id = request.id;
        if request.advance(&mut self.book, now) {
            self.requests.insert(id, request);
            return Outcome::Taken;
        }
        if let Some(why) = self.hopeless(now, &request) {
            return self.refuse(now, request, why);
        }
        self.join_queue(now, &request);
        self.requests.insert(id, request);
        Outcome::Waiting
    }

    /// Why waiting for the part the request lacks is of no use, if it is.
    fn hopeless(&self, now: NodeTime, request: &Request) -> Option<Why> {
        let part = request.lacking()?;
        if let Some(why) = self
            .book
            .get(part.slot)
            .and_then(|a| a.hopeless(now, part.units))
        {
            return Some(why);
        }
        let full = self.waits.len() >= self.config.max_waiters;
        let over = request.wait_until <= now;
        match (self.draining || full || over, request.late) {
            (false, _) => None,
            (true, true) => Some(Why::Late),
            (true, false) => Some(Why::NoAnswer),
        }
    }

    /// Asks again for a request that still waits although the owner may think it settled: it was told a
    /// bound that does not refuse it, or given something that does not suffice.
    pub(super) fn insist(&mut self, now: NodeTime, counter: &Counter) {
        let Some(slot) = self.book.find(counter) else {
            return;
        };
        let lacks = self.lacks(slot);
        let Some(account) = self.book.get_mut(slot) else {
            return;
        };
        let need = account.need(now, lacks);
        if lacks.is_some() && (account.is_bounded() || need != account.said_need) {
            self.outbox
                .mark(account, slot, now.after(self.config.urgent_ms));
        }
    }

    /// What the oldest request that waits at an account asks of it.
    pub(super) fn lacks(&self, slot: Slot) -> Option<u64> {
        let first = self.book.get(slot)?.queue.front()?;
        Some(self.requests.get(&first)?.lacking()?.units)
    }

    fn join_queue(&mut self, now: NodeTime, request: &Request) {
        let Some(slot) = request.lacking().map(|part| part.slot) else {
            return;
        };
        let Some(account) = self.book.get_mut(slot) else {
            return;
        };
        account.queue.push(request.id);
        self.waits.insert((request.wait_until, request.id));
        self.outbox
            .mark(account, slot, now.after(self.config.urgent_ms));
        self.note(slot);
    }

    pub(super) fn leave_queue(&mut self, request: &Request) {
        self.waits.remove(&(request.wait_until, request.id));
        let Some(slot) = request.lacking().map(|part| part.slot) else {
            return;
        };
        if let Some(account) = self.book.get_mut(slot) {
            account.queue.remove(request.id);
            // The next in the queue may need less.
            self.refilled.push(slot);
        }
    }

    pub(super) fn undo(&mut self, now: NodeTime, request: &mut Request) {
        for part in &request.parts[..request.taken] {
            self.refilled.push(part.slot);
            // Where others are refused for want of units, these are news.
            let bounded = |a: &&mut Account| a.is_bounded();
            if let Some(account) = self.book.get_mut(part.slot).filter(bounded) {
                self.outbox
                    .mark(account, part.slot, now.after(self.config.urgent_ms));
            }
        }
        request.undo(&mut self.book);
    }

    fn refuse(&mut self, now: NodeTime, mut request: Request, why: Why) -> Outcome {
        let lacking = request.lacking().map(|part| (part.ask, part.slot));
        self.undo(now, &mut request);
        let denial = lacking.and_then(|(ask, slot)| {
            let counter = self.book.get(slot)?.counter.clone();
            Some(Denial { ask, counter, why })
        });
        denial.map_or(Outcome::Waiting, Outcome::Denied)
    }

    /// Serves the queues of all accounts that units came back to, and gives back what owners want.
    pub(super) fn refill(&mut self, now: NodeTime) {
        while let Some(slot) = self.refilled.pop() {
            self.serve(now, slot);
            let noting = self.waits_for_note(slot);
            let Some(account) = self.book.get_mut(slot) else {
                continue;
            };
            // They will be taken as soon as the disk has answered: nobody is blocked by that.
            let keep = account.keep().map(|keep| keep.max(noting));
            if keep.is_some_and(|keep| account.give_back(keep, true)) {
                self.outbox
                    .mark(account, slot, now.after(self.config.urgent_ms));
            }
        }
    }

    /// Lets the requests that wait at an account go on, oldest first, until one has to wait.
    fn serve(&mut self, now: NodeTime, slot: Slot) {
        while let Some(id) = self.book.get(slot).and_then(|a| a.queue.front()) {
            let Some(mut request) = self.requests.remove(&id) else {
                return;
            };
            let before = request.taken;
            let all = request.advance(&mut self.book, now);
            if !all && request.taken == before && self.hopeless(now, &request).is_none() {
                self.requests.insert(id, request);
                return;
            }
            self.pop_front(slot, &request);
            let outcome = self.proceed(now, request);
            if outcome != Outcome::Waiting {
                self.wakes.push_back(Wake { id, outcome });
            }
        }
    }

    fn pop_front(&mut self, slot: Slot, request: &Request) {
        self.waits.remove(&(request.wait_until, request.id));
        if let Some(account) = self.book.get_mut(slot) {
            account.queue.remove(request.id);
        }
    }

    /// Asks for more of what has run low before anyone has to wait.
    pub(super) fn ask_before_dry(&mut self, now: NodeTime, id: RequestId) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        for part in &request.parts {
            let Some(account) = self.book.get_mut(part.slot) else {
                continue;
            };
            let delay = if account.runs_low() {
                self.config.urgent_ms
            } else {
                let relaxed = self.config.relaxed_ms;
                account.patience_ms(&self.config).max(relaxed)
            };
            self.outbox.mark(account, part.slot, now.after(delay));
            if account.wants_note(0) {
                self.unnoted.push(part.slot);
            }
        }
    }

    /// Notes that nobody answered a request, so that those who need no answer do not wait for one.
    fn fell_silent(&mut self, request: &Request) {
        let account = request.lacking().and_then(|part| self.book.get(part.slot));
        if let Some(account) = account.filter(|_| self.silent.len() < MOST_SILENT) {
            self.silent.insert(account.counter.clone());
        }
    }

    /// Whether the next window has begun by itself at the account that a request waits at. It is served then, as far as
    /// that goes.
    pub(super) fn comes_round(&mut self, now: NodeTime, id: RequestId) -> bool {
        let request = self.requests.get(&id);
        let Some(slot) = request.and_then(|it| Some(it.lacking()?.slot)) else {
            return false;
        };
        let came = self.book.get_mut(slot).is_some_and(|it| it.come_round(now));
        if came {
            self.refilled.push(slot);
            self.refill(now);
        }
        came
    }

    /// Refuses the request whose wait ends first.
    pub(super) fn expire_first(&mut self, now: NodeTime) {
        let Some((_, id)) = self.waits.pop_first() else {
            return;
        };
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        self.leave_queue(&request);
        self.fell_silent(&request);
        let why = if request.late {
            Why::Late
        } else {
            Why::NoAnswer
        };
        let outcome = self.refuse(now, request, why);
        self.wakes.push_back(Wake { id, outcome });
        self.refill(now);
    }
}

impl Account {
    /// How far `now` is from the edges of the window. The window ends no later than is thought, so it began no later
    /// than a window's length before.
    pub(super) fn edges(&self, now: NodeTime) -> Option<Edges> {
        let Kind::Fixed { window_ms } = self.counter.kind() else {
            return None;
        };
        let began = NodeTime(self.over_at.0.saturating_sub(window_ms));
        self.is_open(now).then(|| Edges {
            window: self.label.window,
            since_ms: now.since(began),
            left_ms: self.deadline.since(now),
        })
    }

    /// The limit, and in how many milliseconds so many units can be had, if not now: more than the whole limit takes
    /// several windows.
    pub(super) fn comes_in_ms(&self, now: NodeTime, units: u64) -> Option<(u64, u64)> {
        let limit = self.limit.max(1);
        let windows = units.saturating_sub(1) / limit;
        let first = units - windows * limit;
        let first = match self.hopeless(now, first) {
            Some(Why::Exhausted { retry_after_ms, .. } | Why::OverShare { retry_after_ms, .. }) => {
                retry_after_ms
            }
            Some(Why::TooLarge { .. } | Why::NoAnswer | Why::Late) | None if windows == 0 => {
                return None;
            }
            Some(Why::TooLarge { .. } | Why::NoAnswer | Why::Late) | None => 0,
        };
        let more = windows.saturating_mul(self.round_ms());
        Some((self.limit, first.saturating_add(more)))
    }
}
