//! The small worlds, and what broken rules each has to show.

use tollgate_quota::{Incarnation, Kind};

use crate::faults::Fault;
use crate::mutants::Mutation::{self, *};

/// What may happen how often in one schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) asks: u8,
    pub(super) heartbeats: u8,
    pub(super) waits: u8,
    /// Messages that arrive twice, and writes of which nobody knows what became.
    pub(super) repeats: u8,
    pub(super) doubts: u8,
    /// Each of the instance's faults, once.
    pub(super) faults: u8,
}

/// What has happened when the search begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin {
    /// All that is under way, in turn, but for the ends of requests.
    Quiet,
    /// The first of what is under way, so many.
    Runs(u8),
    Ask(usize),
    /// The ends of requests, which used all they had.
    Settles,
    Connect(usize),
    Fails((Fault, u64)),
    Waits(u64),
    /// A node says all it has to say.
    Speaks(usize),
}

/// A small world of two nodes, where every request asks for one unit.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) units: u64,
    /// How much of each window is promised ahead, in per cent.
    pub(super) promised: u32,
    pub(super) skew_ms: u64,
    /// Drawn as the world begins, which makes clocks slow or fast, behind or ahead.
    pub(super) number: u64,
    /// Time passes by these, one after the other, in milliseconds.
    pub(super) waits: &'static [u64],
    /// Requests stand still between take and stamp.
    pub(super) pauses: bool,
    pub(super) begin: &'static [&'static [Begin]],
    /// What may go wrong at any moment, each once, with the number drawn for it.
    pub(super) faults: &'static [(Fault, u64)],
    pub(super) left: Left,
    /// Schedules are as long as this.
    pub(super) steps: u8,
    /// Broken rules that this has to show.
    pub(super) caught: &'static [Mutation],
}

/// Most instances: a limit of one unit, so that whatever is admitted besides breaks it.
const ONE: Instance = Instance {
    name: "",
    kind: Kind::Fixed { window_ms: 12_000 },
    units: 1,
    promised: 0,
    skew_ms: 0,
    number: 0,
    waits: &[],
    pauses: false,
    begin: &[],
    faults: &[],
    left: Left {
        asks: 1,
        heartbeats: 0,
        waits: 0,
        repeats: 0,
        doubts: 0,
        faults: 0,
    },
    steps: 6,
    caught: &[],
};

const TAKE_OVER: (Fault, u64) = (Fault::Failover { kill: false }, 0);
const CRASH: (Fault, u64) = (Fault::Crash(0), 0);
const ASKS: Left = Left {
    asks: 2,
    ..ONE.left
};

use Begin::{Ask as Asks, Connect, Fails, Quiet, Runs, Settles, Speaks, Waits};

const BRIEF: Kind = Kind::Fixed { window_ms: 2_000 };
const SLIDING: Kind = Kind::Sliding { window_ms: 1_000 };
const BUCKET: Kind = Kind::Bucket { window_ms: 1_000 };

/// Both processes have noted the counter in their journals, and the first one holds its unit.
const OPENED: &[Begin] = &[
    Quiet,
    Asks(1),
    Quiet,
    Speaks(1),
    Quiet,
    Settles,
    Asks(0),
    Quiet,
    Speaks(0),
    Quiet,
    Speaks(1),
    Quiet,
];

