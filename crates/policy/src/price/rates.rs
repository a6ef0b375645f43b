//! What each kind of token costs.

use super::{Bounds, MILLION};

/// What has a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Input tokens that are nothing of the following.
    Input,
    /// Those that the provider read from its cache.
    CachedInput,
    /// Those that it wrote to its cache for its usual time.
    CacheWrite,
    /// Those that it wrote to its cache for an hour.
    CacheWrite1h,
    /// Those of sound.
    InputAudio,
    /// Those of sound that the provider read from its cache.
    CachedAudio,
    /// Those of pictures.
    InputImage,
    /// Output tokens that are nothing of the following.
    Output,
    /// Those of reasoning.
    Reasoning,
    /// Those of sound.
    OutputAudio,
    /// Those of pictures.
    OutputImage,
    /// The request itself, whatever its tokens.
    Request,
    /// A search that the provider made itself.
    Search,
}

impl Part {
    /// Every part, each at the place of its number.
    pub const ALL: [Self; 13] = [
        Self::Input,
        Self::CachedInput,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::InputAudio,
        Self::CachedAudio,
        Self::InputImage,
        Self::Output,
        Self::Reasoning,
        Self::OutputAudio,
        Self::OutputImage,
        Self::Request,
        Self::Search,
    ];

    /// Returns its name as in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::InputAudio => "input_audio",
            Self::CachedAudio => "cached_audio",
            Self::InputImage => "input_image",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::OutputAudio => "output_audio",
            Self::OutputImage => "output_image",
            Self::Request => "request",
            Self::Search => "search",
        }
    }

    /// Returns the part of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == name)
    }

    /// The part whose price it has where it has none of its own. It comes before it in [`ALL`](Self::ALL).
    pub(super) fn default(self) -> Option<Self> {
        match self {
            Self::Input | Self::Output | Self::Request | Self::Search => None,
            Self::CachedInput | Self::CacheWrite | Self::InputAudio | Self::InputImage => {
                Some(Self::Input)
            }
            Self::CacheWrite1h => Some(Self::CacheWrite),
            Self::CachedAudio => Some(Self::InputAudio),
            Self::Reasoning | Self::OutputAudio | Self::OutputImage => Some(Self::Output),
        }
    }

    /// The part that its price is in proportion to.
    pub(super) fn base(self) -> Option<Self> {
        match self {
            Self::Request | Self::Search => None,
            Self::Input
            | Self::CachedInput
            | Self::CacheWrite
            | Self::CacheWrite1h
            | Self::InputAudio
            | Self::CachedAudio
            | Self::InputImage => Some(Self::Input),
            Self::Output | Self::Reasoning | Self::OutputAudio | Self::OutputImage => {
                Some(Self::Output)
            }
        }
    }
}

/// The price of each part: billionths of a US dollar per million tokens, per request, or per search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates([Rate; Part::ALL.len()]);

/// The price of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rate {
    /// How much it is.
    pub(super) amount: u64,
    /// Whether somebody says so. Else it is that of another part, for want of anything better.
    pub(super) is_said: bool,
}

/// Tokens of a request, each kind as a part of the whole that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input.
    pub input: u64,
    /// Input read from the provider's cache.
    pub cached_input: u64,
    /// Input written to the provider's cache, for however long.
    pub cache_write: u64,
    /// Those of `cache_write` that are kept for an hour.
    pub cache_write_1h: u64,
    /// Input of sound.
    pub input_audio: u64,
    /// Input of pictures.
    pub input_image: u64,
    /// All output.
    pub output: u64,
    /// Output of reasoning.
    pub reasoning: u64,
    /// Output of sound.
    pub output_audio: u64,
    /// Output of pictures.
    pub output_image: u64,
    /// Searches that the provider made, which are no tokens.
    pub searches: u64,
}

impl Rates {
    /// Rates of which each is worked out from those before it.
    pub(super) fn build(rate: impl Fn(&Self, Part) -> Rate) -> Self {
        let mut rates = Self::default();
        for part in Part::ALL {
            rates.0[part as usize] = rate(&rates, part);
        }
        rates
    }

