//! How pods share state. In come publications and interest from this pod's hub; out go, through a
//! [`Sink`], the publications of the whole fleet for the topics this pod has interest in, each
//! topic's in order and once each, and the control requests of other pods. Five verbs: publish,
//! subscribe, control, nodes, read. It knows nothing of sessions, WebSockets or JSON: a payload is
//! bytes.
//!
//! One (epoch, offset) stream per topic for the whole fleet lives here: offsets begin at 1 and have
//! no holes; a new epoch says that the past is lost. Two implementations: `memory` (one pod) and
//! `redis` (DESIGN 3.4).

mod interests;
mod memory;
mod metrics;
mod redis;
mod verbs;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::{Durability, History, WhenAway};
use crate::topic::{Pattern, Topic};

pub use self::metrics::Metrics;
pub use self::verbs::Backplane;

/// Where a topic's stream is. Orders only within one epoch.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Position {
    /// Identity of the stream; written as eight hex digits on the wire.
    pub epoch: u32,
    /// Number of the last publication; 0: none yet.
    pub offset: u64,
}

/// One message on a topic, as every pod of the fleet sees it.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where it was published.
    pub topic: Topic,
    /// Its place in the topic's stream. None: delivered by this pod alone while the backplane was
    /// away (`whenAway: Local`).
    pub position: Option<Position>,
    /// The envelope that subscribers receive: JSON text.
    pub payload: Bytes,
}

/// What to publish and how.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where.
    pub topic: Topic,
    /// The envelope that subscribers receive.
    pub payload: Bytes,
    /// Names this publish: a second one with the same key within the history's time is not published
    /// again and answers with the first one's position. None: the backplane makes one, so that its
    /// own retries publish once.
    pub idempotency_key: Option<String>,
    /// What is kept.
    pub history: History,
    /// When it is done.
    pub durability: Durability,
    /// What to do while the backplane is away.
    pub when_away: WhenAway,
}

/// What a pod wants to receive.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Interest {
    /// Topics that match a pattern.
    Pattern(Pattern),
    /// One topic.
    Topic(Topic),
}

/// Name of a pod in its fleet. Holds no `.`: a connection id is `<node id>.<rest>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Takes a name; every character but letters, digits, `-` and `_` becomes `-`.
    pub fn new(name: &str) -> Self {
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        };
        Self(name.chars().map(safe).collect::<String>().into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pod with a lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// How long its lease still runs.
    pub lease_left: Duration,
}

/// Whom a control request is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum To {
    /// Every pod, this one too.
    All,
    /// One pod.
    Node(NodeId),
}

/// What came back from a control request.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// One for each pod that answered in time.
    pub answered: Vec<(NodeId, Bytes)>,
    /// Pods with a lease that did not.
    pub missing: Vec<NodeId>,
}

/// A topic's past.
#[derive(Clone, Debug)]
pub struct Past {
    /// The stream's end.
    pub head: Position,
    /// What is kept after the position asked for, oldest first, at most the limit asked for.
    pub publications: Vec<Publication>,
    /// Whether nothing is missing between the position asked for and the first of these.
    pub complete: bool,
}

/// Whether the fleet is connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Publishing and receiving.
    Connected,
    /// Redis cannot be reached: publishes are held, nothing arrives from other pods.
    Degraded,
}

/// A future without a name, for [`Sink`].
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a backplane puts what arrives: the hub.
pub trait Sink: Send + Sync + 'static {
    /// Publications of topics that this pod has interest in, in order. Ends when there is room for
    /// more: until then the backplane stops reading.
    fn deliver(&self, publications: Vec<Publication>) -> BoxFuture<()>;

    /// Another pod, or this one, asks; the answer goes back to it.
    fn control(&self, request: Bytes) -> BoxFuture<Bytes>;

    /// The connection to the fleet was lost or is back.
    fn state(&self, state: State);
}

/// Why the backplane did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Redis is away, and stayed away longer, or more was waiting, than the limits allow. Nothing was
    /// delivered; retry later.
    #[error("the backplane is away: {0}")]
    Away(String),
    /// Redis answered that it will not. Nothing was delivered.
    #[error("the backplane refused: {0}")]
    Refused(String),
    /// The connection was lost while Redis had the publish in hand, and did not come back in time, or
    /// came back without its past. It may have been delivered; it will not be any more. With an
    /// idempotency key it can be retried safely as long as Redis keeps its data.
    #[error("the connection was lost while publishing: it may or may not have been delivered")]
    Uncertain,
    /// No replica confirmed it in time. It may have been delivered.
    #[error("no replica confirmed the publication in time")]
    Unreplicated,
}

impl Error {
    /// Label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::Refused(_) => "refused",
            Self::Uncertain => "uncertain",
            Self::Unreplicated => "unreplicated",
        }
    }
}
