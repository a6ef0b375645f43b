//! The limits of the run, whatever their amounts, and who counts in them.
//!
//! A limit of another kind is one more row of [`LIMITS`] and an amount in a stage; a unit that is counted
//! otherwise is one more [`Unit`].

/// Billionths of a US dollar per token: 1 and 2 dollars per million.
const INPUT_PRICE: u64 = 1_000;
const OUTPUT_PRICE: u64 = 2_000;
/// What a request costs at most: ten tokens in, eight out.
pub(super) const REQUEST_COST: u64 = 10 * INPUT_PRICE + 8 * OUTPUT_PRICE;
/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    /// Requests.
    Requests,
    /// Tokens that the provider charges, input and output.
    Tokens,
    /// Billionths of a US dollar.
    Cost,
    /// Requests at once.
    Slots,
}

impl Unit {
    /// Its name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Cost => "nano-USD",
            Self::Slots => "slots",
        }
    }

    /// What one request of so many tokens counts.
    pub(super) fn of(self, (input, output): (u64, u64)) -> u64 {
        match self {
            Self::Requests | Self::Slots => 1,
            Self::Tokens => input + output,
            Self::Cost => input * INPUT_PRICE + output * OUTPUT_PRICE,
        }
    }

    /// About how many requests an amount is good for.
    pub(super) fn requests(self, amount: u64) -> u64 {
        match self {
            Self::Requests | Self::Slots => amount,
            Self::Tokens => amount / 18,
            Self::Cost => amount / REQUEST_COST,
        }
    }

    /// An amount as a field of a policy.
    pub(super) fn field(self, amount: u64) -> String {
        match self {
            Self::Requests => format!("requests: {amount}"),
            Self::Tokens => format!("tokens: {amount}"),
            Self::Slots => format!("concurrent: {amount}"),
            Self::Cost => {
                let (dollars, rest) = (amount / 1_000_000_000, amount % 1_000_000_000);
                format!("cost_usd: \"{dollars}.{rest:09}\"")
            }
        }
    }
}

/// What has a counter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Per {
    Key,
    Team,
}

/// How a limit counts over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// In windows of the run.
    Fixed,
    /// In any interval as long as one of so many parts of a window.
    Sliding(u64),
    /// A bucket that so many units come into in a [part](ROLLING_PART) of a window, and that holds as many.
    Bucket,
    /// In a month of UTC.
    Month,
    /// In all.
    Endless,
    /// At once.
    Slots,
}

/// Some of what counts without windows does so over this part of one: as short as the time for which owners are away.
pub(super) const ROLLING_PART: u64 = 4;

impl Kind {
    /// Its name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Sliding(1) => "sliding",
            Self::Sliding(_) => "brief",
            Self::Bucket => "bucket",
            Self::Month => "month",
            Self::Endless => "endless",
            Self::Slots => "slots",
        }
    }

    /// Whether what is spent does not come back in the time of a run.
    pub(super) fn is_budget(self) -> bool {
        matches!(self, Self::Month | Self::Endless)
    }

    pub(super) fn fields(self, window_s: u64, amount: u64) -> String {
        let part = window_s / ROLLING_PART;
        match self {
            Self::Fixed => format!(", window: {window_s}s"),
            Self::Sliding(parts) => format!(", window: {}s, kind: sliding", window_s / parts),
            Self::Bucket => format!(", window: {part}s, kind: bucket, burst: {amount}"),
            Self::Month => ", window: 1mo, timezone: UTC".to_owned(),
            Self::Endless | Self::Slots => String::new(),
        }
    }
}

/// What callers ask for. Each has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Model {
    /// Under fixed windows.
    Chat,
    /// Under limits without windows.
    Flow,
    /// Under budgets without an end.
    Spend,
    /// Under budgets of a month.
    Month,
    /// Under slots; takes half a second.
    Hold,
}

impl Model {
    pub(super) const ALL: [Self; 5] =
        [Self::Chat, Self::Flow, Self::Spend, Self::Month, Self::Hold];

