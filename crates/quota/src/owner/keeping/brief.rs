//! Fixed windows of a few seconds: nothing is written per counter.
//!
//! An owner hands out of a window only if the window begins before its durable horizon, and a new owner
//! begins with the first window that starts at or after the horizon it found. So no two owners ever hand
//! out of the same window, unless the earlier one left word of what it had handed out: then the new one goes on with
//! that window, and with none before it. Labels are compared, not clocks: no difference between clocks and no pause
//! matters.

use crate::owner::Legacy;
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
    /// Whether what an earlier owner left word of is counted.
    knows: bool,
}

impl Brief {
    pub(super) fn new(window_ms: u64, now: OwnerTime) -> Self {
        Self {
            window_ms,
            window: Window::at(now, window_ms),
            out: 0,
            gone: 0,
            forgiven: 0,
            knows: false,
        }
    }

    /// Counts what an earlier owner has handed out of the window.
    fn learn(&mut self, context: &Context<'_>) {
        if self.knows || context.horizon.inherited.is_none() {
            return;
        }
        self.knows = true;
        let same = |legacy: &&Legacy| Window::at(legacy.at, self.window_ms) == self.window;
        let out = context.legacy.filter(same).map_or(0, |legacy| legacy.out);
        (self.out, self.gone) = (self.out + out, self.gone + out);
    }

    /// Whether this owner may hand out of the window.
    fn is_own(&self, context: &Context<'_>) -> bool {
        let (Some(inherited), Some(untold)) = (context.horizon.inherited, context.horizon.untold)
        else {
            return false;
        };
        // What the earlier owner held past is past.
        let latest = Window::at(OwnerTime(inherited.0.saturating_sub(1)), self.window_ms);
        self.start() >= untold && self.window >= latest
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
            self.learn(context);
            return Turn::Same;
        }
        *self = Self::new(self.window_ms, context.now);
        self.learn(context);
        Turn::Anew
    }

    fn window(&self) -> Window {
        self.window
    }

    fn ends_at(&self) -> Option<OwnerTime> {
        Some(self.end())
    }

    fn limit(&self, context: &Context<'_>) -> Option<u64> {
        let mine = self.is_own(context) && context.horizon.in_force;
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

    /// Who hands out of this window next is told what is out.
    fn reset(&mut self, _context: &Context<'_>) {
        let gone = std::mem::take(&mut self.gone);
        self.forgiven += gone;
        self.out -= gone;
    }

    fn spend(&mut self, _now: OwnerTime, units: u64) {
        self.gone += units;
    }

    fn legacy(&self, context: &Context<'_>) -> Option<Legacy> {
        let later =
            |legacy: &&Legacy| !self.knows || Window::at(legacy.at, self.window_ms) > self.window;
        if let Some(legacy) = context.legacy.filter(later) {
            return Some(legacy.clone());
        }
        let live = self.window >= Window::at(context.now, self.window_ms) && self.out > 0;
        live.then(|| Legacy {
            // The window says when, should the clock have gone back.
            at: context.now.max(self.start()),
            out: self.out,
        })
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
