//! What one reactor's hub says to its sessions, and how.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use bytes::Bytes;

use super::ConnectionId;
use crate::config::SlowConsumer;
use crate::topic::Topic;

/// Names a session of one reactor. The reactor's own name for it, as a number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionKey(pub u64);

/// The protocol's number of the encoding that a session speaks. The hub only groups by it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Encoding(pub u8);

/// Names a topic within this process, for [`SlowConsumer::LatestWins`]: what is queued under the same
/// key is replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TopicKey(pub u64);

impl TopicKey {
    /// The topic's key: a hash under a secret of this process. Numbering the topics instead would have
    /// to remember every topic that a pattern ever matched. Among a million topics the chance that any
    /// two share a key is one in thirty million, and nobody can choose names that do.
    pub fn of(topic: &Topic) -> Self {
        static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(SECRET.hash_one(topic))
    }
}

/// Messages of one topic that receivers of one encoding get, in order. A block is made of them once,
/// and shared.
#[derive(Clone, Copy, Debug)]
pub struct Fanout<'a> {
    /// Envelopes.
    pub messages: &'a [Bytes],
    /// How their receivers want them.
    pub encoding: Encoding,
    /// What happens to a receiver whose outbound queue is full.
    pub slow_consumer: SlowConsumer,
    /// Names the topic for `LatestWins`.
    pub key: TopicKey,
}

/// A session that gets the messages from `first` on: the whole, or for one that joined late a suffix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receiver {
    /// Which session.
    pub session: SessionKey,
    /// Index of its first message.
    pub first: u32,
}

/// What a subscription change came to, to be told to the client in one message.
#[derive(Debug)]
pub struct Ack {
    /// What was asked for.
    pub action: Action,
    /// Topics and patterns that now are as the client wants them, spelled as it did.
    pub succeeded: Vec<Box<str>>,
    /// Those that are not, and why.
    pub failed: Vec<(Box<str>, Refused)>,
    /// The backplane is away: delivery begins when it is back.
    pub degraded: bool,
}

/// What a client wants changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Wants topics.
    Subscribe,
    /// Wants them no more.
    Unsubscribe,
}

/// Why a topic was not subscribed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The backplane will not.
    Backplane,
    /// Too many changes of this session wait for the backplane already.
    Busy,
    /// It is no topic name and no pattern.
    Invalid,
    /// The session has as many as it may have.
    Limit,
    /// The token does not grant it.
    NotPermitted,
}

impl Refused {
    /// Label for metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Backplane => "backplane",
            Self::Busy => "busy",
            Self::Invalid => "invalid",
            Self::Limit => "limit",
            Self::NotPermitted => "not_permitted",
        }
    }
}

/// Why the hub ends a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending<'a> {
    /// A backend wants it gone, with this code and reason.
    Disconnected(u16, &'a str),
    /// More was published, while its subscription waited for the backplane, than may be held.
    Overflowed,
    /// The backplane, back again, will not have a subscription that was acknowledged while it was
    /// away.
    Unserved,
}

/// Where a hub puts what it has for sessions. Everything put here for one session reaches it in this
/// order. A session that is over or closing takes nothing, and that is no error.
pub trait Outbox {
    /// The session's reserved topics are live: it can be told that the server is ready.
    fn ready(&mut self, session: SessionKey, id: &ConnectionId, user: &str, encoding: Encoding);

    /// Tells a session what its change came to.
    fn acknowledge(&mut self, session: SessionKey, encoding: Encoding, ack: &Ack);

    /// Queues messages for many sessions; gives how many were queued in all. Older ones that they took
    /// the place of were queued too.
    fn fan_out(&mut self, fanout: Fanout<'_>, receivers: &[Receiver]) -> u64;

    /// Closes a session.
    fn end(&mut self, session: SessionKey, ending: Ending<'_>);

    /// Bytes that wait for the session to read them.
    fn queued_bytes(&self, session: SessionKey) -> usize;
}