pub(super) const INSTANCES: &[Instance] = &[
    Instance {
        name: "counted: two owners, and nothing is debited yet",
        begin: &[&[
            Quiet,
            Asks(0),
            Runs(2),
            Fails(TAKE_OVER),
            Connect(1),
            Asks(1),
        ]],
        left: Left {
            doubts: 1,
            ..ONE.left
        },
        caught: &[UnguardedWrite, UnknownIsSuccess],
        ..ONE
    },
    Instance {
        name: "counted: another owner, and all is out",
        begin: &[&[Quiet, Asks(0), Quiet, Fails(TAKE_OVER), Connect(1), Asks(1)]],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[TrustReports, SettledTwice],
        ..ONE
    },
    Instance {
        name: "counted: messages come twice",
        units: 2,
        begin: &[&[Quiet, Asks(0), Quiet]],
        left: Left {
            heartbeats: 1,
            repeats: 2,
            ..ASKS
        },
        caught: &[Deltas],
        ..ONE
    },
    Instance {
        name: "counted: a process dies",
        begin: &[&[Quiet, Asks(0), Quiet]],
        faults: &[CRASH],
        left: Left {
            heartbeats: 1,
            repeats: 1,
            ..ASKS
        },
        caught: &[RecreditOnExpiry],
        ..ONE
    },
    Instance {
        name: "counted: a limit is lowered, and a new owner lags",
        units: 2,
        begin: &[&[
            Quiet,
            Fails((Fault::ChangeLimits, 1)),
            Quiet,
            Asks(0),
            Quiet,
            Fails((TAKE_OVER.0, 1)),
            Connect(1),
            Asks(1),
        ]],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[LimitFromOwnCache],
        ..ONE
    },
    Instance {
        name: "counted: the end of a window",
        units: 2,
        begin: &[&[Quiet, Waits(11_900), Asks(0), Quiet]],
        waits: &[150],
        pauses: true,
        left: ASKS,
        caught: &[DeadlineFromReceipt, NoRestamp],
        ..ONE
    },
    Instance {
        name: "counted: a node's clock goes slow",
        units: 2,
        begin: &[&[Quiet, Asks(0), Quiet]],
        waits: &[12_010],
        pauses: true,
        left: ASKS,
        caught: &[NoDriftMargin],
        ..ONE
    },
    Instance {
        name: "promised: a process is promised the next windows",
        promised: 100,
        begin: &[&[Quiet, Asks(0), Quiet]],
        waits: &[12_020],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[PromiseOfVended],
        ..ONE
    },
    Instance {
        name: "promised: another owner, and a window has begun",
        promised: 100,
        begin: &[&[
            Quiet,
            Asks(0),
            Quiet,
            Waits(12_020),
            Fails(TAKE_OVER),
            Connect(1),
            Asks(1),
        ]],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[PromiseTakenBack],
        ..ONE
    },
    Instance {
        name: "brief: another owner",
        kind: BRIEF,
        begin: &[&[Quiet, Asks(0), Quiet, Fails(TAKE_OVER), Connect(1), Asks(1)]],
        left: Left {
            heartbeats: 1,
            doubts: 1,
            ..ASKS
        },
        caught: &[NoHorizonWait, SettledTwice],
        ..ONE
    },
    Instance {
        name: "sliding",
        kind: SLIDING,
        begin: &[&[Quiet, Asks(0), Quiet]],
        waits: &[1_100],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[HeldAsSpent, SpentAtGrant, SettledTwice],
        steps: 6,
        ..ONE
    },
    Instance {
        name: "sliding: another owner",
        kind: SLIDING,
        begin: &[&[Quiet, Asks(0), Quiet, Fails(TAKE_OVER), Connect(1), Asks(1)]],
        waits: &[900],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[NoHorizonWait],
        steps: 5,
        ..ONE
    },
    Instance {
        name: "bucket",
        kind: BUCKET,
        begin: &[&[Quiet, Asks(0), Quiet]],
        waits: &[1_100],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[HeldAsSpent, SpentAtGrant, SettledTwice],
        steps: 7,
        ..ONE
    },
    Instance {
        name: "bucket: two takeovers in a row",
        kind: BUCKET,
        skew_ms: 250,
        number: 500,
        begin: &[&[
            Quiet,
            Asks(0),
            Quiet,
            Fails(TAKE_OVER),
            Connect(1),
            Asks(1),
            Runs(3),
            Fails((TAKE_OVER.0, 500)),
            Connect(1),
            Asks(1),
        ]],
        waits: &[5_600],
        left: Left {
            heartbeats: 1,
            ..ASKS
        },
        caught: &[NoHorizonWait],
        steps: 5,
        ..ONE
    },
    Instance {
        name: "slots: a process falls silent",
        kind: Kind::Concurrent,
        begin: &[OPENED, &[Waits(4_000)]],
        faults: &[(Fault::Silence(Incarnation(1)), 0)],
        caught: &[RecreditOnExpiry, ClosedWithoutLock],
        ..ONE
    },
    Instance {
        name: "slots: messages come twice",
        kind: Kind::Concurrent,
        begin: &[OPENED],
        left: Left {
            heartbeats: 2,
            repeats: 1,
            ..ASKS
        },
        caught: &[SettledTwice],
        ..ONE
    },
    Instance {
        name: "budget: a process dies, and its heir speaks",
        kind: Kind::Endless,
        units: 2,
        begin: &[OPENED, &[Speaks(0), Fails(CRASH), Connect(0), Waits(4_000)]],
        left: Left {
            heartbeats: 2,
            ..ASKS
        },
        caught: &[NoMark],
        ..ONE
    },
];
