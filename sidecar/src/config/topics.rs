//! Policies by topic.

use serde::{Deserialize, Serialize};

/// What holds for the topics that match a pattern. In a list the first match wins; a topic that
/// matches none has the defaults.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TopicPolicy {
    /// Glob: `*` is any run of characters, `?` is one.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 255)))]
    pub pattern: String,
    /// What happens to a subscriber whose outbound queue is full.
    #[serde(default)]
    pub slow_consumer: SlowConsumer,
    /// What is kept of the topic's past.
    #[serde(default)]
    pub history: History,
    /// When a publish counts as done.
    #[serde(default)]
    pub durability: Durability,
    /// What a publish does while the backplane is away.
    #[serde(default)]
    pub when_away: WhenAway,
}

/// What happens to a subscriber whose outbound queue is full.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SlowConsumer {
    /// The session is closed with 4508; it reconnects and catches up.
    #[default]
    Close,
    /// The new publication is not queued for it, and counted.
    DropNewest,
    /// What it has not begun to receive of this topic is replaced by the new publication.
    LatestWins,
}

/// What is kept of a topic's past.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    /// Publications kept.
    pub size: u32,
    /// Seconds after the last publication until the topic's history is forgotten.
    pub ttl_seconds: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            size: 128,
            ttl_seconds: 300,
        }
    }
}

/// When a publish counts as done.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Durability {
    /// When the Redis primary has it; a failover may lose the last moments.
    #[default]
    Primary,
    /// When one replica has it too.
    Replicated,
}

/// What a publish does while the backplane is away.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WhenAway {
    /// It waits, undelivered, and fails with 503 when it waited too long.
    #[default]
    Hold,
    /// It is delivered to this pod's own subscribers at once, and never to the others.
    Local,
}
