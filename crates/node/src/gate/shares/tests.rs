mod simulation;

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(1);

impl Shares {
    /// Looks whether everything adds up, and whether nobody waits who could be in.
    fn check(&self) {
        let of = |count: fn(&Tenant) -> usize| self.tenants.values().map(count).sum::<usize>();
        assert_eq!(self.taken, of(|it| it.taken));
        assert_eq!(self.queue.len(), of(|it| it.waiting));
        assert!(self.queue.len() <= MOST_WAITING);
        let weights: u64 = self.tenants.values().map(|it| it.weight).sum();
        assert_eq!(self.weights, weights);
        let is_idle = |it: &Tenant| it.taken == 0 && it.waiting == 0;
        assert!(!self.tenants.values().any(is_idle));
        let kept: f32 = self.tenants.values().map(Tenant::kept).sum();
        assert!((self.kept - kept).abs() < 0.1, "{} {kept}", self.kept);
        let of = |(at, it): (usize, &Waiting)| (self.level_of(it), self.load(it.tenant), at);
        if let Some((_, _, at)) = self.queue.iter().enumerate().map(of).min() {
            let first = self.queue[at];
            let is_borrower = self.borrows(first.tenant, 0);
            assert!(!self.has_room(first.tenant, first.rank, is_borrower));
        }
    }

    fn ask(&mut self, tenant: u64, weight: u32, rank: Rank) -> Verdict {
        let tenant = TenantId(tenant);
        self.enter(NOW, Visitor { tenant, weight }, || rank)
    }

    fn taken_by(&self, tenant: u64) -> usize {
        self.tenant(TenantId(tenant)).taken
    }
}

/// As many as get in at once.
fn fill(shares: &mut Shares, tenant: u64, weight: u32, rank: Rank) -> usize {
    let asked = 0..shares.places * 2;
    let verdicts = asked.map(|_| shares.ask(tenant, weight, rank));
    verdicts.filter(|it| *it == Verdict::Admitted).count()
}

#[test]
fn one_who_is_alone_may_have_it_all() {
    let mut shares = Shares::new(160);
    assert_eq!(fill(&mut shares, 1, 1, Rank::Interactive), 160);
    shares.check();
}

#[test]
fn ranks_are_shed_in_order() {
    for (rank, places) in [
        (Rank::OverQuota, 140),
        (Rank::Batch, 150),
        (Rank::Interactive, 160),
    ] {
        let mut shares = Shares::new(160);
        assert_eq!(fill(&mut shares, 1, 1, rank), places, "{rank:?}");
    }
    let mut shares = Shares::new(160);
    for rank in [Rank::OverQuota, Rank::Batch, Rank::Interactive] {
        let admitted = fill(&mut shares, 1, 1, rank);
        assert!(
            admitted >= 10,
            "the last places are for {rank:?}: {admitted}"
        );
    }
}

#[test]
fn borrowing_leaves_the_last_places_to_those_who_are_owed() {
    let mut shares = Shares::new(160);
    shares.ask(2, 1, Rank::Interactive);
    assert_eq!(fill(&mut shares, 1, 1, Rank::Interactive), 149);
    assert_eq!(fill(&mut shares, 2, 1, Rank::Interactive), 10);
    assert_eq!(shares.taken, 160);
}

#[test]
fn what_comes_free_goes_to_the_one_with_least_for_its_weight() {
    let mut shares = Shares::new(80);
    fill(&mut shares, 1, 1, Rank::Interactive);
    // It fills the queue with those that are to borrow, too.
    for _ in 0..60 {
        assert!(matches!(
            shares.ask(2, 3, Rank::Interactive),
            Verdict::Waits { .. }
        ));
    }
    for _ in 0..60 {
        shares.leave(NOW, TenantId(1), NOW);
        while shares.next().is_some() {}
        shares.check();
    }
    // Three quarters; the queue of the first has its turn from there on.
    assert!((58..=60).contains(&shares.taken_by(2)), "{shares:?}");
    assert_eq!(shares.taken, 80);
}