    /// Its name for callers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Flow => "flow",
            Self::Spend => "spend",
            Self::Month => "month",
            Self::Hold => "hold",
        }
    }

    /// Its name at the provider, which says what the provider does.
    pub(super) fn upstream(self) -> String {
        let behaviour = match self {
            Self::Chat | Self::Flow | Self::Spend | Self::Month => "ok-8",
            Self::Hold => "ok-8x60ms",
        };
        format!("{}@{behaviour}", self.name())
    }

    /// The model of that name at the provider.
    pub(super) fn of_upstream(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.upstream() == name)
    }
}

/// One limit of the policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    pub(super) model: Model,
    pub(super) per: Per,
    pub(super) unit: Unit,
    pub(super) kind: Kind,
}

const fn limit(name: &'static str, model: Model, per: Per, unit: Unit, kind: Kind) -> Limit {
    Limit {
        name,
        model,
        per,
        unit,
        kind,
    }
}

/// All limits, of which each stage sets some.
pub(super) const LIMITS: [Limit; 11] = [
    limit(
        "key-requests",
        Model::Chat,
        Per::Key,
        Unit::Requests,
        Kind::Fixed,
    ),
    limit(
        "team-requests",
        Model::Chat,
        Per::Team,
        Unit::Requests,
        Kind::Fixed,
    ),
    limit(
        "team-tokens",
        Model::Chat,
        Per::Team,
        Unit::Tokens,
        Kind::Fixed,
    ),
    limit("team-cost", Model::Chat, Per::Team, Unit::Cost, Kind::Fixed),
    limit(
        "key-sliding",
        Model::Flow,
        Per::Key,
        Unit::Requests,
        Kind::Sliding(ROLLING_PART),
    ),
    limit(
        "team-bucket",
        Model::Flow,
        Per::Team,
        Unit::Requests,
        Kind::Bucket,
    ),
    limit(
        "key-budget",
        Model::Spend,
        Per::Key,
        Unit::Cost,
        Kind::Endless,
    ),
    limit(
        "team-month",
        Model::Month,
        Per::Team,
        Unit::Cost,
        Kind::Month,
    ),
    limit("key-slots", Model::Hold, Per::Key, Unit::Slots, Kind::Slots),
    limit(
        "team-slots",
        Model::Hold,
        Per::Team,
        Unit::Slots,
        Kind::Slots,
    ),
    limit(
        "key-interval",
        Model::Flow,
        Per::Key,
        Unit::Requests,
        Kind::Sliding(1),
    ),
];

/// Keys there are.
pub(super) const KEYS: usize = 24;
/// Teams that they belong to, in turn.
pub(super) const TEAMS: usize = 2;

/// One counter of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    /// Index into [`LIMITS`].
    pub(super) limit: usize,
    /// Number of the key or team.
    pub(super) member: usize,
}

impl Cell {
    /// The cell of that limit that a request of `key` counts in, if it is for the limit's model.
    pub(super) fn of(limit: usize, key: usize) -> Self {
        let member = match LIMITS[limit].per {
            Per::Key => key,
            Per::Team => key % TEAMS,
        };
        Self { limit, member }
    }

    /// Every cell of every limit.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..LIMITS.len()).flat_map(|limit| {
            let members = match LIMITS[limit].per {
                Per::Key => KEYS,
                Per::Team => TEAMS,
            };
            (0..members).map(move |member| Self { limit, member })
        })
    }

    /// Its limit.
    pub(super) fn rule(self) -> &'static Limit {
        &LIMITS[self.limit]
    }

    /// The cells of other limits that a request of this key's cell counts in too.
    pub(super) fn wider(self) -> impl Iterator<Item = Self> {
        let of_a_key = self.rule().per == Per::Key;
        let others = (0..LIMITS.len()).filter(move |other| {
            of_a_key && *other != self.limit && LIMITS[*other].model == self.rule().model
        });
        others.map(move |other| Self::of(other, self.member))
    }

    /// How logs, refusals and `tollgate limits` name the counter. `keys` are the keys' identifiers.
    pub(super) fn label(self, keys: &[String]) -> String {
        let name = self.rule().name;
        match self.rule().per {
            Per::Key => format!("{name}/key={}", keys[self.member]),
            Per::Team => format!("{name}/team=chaos/team{}", self.member),
        }
    }
}
