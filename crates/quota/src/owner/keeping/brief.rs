//! Fixed windows of a few seconds: nothing is written per counter.
//!
//! An owner hands out of a window only if the window begins before its durable horizon, and a new owner
//! begins with the first window that starts at or after the horizon it found. So no two owners ever hand
//! out of the same window. Labels are compared, not clocks: no difference between clocks and no pause
//! matters.

use crate::owner::account::Context;
use crate::owner::keeping::{Keeping, Shown, Turn};
use crate::{Incarnation, OwnerTime, Window};

#[derive(Debug, Clone)]
pub(super) struct Brief {
    window_ms: u64,
    /// Never goes back (R8).
    window: Window,
    /// Units of the window that went out and did not come back, except for what was forgiven.
    out: u64,
    /// Of those, units that cannot come back any more.
    gone: u64,
    forgiven: u64,
}

impl Brief {
    pub(super) fn new(window_ms: u64, now: OwnerTime) -> Self {
        Self {
            window_ms,
            window: Window::at(now, window_ms),
            out: 0,
            gone: 0,
            forgiven: 0,
        }
    }

    fn start(&self) -> OwnerTime {
        self.window.start(self.window_ms)
    }

    fn end(&self) -> OwnerTime {
        self.window.end(self.window_ms)
    }
}

impl Keeping for Brief {
    fn roll(&mut self, context: &Context<'_>) -> Turn {
        let window = Window::at(context.now, self.window_ms);
        if window <= self.window {
            return Turn::Same;
        }
        *self = Self {
            window,
            ..Self::new(self.window_ms, context.now)
        };
        Turn::Anew
    }

    fn window(&self) -> Window {
        self.window
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        Some(self.end())
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        let inherited = context.horizon.inherited?;
        let mine = self.start() >= inherited && context.horizon.in_force;
        context.spec_now().filter(|_| mine).map(|spec| spec.units)
    }

    fn free_total(&self, context: &Context<'_>) -> u64 {
        self.limit(context).unwrap_or(0).saturating_sub(self.out)
    }

    fn usable(&self, context: &Context<'_>, _to: Incarnation) -> u64 {
        if self.start() < context.horizon.until {
            self.free_total(context)
        } else {
            0
        }
    }

    fn is_over(&self, context: &Context<'_>) -> bool {
        self.limit(context).is_some_and(|limit| self.out > limit)
    }

    fn take(&mut self, _to: Incarnation, units: u64) {
        self.out += units;
    }

    fn give_back(&mut self, _from: Incarnation, units: u64) {
        self.out -= units;
    }

    /// No other owner will hand out of this window, so that nobody else has to know.
    fn reset(&mut self, _context: &Context<'_>) {
        let gone = std::mem::take(&mut self.gone);
        self.forgiven += gone;
        self.out -= gone;
    }

    fn spend(&mut self, _now: OwnerTime, units: u64) {
        self.gone += units;
    }

    fn refills_at(&self, _context: &Context<'_>) -> OwnerTime {
        self.end()
    }

    fn is_past(&self, now: OwnerTime) -> bool {
        Window::at(now, self.window_ms) > self.window
    }

    fn shown(&self, context: &Context<'_>) -> Option<Shown> {
        let live = self.window >= Window::at(context.now, self.window_ms);
        let hwm = self.limit(context).filter(|_| live)?;
        Some(Shown {
            window: Some((self.window, self.start(), self.end())),
            hwm,
            free: self.free_total(context),
            rows: None,
            forgiven: self.forgiven,
            pending: false,
            promised: 0,
        })
    }
}
