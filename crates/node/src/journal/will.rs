//! What a process that ends in good order leaves to the next one, as lines of the journal: one for each counter, and a
//! seal, which says that this is all, and where it was written.

use prost::Message;
use tollgate_quota::node::{Bequest, Estate, Totals};
use tollgate_quota::{
    Coming, Counter, Epoch, Generation, Incarnation, Kind, NodeTime, OwnerAccount, Promise, Window,
};

use super::place::Place;

/// What is known of one counter; the fields of [`Bequest`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct BequestLine {
    #[prost(string, tag = "1")]
    counter: String,
    #[prost(uint64, tag = "2")]
    window: u64,
    #[prost(int64, tag = "3")]
    labelled: i64,
    #[prost(uint32, tag = "4")]
    generation: u32,
    #[prost(int64, tag = "5")]
    epoch: i64,
    #[prost(uint64, tag = "6")]
    deadline: u64,
    #[prost(uint64, tag = "7")]
    over_at: u64,
    #[prost(message, repeated, tag = "8")]
    totals: Vec<TotalsLine>,
    #[prost(int64, tag = "9")]
    told_by: i64,
    #[prost(uint64, tag = "10")]
    version: u64,
    #[prost(uint64, optional, tag = "11")]
    exhausted_above: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    keep: Option<u64>,
    #[prost(uint64, tag = "13")]
    limit: u64,
    #[prost(uint64, tag = "14")]
    remaining: u64,
    #[prost(message, repeated, tag = "15")]
    coming: Vec<ComingLine>,
    #[prost(uint64, tag = "16")]
    heard_at: u64,
    #[prost(uint64, optional, tag = "17")]
    mark: Option<u64>,
    #[prost(uint64, optional, tag = "18")]
    share: Option<u64>,
    #[prost(message, repeated, tag = "19")]
    promises: Vec<PromiseLine>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TotalsLine {
    #[prost(int64, tag = "1")]
    epoch: i64,
    #[prost(uint64, tag = "2")]
    seen: u64,
    #[prost(uint64, tag = "3")]
    returned: u64,
    #[prost(uint64, tag = "4")]
    spent: u64,
    #[prost(uint64, tag = "5")]
    promised_back: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ComingLine {
    #[prost(uint64, tag = "1")]
    units: u64,
    #[prost(uint64, tag = "2")]
    in_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PromiseLine {
    #[prost(uint64, tag = "1")]
    units: u64,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(uint64, tag = "3")]
    through: u64,
}

/// Ends what is left: without it, nothing of it counts.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Seal {
    #[prost(fixed64, tag = "1")]
    incarnation: u64,
    /// The store that totals stand in; 0 while none was heard of.
    #[prost(uint64, tag = "2")]
    store: u64,
    /// So many lines belong to it.
    #[prost(uint64, tag = "3")]
    bequests: u64,
    #[prost(message, repeated, tag = "4")]
    floors: Vec<FloorLine>,
    #[prost(message, required, tag = "5")]
    place: Place,
}

#[derive(Clone, PartialEq, Message)]
struct FloorLine {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(uint64, tag = "2")]
    window: u64,
}

/// What the last process has left, whole.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Will {
    estate: Estate,
    store: u64,
    place: Place,
}

impl Seal {
    /// That of an estate whose totals stand in that store.
    pub(super) fn new(estate: &Estate, store: u64, place: Place) -> Self {
        let floors = estate.floors.iter().map(|(kind, window)| FloorLine {
            kind: kind.to_string(),
            window: window.0,
        });
        Self {
            incarnation: estate.incarnation.0,
            store,
            bequests: estate.bequests.len() as u64,
            floors: floors.collect(),
            place,
        }
    }

    fn floors(&self) -> Option<Vec<(Kind, Window)>> {
        let floor = |it: &FloorLine| Some((it.kind.parse().ok()?, Window(it.window)));
        self.floors.iter().map(floor).collect()
    }
}

impl Will {
    /// None unless all of it is there.
    pub(super) fn new(seal: &Seal, bequests: Vec<Option<Bequest>>) -> Option<Self> {
        let bequests: Vec<Bequest> = bequests.into_iter().collect::<Option<_>>()?;
        let whole = seal.bequests == bequests.len() as u64;
        let floors = seal.floors().filter(|_| whole)?;
        Some(Self {
            estate: Estate {
                incarnation: Incarnation(seal.incarnation),
                floors,
                bequests,
            },
            store: seal.store,
            place: seal.place.clone(),
        })
    }

    /// What is left, and the store that its totals stand in, where a process can go on with it that runs here.
    ///
    /// # Errors
    /// Why it is of no use here.
    pub(super) fn take(self, here: &Place) -> Result<(Estate, u64), &'static str> {
        self.place.is_that_of(here)?;
        Ok((self.estate, self.store))
    }
}

impl BequestLine {
    pub(super) fn of(bequest: &Bequest) -> Self {
        let told = &bequest.told;
        let totals = bequest.totals.iter().map(|it| TotalsLine {
            epoch: it.epoch.0,
            seen: it.seen,
            returned: it.returned,
            spent: it.spent,
            promised_back: it.promised_back,
        });
        let promises = told.promises.iter().map(|it| PromiseLine {
            units: it.units,
            from: it.from.0,
            through: it.through.0,
        });
        let coming = told.coming.iter().map(|it| ComingLine {
            units: it.units,
            in_ms: it.in_ms,
        });
        Self {
            counter: told.counter.as_str().to_owned(),
            window: told.window.0,
            labelled: bequest.labelled.0,
            generation: told.generation.0,
            epoch: bequest.epoch.0,
            deadline: bequest.deadline.0,
            over_at: bequest.over_at.0,
            totals: totals.collect(),
            told_by: bequest.told_by.0,
            version: told.version,
            exhausted_above: told.exhausted_above,
            keep: told.keep,
            share: told.share,
            limit: told.limit,
            remaining: told.remaining,
            coming: coming.collect(),
            heard_at: bequest.heard_at.0,
            mark: bequest.mark,
            promises: promises.collect(),
        }
    }

    pub(super) fn read(&self) -> Option<Bequest> {
        let totals = self.totals.iter().map(|it| Totals {
            epoch: Epoch(it.epoch),
            seen: it.seen,
            returned: it.returned,
            spent: it.spent,
            promised_back: it.promised_back,
        });
        let promises = self.promises.iter().map(|it| Promise {
            units: it.units,
            from: Window(it.from),
            through: Window(it.through),
        });
        let coming = self.coming.iter().map(|it| Coming {
            units: it.units,
            in_ms: it.in_ms,
        });
        Some(Bequest {
            labelled: Epoch(self.labelled),
            epoch: Epoch(self.epoch),
            deadline: NodeTime(self.deadline),
            over_at: NodeTime(self.over_at),
            totals: totals.collect(),
            told: OwnerAccount {
                counter: Counter::parse(&self.counter).ok()?,
                window: Window(self.window),
                generation: Generation(self.generation),
                granted: 0,
                rem_ms: 0,
                version: self.version,
                exhausted_above: self.exhausted_above,
                keep: self.keep,
                share: self.share,
                limit: self.limit,
                remaining: self.remaining,
                coming: coming.collect(),
                promises: promises.collect(),
            },
            told_by: Epoch(self.told_by),
            heard_at: NodeTime(self.heard_at),
            mark: self.mark,
        })
    }
}
