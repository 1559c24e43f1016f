//! Topics and who listens. In come subscriptions from this pod's sessions and publications from the
//! backplane; out go frames to the reactors' sessions. Per reactor, without locks: topic -> local
//! subscribers, patterns, held publications of pending subscriptions, the blocks of this turn.
//! Shared between reactors, changed only at the first and the last subscriber: *interest*, topic ->
//! set of reactors. [`Fleet`] is the way in for the backends' API: whichever pod gets a call, all
//! pods answer. It knows no JSON and no client protocol; `protocol` frames and acknowledges.
//!
//! - [`Router`]: shared; the backplane's [`Sink`](crate::backplane::Sink). Sorts publications by
//!   reactor and waits for room there (`router`), shares a shed out over them (`shed`); one task keeps the backplane told of interest
//!   (`interest`).
//! - [`Hub`]: one per reactor, driven by the protocol through [`Command`]s and answering through an
//!   [`Outbox`]: sessions and questions (`local`), subscribing in two phases (`change`, `join`), batches and
//!   fan-out (`deliver`).
//! - [`Fleet`]: what the API and the process's own life call; pods ask each other in the vocabulary
//!   of `control`.
//!
//! What a session is promised: of each topic it has, by name, by patterns or both, every publication
//! once and in order; nothing of a topic before its acknowledgement nor after the one that ends it;
//! never one that its token denies. A subscription that holds more than a session's outbound bound
//! while the backplane keeps it waiting ends the session (4508), because a hole would be silent.

mod batch;
mod change;
mod command;
mod control;
mod deliver;
mod entry;
mod error;
mod fleet;
mod interest;
mod join;
mod local;
mod metrics;

mod outbox;
mod patterns;
mod policy;
mod ranking;
mod router;
mod shed;
mod subscribers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::backplane::{NodeId, Position};
use crate::topic::Topic;

pub use self::change::Change;
pub use self::command::{Announce, Command, Inbox, Leave, NotTaken, Outcome, Settled, Shed};
pub use self::control::{Question, Reply, Target};
pub use self::error::Error;
pub use self::fleet::Fleet;
pub use self::local::{Hub, Profile};
pub use self::metrics::Metrics;
pub use self::outbox::{
    Ack, Action, Encoding, Ending, Fanout, Outbox, Receiver, Refused, SessionKey, TopicKey,
};
pub use self::policy::{Policies, Policy, Settings};
pub use self::ranking::Shown;
pub use self::router::{Reactor, Router};

/// Names one session in the whole fleet: `<node id>.<unique>`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ConnectionId(Arc<str>);

impl ConnectionId {
    /// A new one, never used before.
    pub fn new(node: &NodeId) -> Self {
        Self(format!("{node}.{}", uuid::Uuid::now_v7().simple()).into())
    }

    /// Takes one that a backend sent. None when no node could have made it.
    pub fn parse(text: &str) -> Option<Self> {
        let (node, unique) = text.split_once('.')?;
        (!node.is_empty() && unique.len() == 32 && text.len() < 256).then(|| Self(text.into()))
    }

    /// The pod that holds it.
    pub fn node(&self) -> NodeId {
        NodeId::new(self.0.split('.').next().unwrap_or_default())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One or all sessions of a user.
#[derive(Clone, Debug)]
pub enum Who {
    /// One session.
    Connection(ConnectionId),
    /// Every session of a user.
    User(String),
}

/// What is known of a session.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionInfo {
    /// Its id.
    pub id: String,
    /// The pod that holds it.
    pub node: String,
    /// Its token's `sub`.
    pub user: String,
    /// The peer's address and port.
    pub remote: String,
    /// Seconds since the upgrade.
    pub age_seconds: u64,
    /// Topics and patterns that it has.
    pub subscriptions: Vec<String>,
    /// Bytes waiting for it to read.
    pub queued_bytes: usize,
}

/// What is known of a topic.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    /// Its name.
    pub topic: Topic,
    /// Sessions subscribed to it by name, in the whole fleet.
    pub subscribers: u64,
    /// The stream's end. None while the backplane is away.
    pub head: Option<Position>,
}

/// An answer put together from all pods.
#[derive(Clone, Debug)]
pub struct Gathered<T> {
    /// The parts together.
    pub value: T,
    /// Pods that did not answer in time, or had no room for the question: the value lacks theirs.
    pub missing: Vec<NodeId>,
}
