//! That the oracle would see a broken promise: the rules are broken one at a time, and each of these turns a check
//! red over each of these families. What one kind makes rare is looked for in the others; `owner/tests` has the
//! margins by themselves.

use crate::mutants::Mutation::{self, *};
use crate::oracle::Violation;
use crate::plan::Family::{self, *};
use crate::plan::Plan;
use crate::world::World;
use crate::{calm, storm};

/// Seeds that are tried.
const SEEDS: u64 = 800;

const PLANTED: &[(Mutation, &[Family])] = &[
    (Deltas, &[Long, Counted, Brief, Sliding, Bucket, Shared]),
    (ReturnedAsDelta, &[Ledger]),
    (RecreditOnExpiry, &[Long, Counted, Sliding, Bucket, Ledger]),
    (UnguardedWrite, &[Long, Counted, Ledger, Promised]),
    (
        UnknownIsSuccess,
        &[Long, Counted, Brief, Sliding, Bucket, Ledger],
    ),
    (TrustReports, &[Counted]),
    (LimitFromOwnCache, &[Counted]),
    (WindowsGoBack, &[Counted]),
    (DeadlineFromReceipt, &[Counted, Brief, Sliding]),
    (NoDriftMargin, &[Counted, Promised]),
    (NoRestamp, &[Counted, Brief]),
    (ForgetAtDeadline, &[Counted]),
    (
        SettledTwice,
        &[
            Long, Counted, Brief, Sliding, Bucket, Ledger, Promised, Shared,
        ],
    ),
    (NoHorizonWait, &[Brief, Sliding, Bucket]),
    (HorizonReadEarly, &[Brief]),
    (UnguardedHorizon, &[Brief, Sliding]),
    (MarkIgnored, &[Long, Sliding, Bucket]),
    (MarkFromWriting, &[Long]),
    (ChargesIgnored, &[Long, Sliding, Bucket]),
    (WordIgnored, &[Brief]),
    (NoGeneration, &[Bucket]),
    (HeldAsSpent, &[Long, Sliding, Bucket]),
    (SpentAtGrant, &[Long, Sliding, Bucket]),
    (SettleSkipped, &[Sliding, Bucket]),
    (UndoneAndSent, &[Brief]),
    (LostWake, &[Brief, Sliding]),
    (NoMark, &[Ledger]),
    (MarkNotFlushed, &[Ledger]),
    (EstateKept, &[Long, Counted, Brief, Sliding, Bucket, Ledger]),
    (EstateUsedEarly, &[Counted, Ledger]),
    (EstateOverBoot, &[Counted, Brief]),
    (EstateWithoutTotals, &[Counted, Ledger, Promised]),
    (EstateByOldMark, &[Ledger]),
    (LateReturn, &[Ledger]),
    (ClosedTwice, &[Ledger]),
    (ClosedWithoutLock, &[Ledger]),
    (OneSum, &[Ledger]),
    (NotFrozen, &[Ledger]),
    (ThawedEarly, &[Ledger]),
    (KeptOverRestore, &[Ledger]),
    (PromiseTakenBack, &[Promised]),
    (PromiseToldEarly, &[Promised]),
    (PromiseOfVended, &[Promised]),
    (PromisedBackToAll, &[Promised]),
    (PromisesOverRestore, &[Promised]),
];

impl Mutation {
    /// Whether what it does wrong only shows once all is quiet: in units that nobody has any more, and requests
    /// that nobody answers.
    fn shows_in_the_calm(self) -> bool {
        matches!(self, SettleSkipped | UndoneAndSent | LostWake)
    }

    fn is_of_restores(self) -> bool {
        matches!(
            self,
            NotFrozen | ThawedEarly | KeptOverRestore | PromisesOverRestore
        )
    }
}

/// Looks for a run in which the broken rule breaks a promise.
fn caught(mutation: Mutation, family: Family) -> Option<Violation> {
    (0..SEEDS).find_map(|seed| {
        let plan = Plan {
            mutation: Some(mutation),
            restored: mutation.is_of_restores(),
            ..Plan::stormy(seed, family)
        };
        let mut world = World::new(plan);
        let mut outcome = storm(&mut world);
        let shows = mutation.shows_in_the_calm();
        // What ledgers charge shows in their books.
        if shows || family == Ledger {
            outcome = outcome.and_then(|()| calm::calm(&mut world));
        }
        let harm = outcome.err()?;
        // A refusal without need is no harm that others are meant to do.
        (shows || !harm.0.starts_with("I7")).then_some(harm)
    })
}

fn unnoticed(of: impl Fn(usize) -> bool) -> Vec<(Mutation, Family)> {
    let planted = PLANTED.iter().enumerate().filter(|(at, _)| of(*at));
    let each = planted.flat_map(|(_, (mutation, families))| {
        let of = |family: &Family| (*mutation, *family);
        families.iter().map(of)
    });
    each.filter(|(mutation, family)| caught(*mutation, *family).is_none())
        .collect()
}

/// Two tests, for two processors.
#[test]
fn every_planted_bug_is_caught() {
    assert_eq!(unnoticed(|at| at % 2 == 0), []);
}

#[test]
fn every_other_planted_bug_is_caught() {
    assert_eq!(unnoticed(|at| at % 2 == 1), []);
}
