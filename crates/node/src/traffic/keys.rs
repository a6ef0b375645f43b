//! The keys of providers that were refused: which, and why. Another key in its place starts afresh.

use std::sync::Arc;
use std::time::Duration;

use crate::upstream::{Ended, Fingerprint, Key};

/// Longest reason that is told, in bytes.
const LONGEST_REASON: usize = 64;

/// The keys of all providers, by their places in the table.
#[derive(Debug)]
pub(super) struct Keys(Vec<Slot>);

#[derive(Debug)]
struct Slot {
    key: Arc<Key>,
    /// The last that was refused, here or elsewhere in the fleet.
    refused: Option<RefusedKey>,
}

/// A key that its provider does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedKey {
    /// Which. None: this node has none to show.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The provider's code for why, or its status.
    pub(crate) reason: String,
}

impl Keys {
    /// Keys of which nothing is known.
    pub(super) fn new(all: impl Iterator<Item = Arc<Key>>) -> Self {
        let slot = |key| Slot { key, refused: None };
        Self(all.map(slot).collect())
    }

    /// Takes over what is known elsewhere of a provider that is the same.
    pub(super) fn inherit(&mut self, provider: usize, before: &Self, old: usize) {
        if let (Some(slot), Some(known)) = (self.0.get_mut(provider), before.0.get(old)) {
            slot.refused.clone_from(&known.refused);
        }
    }

    /// A provider refused a key. False where it has another by now: that says nothing of this one.
    pub(super) fn refused(&mut self, provider: usize, ended: &Ended) -> bool {
        let Some(slot) = self.0.get_mut(provider) else {
            return false;
        };
        let current = slot.key.look_again();
        if ended.key.is_some() && ended.key != current {
            return false;
        }
        slot.refused = Some(RefusedKey {
            fingerprint: current,
            reason: reason(ended),
        });
        true
    }

    /// Others were refused a key. False where this node has another.
    pub(super) fn refused_elsewhere(&mut self, provider: usize, it: RefusedKey) -> bool {
        let Some(slot) = self.0.get_mut(provider) else {
            return false;
        };
        let is_same = it.fingerprint.is_some() && slot.key.look_again() == it.fingerprint;
        if is_same {
            slot.refused = Some(it);
        }
        is_same
    }

    /// What is known of the key of a provider that refused it.
    pub(super) fn known(&self, provider: usize) -> Option<&RefusedKey> {
        self.0.get(provider)?.refused.as_ref()
    }

    /// The providers that have another key than the one they refused. Each is named once.
    pub(super) fn renewed(&mut self, now: Duration) -> Vec<usize> {
        let renewed = |(provider, slot): (usize, &mut Slot)| {
            let refused = slot.refused.as_ref()?;
            if slot.key.fingerprint(now) == refused.fingerprint {
                return None;
            }
            slot.refused = None;
            Some(provider)
        };
        self.0.iter_mut().enumerate().filter_map(renewed).collect()
    }
}

fn reason(ended: &Ended) -> String {
    let failure = &ended.failure;
    let code = failure
        .code
        .as_ref()
        .filter(|it| it.len() <= LONGEST_REASON);
    match (code, failure.status) {
        (Some(code), _) => code.clone(),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "told in the answer".to_owned(),
    }
}