    /// Returns the rate of a part, in billionths of a US dollar per million tokens, or per request.
    #[must_use]
    pub fn of(&self, part: Part) -> u64 {
        self.0[part as usize].amount
    }

    /// Whether the rate of a part is its own. Else it is that of another part, and what really is paid may be many times
    /// that.
    #[must_use]
    pub fn says(&self, part: Part) -> bool {
        self.0[part as usize].is_said
    }

    /// The cost of a request, in millionths of a billionth of a dollar.
    pub(super) fn cost(&self, tokens: &Tokens) -> u128 {
        let counted = tokens.apart();
        let parts = Part::ALL.into_iter().zip(counted);
        parts.fold(0, |sum: u128, (part, tokens)| {
            sum.saturating_add(u128::from(tokens) * u128::from(self.of(part)))
        }) + self.request()
    }

    /// The most that a request within these bounds can cost, in the same unit.
    pub(super) fn highest_cost(&self, bounds: &Bounds) -> u128 {
        let highest = |base: Part| {
            let of_base = |part: &Part| part.base() == Some(base) && bounds.may_hold(*part);
            let rates = Part::ALL.into_iter().filter(of_base);
            u128::from(rates.map(|part| self.of(part)).max().unwrap_or_default())
        };
        let input = u128::from(bounds.input) * highest(Part::Input);
        let output = u128::from(bounds.output) * highest(Part::Output);
        let searches = u128::from(bounds.searches) * u128::from(self.of(Part::Search)) * MILLION;
        let tokens = input.saturating_add(output);
        tokens.saturating_add(searches) + self.request()
    }

    fn request(&self) -> u128 {
        u128::from(self.of(Part::Request)) * MILLION
    }
}

impl Bounds {
    fn may_hold(&self, part: Part) -> bool {
        match part {
            Part::CacheWrite1h => self.hour,
            Part::InputAudio | Part::CachedAudio => self.audio,
            Part::InputImage => self.image,
            // Providers cache by themselves, and what comes out is theirs to choose.
            Part::Input
            | Part::CachedInput
            | Part::CacheWrite
            | Part::Output
            | Part::Reasoning
            | Part::OutputAudio
            | Part::OutputImage
            | Part::Request
            | Part::Search => true,
        }
    }
}

impl Tokens {
    /// The tokens of each part, none counted twice; a search has a price of its own, and counts as a million. Which of the sound came from the cache is not told: no more than
    /// must have. A part that exceeds its whole is the provider's slip.
    pub(super) fn apart(&self) -> [u64; Part::ALL.len()] {
        let mut left = self.input;
        let mut input = |tokens: u64| take(&mut left, tokens);
        let mut cached = input(self.cached_input);
        let hour = input(self.cache_write_1h.min(self.cache_write));
        let written = input(self.cache_write - self.cache_write_1h.min(self.cache_write));
        let audio = input(self.input_audio);
        let cached_audio = take(&mut cached, self.input_audio - audio);
        let image = input(self.input_image);
        let mut rest = self.output;
        let mut output = |tokens: u64| take(&mut rest, tokens);
        let (reasoning, sound) = (output(self.reasoning), output(self.output_audio));
        let picture = output(self.output_image);
        let mut parts = [0; Part::ALL.len()];
        for (part, tokens) in [
            (Part::Input, left),
            (Part::CachedInput, cached),
            (Part::CacheWrite, written),
            (Part::CacheWrite1h, hour),
            (Part::InputAudio, audio),
            (Part::CachedAudio, cached_audio),
            (Part::InputImage, image),
            (Part::Output, rest),
            (Part::Reasoning, reasoning),
            (Part::OutputAudio, sound),
            (Part::OutputImage, picture),
            (Part::Search, self.searches.saturating_mul(1_000_000)),
        ] {
            parts[part as usize] = tokens;
        }
        parts
    }
}

/// Takes so many tokens, or as many as there are.
fn take(from: &mut u64, tokens: u64) -> u64 {
    let taken = tokens.min(*from);
    *from -= taken;
    taken
}
