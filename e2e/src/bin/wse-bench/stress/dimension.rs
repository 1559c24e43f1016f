//! What of a server is loaded.

use clap::ValueEnum;
use serde::Serialize;

/// In the order in which they are measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dimension {
    /// Everybody comes in at once, and again: connections a second, and how long it takes.
    Connections,
    /// Everybody sends as fast as the server reads: messages a second.
    Messages,
    /// Everybody subscribes and unsubscribes as fast as it is acknowledged: changes a second.
    Subscriptions,
    /// A message for the level's subscribers, the others are only there: deliveries a second.
    Broadcast,
    /// Everybody asks for topics of which the token allows some: topics judged a second.
    Permissions,
    /// Everybody sends compressed messages: messages a second, and what compression saves.
    Compression,
}

impl Dimension {
    /// What is counted by the second.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Subscriptions => "changes",
            Self::Broadcast => "deliveries",
            Self::Permissions => "checks",
            Self::Compression => "inflated",
        }
    }

    pub(crate) fn name(self) -> String {
        crate::threshold::name(&self)
    }
}
