//! What a holder is told of an account.

use crate::owner::account::{Account, Context, Supply};
use crate::owner::part::Holder;
use crate::owner::row::Row;
use crate::{Coming, OwnerAccount};

impl Account {
    /// The account's state towards one holder; none while nothing is known of the limit.
    pub(super) fn tell(&self, context: &Context<'_>, to: Holder) -> Option<OwnerAccount> {
        let limit = self.keeping.limit(context)?;
        let row = self.rows.get(&to)?;
        let session = context.sessions.get(to.incarnation)?;
        let left = self.keeping.free_total(context).saturating_add(self.idle);
        let share = self.share_of(to);
        let bound = match share {
            Some(_) if row.over_share => Some(0),
            _ => self.bound(to, row),
        };
        Some(OwnerAccount {
            counter: self.parts.name(to).unwrap_or(&self.counter).clone(),
            share: share.filter(|_| row.over_share),
            window: self.keeping.window(),
            generation: row.generation,
            granted: row.granted,
            rem_ms: match self.keeping.ends_at() {
                // One millisecond less, because the receipt was read with that much of a step.
                Some(end) => end.since(session.received_at.after(1)),
                None => row.lease_left(session.t_node, context.config.lease_ms),
            },
            version: self.version,
            exhausted_above: bound,
            keep: row.recalled.map(|_| 0),
            limit,
            remaining: left
                .min(limit)
                .min(self.room(to).saturating_add(row.idle())),
            coming: match bound {
                None => Vec::new(),
                Some(_) if share.is_some() && row.over_share => self.coming_of_share(limit),
                Some(above) => self.coming(context, to, above),
            },
            promises: if to.is_whole() {
                self.keeping.promises(to.incarnation)
            } else {
                Vec::new()
            },
        })
    }

    /// When a node can be given more than `above`, what it was refused, and everything.
    fn coming(&self, context: &Context<'_>, to: Holder, above: u64) -> Vec<Coming> {
        let Some(limit) = self.keeping.limit(context) else {
            return Vec::new();
        };
        // Some of it need not come in, but is idle elsewhere.
        let idle = above.saturating_sub(self.keeping.free_total(context));
        let refused = self.refused.iter().find(|(whom, _)| *whom == to);
        let refused = refused.map(|(_, need)| *need).filter(|need| *need < limit);
        let amounts = [
            above.saturating_add(1).min(limit),
            refused.unwrap_or(limit),
            limit,
        ];
        let coming = |units: u64| {
            let at = self.keeping.comes_at(context, units.saturating_sub(idle))?;
            let in_ms = at.since(context.now);
            Some(Coming { units, in_ms })
        };
        amounts.into_iter().filter_map(coming).collect()
    }

    fn was_refused(&self, who: Holder) -> bool {
        self.refused.iter().any(|(refused, _)| *refused == who)
    }

    /// The most that a node can be given, where that is to be told.
    fn bound(&self, to: Holder, row: &Row) -> Option<u64> {
        match self.supply {
            Supply::Ample => None,
            Supply::Scarce(above) => Some(above),
            // What is idle elsewhere by its last report could not be had for it.
            Supply::Bounded { free, .. } if self.was_refused(to) => Some(free),
            // Whoever has a ticket will be given its need or refused; until then it is told none.
            Supply::Bounded { .. } if row.need > 0 => None,
            Supply::Bounded { free, idle } => {
                Some(free.saturating_add(idle.saturating_sub(row.idle())))
            }
        }
    }
}