#[test]
fn who_would_wait_in_vain_is_refused_at_once() {
    let mut shares = Shares::new(32);
    fill(&mut shares, 1, 1, Rank::Interactive);
    // Places come free every 20 ms.
    let mut now = NOW;
    for _ in 0..100 {
        now += Duration::from_millis(20);
        shares.leave(now, TenantId(1), NOW);
        while shares.next().is_some() {}
        let one = Visitor {
            tenant: TenantId(1),
            weight: 1,
        };
        shares.enter(now, one, || Rank::Interactive);
    }
    let ask = |shares: &mut Shares, tenant| {
        let visitor = Visitor {
            tenant: TenantId(tenant),
            weight: 1,
        };
        shares.enter(now, visitor, || Rank::Interactive)
    };
    assert_eq!(shares.waiting(), 0, "a borrower waits for 5 ms only");
    assert_eq!(ask(&mut shares, 1), Verdict::Refused(Rank::Interactive));
    assert!(matches!(
        ask(&mut shares, 2),
        Verdict::Waits {
            patience: OWED_WAIT,
            ..
        }
    ));
    assert!(matches!(ask(&mut shares, 3), Verdict::Waits { .. }));
    // The third place comes free after 60 ms.
    assert_eq!(ask(&mut shares, 4), Verdict::Refused(Rank::Interactive));
    shares.check();
}

#[test]
fn a_full_queue_makes_room_for_those_who_are_owed() {
    let mut shares = Shares::new(2000);
    fill(&mut shares, 1, 1, Rank::Interactive);
    while shares.waiting() < MOST_WAITING {
        shares.ask(1, 1, Rank::Interactive);
    }
    assert_eq!(
        shares.ask(1, 1, Rank::Interactive),
        Verdict::Refused(Rank::Interactive)
    );
    for _ in 0..MOST_WAITING {
        let verdict = shares.ask(2, 1, Rank::Interactive);
        assert!(
            matches!(
                verdict,
                Verdict::Waits {
                    instead_of: Some(_),
                    ..
                }
            ),
            "{verdict:?}"
        );
        shares.check();
    }
    assert_eq!(
        shares.ask(2, 1, Rank::Interactive),
        Verdict::Refused(Rank::Interactive)
    );
    assert_eq!(shares.tenant(TenantId(2)).waiting, MOST_WAITING);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter(u64, u32, Rank),
    Leave(usize),
    Cancel(usize),
    Resize(usize),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let rank = prop_oneof![
        Just(Rank::Interactive),
        Just(Rank::Batch),
        Just(Rank::OverQuota)
    ];
    prop_oneof![
        6 => (0..5u64, 1..20u32, rank).prop_map(|(who, weight, rank)| Step::Enter(who, weight, rank)),
        4 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (1..80usize).prop_map(Step::Resize),
        1 => any::<u8>().prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens: no place is given twice, the books add up, and nobody waits for a free place.
    #[test]
    fn the_books_add_up(steps in proptest::collection::vec(step(), 0..300)) {
        let mut shares = Shares::new(40);
        let mut inside: Vec<TenantId> = Vec::new();
        let mut queue: Vec<(Ticket, TenantId)> = Vec::new();
        let mut now = NOW;
        for step in steps {
            now += Duration::from_micros(300);
            let before = shares.taken;
            match step {
                Step::Enter(who, weight, rank) => {
                    let tenant = TenantId(who);
                    match shares.enter(now, Visitor { tenant, weight }, || rank) {
                        Verdict::Admitted => {
                            prop_assert!(before < shares.places);
                            inside.push(tenant);
                        }
                        Verdict::Waits { ticket, instead_of, .. } => {
                            queue.retain(|(it, _)| Some(*it) != instead_of);
                            queue.push((ticket, tenant));
                        }
                        Verdict::Refused(_) => {}
                    }
                }
                Step::Leave(at) if !inside.is_empty() => {
                    let tenant = inside.swap_remove(at % inside.len());
                    shares.leave(now, tenant, NOW);
                }
                Step::Cancel(at) if !queue.is_empty() => {
                    let (ticket, _) = queue.swap_remove(at % queue.len());
                    prop_assert!(shares.cancel(ticket));
                    prop_assert!(!shares.cancel(ticket));
                }
                Step::Resize(places) => shares.resize(places),
                Step::Pass(part) => shares.pass(Duration::from_millis(part.into())),
                Step::Leave(_) | Step::Cancel(_) => {}
            }
            while let Some(ticket) = shares.next() {
                prop_assert!(shares.taken <= shares.places);
                let at = queue.iter().position(|(it, _)| *it == ticket);
                let at = at.expect("one that waits");
                inside.push(queue.remove(at).1);
            }
            shares.check();
            prop_assert_eq!(shares.taken, inside.len());
            prop_assert_eq!(shares.waiting(), queue.len());
        }
    }
}
