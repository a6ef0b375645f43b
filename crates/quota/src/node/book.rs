use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::node::account::Account;
use crate::node::mark::Mark;
use crate::node::outcome::Spread;
use crate::node::units::Label;
use crate::{Counter, Kind, NodeTime, Window};

/// Where an account lies in the book.
pub(super) type Slot = u32;

/// All accounts of a node, found by counter or by place.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    /// Counters bring a good hash with them.
    index: HashMap<Counter, Slot, BuildHasherDefault<Spread>>,
    slots: Vec<Option<Account>>,
    vacant: Vec<Slot>,
    serial: u64,
    /// Whether what is used of counters that are kept by rows is noted in a journal.
    journaled: bool,
    /// Per kind, the newest window of which an account was forgotten. Fresh accounts refuse
    /// everything up to it: the forgotten one may have had, and spent, the same grant (R3). For kinds
    /// without windows there is none: what was ever granted to a forgotten account has lapsed.
    floors: HashMap<Kind, Window>,
}

impl Book {
    pub(super) fn new(journaled: bool) -> Self {
        Self {
            journaled,
            ..Self::default()
        }
    }

    pub(super) fn find(&self, counter: &Counter) -> Option<Slot> {
        self.index.get(counter).copied()
    }

    pub(super) fn open(&mut self, counter: &Counter, now: NodeTime) -> Slot {
        if let Some(slot) = self.find(counter) {
            return slot;
        }
        self.serial += 1;
        let windowed = counter.kind().is_windowed();
        let floor = self.floors.get(&counter.kind());
        let floor = floor.filter(|_| windowed).copied().unwrap_or_default();
        let mut account = Account::new(counter.clone(), self.serial, Label::of(floor), now);
        account.mark = (self.journaled && counter.kind().is_ledger()).then(Mark::default);
        let slot = match self.vacant.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(account);
                slot
            }
            None => {
                self.slots.push(Some(account));
                Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
            }
        };
        self.index.insert(counter.clone(), slot);
        slot
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Account> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Account> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Per kind, the newest window of which an account was forgotten.
    pub(super) fn floors(&self) -> impl Iterator<Item = (Kind, Window)> {
        self.floors.iter().map(|(kind, window)| (*kind, *window))
    }

    /// Has fresh accounts refuse these windows and earlier ones.
    pub(super) fn raise_floors(&mut self, floors: &[(Kind, Window)]) {
        for (kind, window) in floors {
            let floor = self.floors.entry(*kind).or_default();
            *floor = (*floor).max(*window);
        }
    }

    /// Every account with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Account)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, account)| Some((slot, account.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Account)> {
        (0..)
            .zip(&mut self.slots)
            .filter_map(|(slot, account)| Some((slot, account.as_mut()?)))
    }

    /// Forgets accounts whose window is long over and whom nobody uses, among those `in_turn`.
    pub(super) fn forget(&mut self, now: NodeTime, in_turn: impl Fn(Slot) -> bool) {
        let slots = 0..Slot::try_from(self.slots.len()).unwrap_or(Slot::MAX);
        for slot in slots.filter(|slot| in_turn(*slot)) {
            let over = |account: &mut Account| account.is_forgettable(now);
            let Some(account) = self.slots[slot as usize].take_if(over) else {
                continue;
            };
            if account.is_windowed() {
                self.raise_floors(&[(account.counter.kind(), account.label.window)]);
            }
            self.index.remove(&account.counter);
            self.vacant.push(slot);
        }
    }
}
