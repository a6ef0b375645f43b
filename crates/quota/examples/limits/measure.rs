//! Timing decisions one by one, on one thread or several at once.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Something that decides.
pub(crate) trait Limiter: Sync {
    /// What a thread has of its own.
    type Hand;
    /// What an admitted request holds until its end.
    type Held;

    /// Prepares a thread.
    fn hand(&self) -> Self::Hand;
    /// How many keys there are.
    fn keys(&self) -> usize;
    /// The decision that is timed. There are always units.
    fn admit(&self, hand: &mut Self::Hand, key: usize) -> Self::Held;
    /// The request's end.
    fn finish(&self, hand: &mut Self::Hand, held: Self::Held);
    /// What another task of the process does meanwhile; called now and then.
    fn upkeep(&self) {}
    /// Whether a decision waits for somebody else, so that its rate is one of time and not of a processor.
    const WAITS: bool = false;
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) decisions: usize,
    pub(crate) warmup: usize,
}

impl Sizes {
    /// So many decisions per thread, after a quarter as many that do not count.
    pub(crate) fn new(decisions: usize) -> Self {
        Self {
            decisions,
            warmup: decisions / 4,
        }
    }
}

/// What came out.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) threads: usize,
    pub(crate) p50_ns: u32,
    pub(crate) p99_ns: u32,
    /// Whole requests per second and thread: decision and end.
    pub(crate) per_second: f64,
}

/// Upkeep happens after so many requests of a thread.
const UPKEEP: usize = 4_096;

/// Times decisions on so many threads at once.
pub(crate) fn measure<L: Limiter>(limiter: &L, threads: usize, sizes: Sizes) -> Figures {
    let barrier = Barrier::new(threads);
    let parts: Vec<(Vec<u32>, f64)> = thread::scope(|scope| {
        let run = |number| {
            let barrier = &barrier;
            scope.spawn(move || one_thread(limiter, number, threads, (sizes, barrier)))
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        // A thread that panicked has said why.
        let parts = running.into_iter().filter_map(|part| part.join().ok());
        parts.collect()
    });
    let rates: f64 = parts.iter().map(|(_, rate)| rate).sum();
    let mut times: Vec<u32> = parts.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0);
    Figures {
        threads,
        p50_ns: at(50),
        p99_ns: at(99),
        per_second: rates / threads as f64,
    }
}

fn one_thread<L: Limiter>(
    limiter: &L,
    number: usize,
    threads: usize,
    (sizes, barrier): (Sizes, &Barrier),
) -> (Vec<u32>, f64) {
    let mut hand = limiter.hand();
    let mut times = Vec::with_capacity(sizes.decisions);
    // Threads take different keys at any moment, in an order that no cache foresees.
    let key = |n: usize| (n * threads + number).wrapping_mul(7_919) % limiter.keys();
    for n in 0..sizes.warmup {
        let held = limiter.admit(&mut hand, key(n));
        limiter.finish(&mut hand, held);
    }
    barrier.wait();
    let begin = clock::<L>();
    for n in 0..sizes.decisions {
        let held = limiter.admit(&mut hand, key(n));
        limiter.finish(&mut hand, held);
        if n % UPKEEP == 0 {
            limiter.upkeep();
        }
    }
    let took = clock::<L>().saturating_sub(begin).as_secs_f64();
    barrier.wait();
    for n in 0..sizes.decisions {
        let start = Instant::now();
        let held = limiter.admit(&mut hand, key(n));
        let spent = start.elapsed().as_nanos();
        times.push(u32::try_from(spent).unwrap_or(u32::MAX));
        limiter.finish(&mut hand, held);
        if n % UPKEEP == 0 {
            limiter.upkeep();
        }
    }
    (times, sizes.decisions as f64 / took)
}

fn clock<L: Limiter>() -> Duration {
    if L::WAITS {
        read(ClockId::Monotonic)
    } else {
        read(ClockId::ThreadCPUTime)
    }
}

/// What reading the timer twice costs at the median, nanoseconds.
pub(crate) fn timer_cost() -> u32 {
    let once = || {
        let start = Instant::now();
        u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
    };
    let mut times: Vec<u32> = std::iter::repeat_with(once).take(100_000).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Processor time of this thread.
pub(crate) fn processor_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Milliseconds of the clock that nodes live by.
pub(crate) fn boot_ms() -> u64 {
    u64::try_from(read(ClockId::Boottime).as_millis()).unwrap_or(u64::MAX)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
