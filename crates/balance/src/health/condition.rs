//! How somebody stands, and why.

use std::time::Duration;

use super::Standing;

/// How a target, or a provider, stands, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Nothing is known against it.
    Well,
    /// It was out, and takes part in this share of its traffic, from 0 to 1.
    Returning(f64),
    /// It was out: the next attempt finds out whether it is back.
    Probed,
    /// It failed lately, and is left out for so long. Zero: an attempt is finding out whether it is back.
    Ejected(Duration),
    /// It asked to be left alone for so long.
    Cooling(Duration),
    /// By its provider's own word it has no room for so much for so long.
    Full(Duration),
}

impl Condition {
    /// Whether it should be tried.
    #[must_use]
    pub fn standing(self) -> Standing {
        match self {
            Self::Well | Self::Returning(_) | Self::Probed => Standing::Ready,
            Self::Ejected(_) => Standing::Ejected,
            Self::Cooling(_) | Self::Full(_) => Standing::Cooling,
        }
    }

    /// Of two that both hold, the one that keeps more away.
    pub(crate) fn worse(self, other: Self) -> Self {
        let is_worse = (other.standing() > self.standing())
            || (other.standing() == self.standing() && other.share() < self.share());
        if self == Self::Well || is_worse {
            other
        } else {
            self
        }
    }

    /// At what share of its traffic it should be tried: 1 is the full one.
    #[must_use]
    pub fn share(self) -> f64 {
        match self {
            Self::Returning(share) => share,
            Self::Well | Self::Probed | Self::Ejected(_) | Self::Cooling(_) | Self::Full(_) => 1.0,
        }
    }
}
