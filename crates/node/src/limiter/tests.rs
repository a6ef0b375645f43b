use tokio::task::JoinSet;
use tollgate_quota::{Epoch, Generation, Kind, OwnerAccount, OwnerTime, Window};

use super::*;

fn close(incarnation: u64, counter: &Counter, mark: u64, settled: u64) -> Close {
    Close {
        incarnation: Incarnation(incarnation),
        counter: counter.clone(),
        window: Window(1),
        mark,
        settled,
    }
}

/// The owner's word to process 7: so much is granted, and that is closed.
fn granted(counter: &Counter, granted: u64, closed: Close) -> OwnerMessage {
    OwnerMessage {
        epoch: Epoch(1),
        incarnation: Incarnation(7),
        echo_t_node: NodeTime(0),
        owner_now: OwnerTime(1),
        accounts: vec![OwnerAccount {
            counter: counter.clone(),
            window: Window(1),
            generation: Generation::FIRST,
            granted,
            rem_ms: 1 << 50,
            version: 1,
            exhausted_above: None,
            keep: None,
            limit: 100,
            remaining: 100,
            share: None,
            coming: Vec::new(),
            promises: Vec::new(),
        }],
        closed: vec![closed],
    }
}

#[tokio::test]
async fn all_is_closed_anew_in_a_restored_store_and_only_there() {
    let counter = Counter::new("budget", Kind::Endless, "requests=endless").unwrap();
    let dead = close(3, &counter, 9, 9);
    let inherited = Inheritance {
        closes: vec![dead.clone()],
        estate: None,
    };
    let limiter = Arc::new(Limiter::new("n", 7, Some(inherited)));
    limiter.stands_in(1);
    let mut requests = JoinSet::new();
    for _ in 0..2 {
        let (limiter, counter) = (Arc::clone(&limiter), counter.clone());
        requests.spawn(async move {
            let asks = [Ask {
                counter: &counter,
                units: 5,
            }];
            limiter.reserve(&asks, LONGEST_WAIT).await.unwrap().0
        });
    }
    // Everything is noted at once, as by a fast disk.
    let journal = {
        let (limiter, counter) = (Arc::clone(&limiter), counter.clone());
        async move {
            loop {
                let notes = limiter.notes().await;
                limiter.noted(&notes);
                limiter.receive(&granted(&counter, 20, close(3, &counter, 9, 9)));
            }
        }
    };
    let both = async { (requests.join_next().await, requests.join_next().await) };
    let (first, second) = tokio::select! {
        both = both => both,
        () = journal => panic!("the journal has no end"),
    };
    first.unwrap().unwrap().settle(&[4]);
    assert!(limiter.inherited().is_empty(), "the owner has closed it");

    // The same store, or one that cannot be told apart, is no news.
    for store in [1, 0, 1] {
        limiter.stands_in(store);
    }
    assert!(limiter.inherited().is_empty());
    limiter.stands_in(2);
    let told = limiter.inherited();
    // One request is under way, and may use what it holds.
    assert_eq!(told, [dead, close(7, &counter, 9, 4)]);
    assert_eq!(limiter.store(), 2);
    drop(second);
}
