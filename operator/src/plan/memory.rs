//! What later passes must know of earlier ones.

use std::time::{Duration, SystemTime};

use super::balance::Rounds;
use super::history::History;
use crate::tier::Tier;

/// What later passes must know of earlier ones. The default is the empty memory, which holds scale-in
/// back until it has seen enough.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// When this memory began.
    since: Option<SystemTime>,
    /// The tier of the last pass, for its hysteresis.
    pub(super) tier: Option<Tier>,
    /// What was recommended, and when pods were added.
    pub(super) history: History,
    /// Clients that were asked to leave fuller pods.
    pub(super) balance: Rounds,
}

impl Memory {
    /// How long this memory has watched. A clock that goes backwards makes it younger, which only
    /// holds for longer.
    pub(super) fn age(&mut self, now: SystemTime) -> Duration {
        let since = *self.since.get_or_insert(now);
        now.duration_since(since).unwrap_or_default()
    }

    /// One that has watched since then.
    #[cfg(test)]
    pub(crate) fn since(then: SystemTime) -> Self {
        Self {
            since: Some(then),
            ..Self::default()
        }
    }

    /// One that holds nothing back.
    #[cfg(test)]
    pub(crate) fn watched() -> Self {
        Self::since(SystemTime::UNIX_EPOCH)
    }
}
