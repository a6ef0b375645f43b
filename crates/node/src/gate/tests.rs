use super::*;

fn visitor(tenant: u64) -> Visitor {
    Visitor {
        tenant: TenantId(tenant),
        weight: 1,
    }
}

fn enter(gate: &Arc<Gate>, tenant: u64) -> Entry {
    gate.enter(visitor(tenant), || Rank::Interactive)
}

fn admitted(entry: Entry) -> Pass {
    match entry {
        Entry::Admitted(pass) => pass,
        Entry::Waits(..) | Entry::Refused(_) => panic!("not admitted: {entry:?}"),
    }
}

fn waits(entry: Entry) -> Turn {
    match entry {
        Entry::Waits(turn, _) => turn,
        Entry::Admitted(_) | Entry::Refused(_) => panic!("does not wait: {entry:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_one_who_waits() {
    let gate = Arc::new(Gate::new(2, 1, 1));
    let (first, _second) = (admitted(enter(&gate, 1)), admitted(enter(&gate, 1)));
    let turn = waits(enter(&gate, 2));
    let (pass, ()) = tokio::join!(turn.come(), async { drop(first) });
    assert!(pass.is_some());
    assert_eq!(gate.in_flight(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_next_place_is_for_the_tenant_that_has_had_nothing() {
    for (comes_free_after, is_in_time) in [(4, true), (49, true), (51, false)] {
        let gate = Arc::new(Gate::new(4, 1, 1));
        let mut passes: Vec<_> = (0..4).map(|_| admitted(enter(&gate, 1))).collect();
        // It came first.
        let borrows = waits(enter(&gate, 1));
        let owed = waits(enter(&gate, 2));
        let (borrowed, given, ()) = tokio::join!(borrows.come(), owed.come(), async {
            tokio::time::sleep(Duration::from_millis(comes_free_after)).await;
            passes.pop();
        });
        assert!(borrowed.is_none(), "{comes_free_after} ms");
        assert_eq!(given.is_some(), is_in_time, "{comes_free_after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_long() {
    let gate = Arc::new(Gate::new(1, 1, 1));
    let pass = admitted(enter(&gate, 1));
    let start = Instant::now();
    assert!(waits(enter(&gate, 1)).come().await.is_none());
    assert!(start.elapsed() <= Duration::from_millis(7), "a borrower");
    drop(pass);
    gate.idle().await;
}

#[tokio::test(start_paused = true)]
async fn one_who_goes_away_keeps_no_place() {
    let gate = Arc::new(Gate::new(1, 1, 1));
    let pass = admitted(enter(&gate, 1));
    drop(waits(enter(&gate, 2)));
    let turn = waits(enter(&gate, 2));
    drop(pass);
    assert_eq!(gate.in_flight(), 1, "given, but not taken yet");
    drop(turn);
    assert_eq!(gate.in_flight(), 0);
    gate.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_idle_once_nobody_is_in_and_nobody_waits() {
    let gate = Arc::new(Gate::new(1, 1, 1));
    let pass = admitted(enter(&gate, 1));
    let turn = waits(enter(&gate, 2));
    let watching = async {
        tokio::join!(gate.idle(), async {
            drop(pass);
            drop(turn.come().await);
        })
    };
    tokio::time::timeout(Duration::from_secs(5), watching)
        .await
        .expect("idle in time");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_on_time_keeps_all_places() {
    let gate = Arc::new(Gate::new(1000, 1, 1));
    let watched = tokio::time::timeout(Duration::from_secs(2), Arc::clone(&gate).keep_pace());
    assert!(watched.await.is_err(), "it watches for ever");
    assert_eq!(gate.places(), 1000);
}

#[tokio::test(start_paused = true)]
async fn those_who_are_turned_away_at_the_door_cost_nobody_a_place() {
    for (turned_away, places) in [(0, 700), (801, 1000)] {
        let gate = Arc::new(Gate::new(1000, 1, 1));
        let _passes: Vec<_> = (0..800).map(|_| admitted(enter(&gate, 1))).collect();
        (0..turned_away).for_each(|_| gate.turned_away());
        gate.told(Duration::from_millis(40), 100);
        assert_eq!(gate.places(), places, "{turned_away}");
    }
}

#[tokio::test]
async fn a_loop_that_falls_behind_lets_fewer_in() {
    let gate = Arc::new(Gate::new(1000, 1, 1));
    let _passes: Vec<_> = (0..800).map(|_| admitted(enter(&gate, 1))).collect();
    // A standing queue: each turn takes longer than the loop may be late.
    let hog = async {
        loop {
            let until = Instant::now() + Duration::from_millis(30);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
    };
    let fewer = async {
        while gate.places() == 1000 {
            tokio::task::yield_now().await;
        }
    };
    let watched = async {
        tokio::select! {
            () = Arc::clone(&gate).keep_pace() => {}
            () = hog => {}
            () = fewer => {}
        }
    };
    let watched = tokio::time::timeout(Duration::from_secs(30), watched);
    watched.await.expect("it falls behind");
    assert_eq!(gate.places(), 700);
}

#[tokio::test(start_paused = true)]
async fn strangers_take_no_place_and_are_few() {
    let gate = Arc::new(Gate::new(16, 2, 1));
    let strangers: Vec<_> = (0..3).map(|_| gate.stranger()).collect();
    let let_wait: Vec<_> = strangers.iter().map(Option::is_some).collect();
    assert_eq!(let_wait, [true, true, false]);
    let passes: Vec<_> = (0..16).map(|_| admitted(enter(&gate, 1))).collect();
    assert_eq!(gate.in_flight(), 16);
    drop(strangers);
    assert!(gate.stranger().is_none(), "places are scarce");
    drop(passes);
    let stranger = gate.stranger().expect("there is room again");
    let idle = tokio::time::timeout(Duration::from_secs(1), gate.idle());
    assert!(idle.await.is_err(), "somebody is at the door");
    tokio::join!(gate.idle(), async { drop(stranger) });
}
