//! The backplane over Redis 7 (DESIGN 3.4). In come the five verbs; out go script calls, channel
//! subscriptions and, through the sink, what the fleet published. It knows nothing of the hub.
//!
//! - `client`: a single server or a cluster, chosen in one place; `session`: one connected spell.
//! - `link`: the task that connects, catches up, runs a session, and starts again when it ends;
//!   `roll_call`: which other pods are waited for after an outage.
//! - `publish`, `attempt`, `window`: one script call a publish; `read`, `control`, `nodes`: the other
//!   verbs.
//! - `subscriptions`: what is asked for, joined in batches; `inbox` -> `reader`: what arrives, put in
//!   order by `tracker`s, missing parts read from the history (`catch_up`).
//! - `keys`, `message`, `script`, `*.lua`: what lies in Redis and travels through it.
//!
//! # What a publish's answer means
//! *Ok*: the script ran once; every pod with interest receives the publication once, in order, unless
//! Redis loses it before they do. *Away*, *Refused*: it did not run. *Uncertain*: the connection was
//! lost with the publish in Redis's hands, and until its time was over nothing could tell whether it
//! ran. In no case does it run after the answer: every call carries a deadline in the server's own
//! clock, so one that waited in a socket's buffer, or in a server that was stopped, does nothing, and
//! is made again when the fleet is back.
//! While there is time, a lost connection is no answer: the call is repeated with the same place in
//! the publisher's window (see `window`), so it runs once. It is not repeated to a server that has
//! lost its data in between: whether the first call ran there is then unknown.
//!
//! With `Durability::Primary` a failover may lose the last publications, acknowledged or not; where
//! a pod has seen what the new primary lacks, a new epoch says so. The clocks of a server may be
//! wrong, but must not jump.

mod attempt;
mod catch_up;
mod client;
mod control;
mod inbox;
mod keys;
mod link;
mod message;
mod nodes;
mod publish;
mod read;
mod reader;
mod roll_call;
mod script;
mod seen;
mod session;
mod subscriptions;
mod tracker;
mod window;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use self::client::Address;
use self::control::Pending;
use self::keys::Keys;
use self::link::Link;
use self::roll_call::RollCall;
use self::script::Scripts;
use self::seen::Seen;
use self::session::Session;
use self::subscriptions::Request;
use self::window::Window;
use super::{Error, Interest, Metrics, NodeId, Position, Sink, State};
use crate::config::RedisBackplane;

/// Time for publishes under way when this pod leaves: longer than what Redis has in hand may take.
const LAST_PUBLISHES: Duration = publish::ATTEMPT.saturating_add(Duration::from_millis(500));

/// Requests for interest that may wait for the one before.
const REQUESTS: usize = 1024;

/// A topic's position outlives its history by this much at least, so that a quiet topic does not
/// look like one that lost its past.
const POSITION_LIFE_MILLIS: u64 = 3_600_000;

/// The position of a topic that was not published to lives for this long after it was asked for: any
/// client can name a topic. When it is gone, the first publication begins another epoch, which
/// subscribers follow from its first number.
const UNPUBLISHED_LIFE_MILLIS: u64 = 120_000;

/// A partition's position lives on for this long without a connected pod or a publication.
const PARTITION_LIFE_MILLIS: u64 = 86_400_000;

/// One pod's place in a fleet that shares a Redis. Cheap to clone.
#[derive(Clone)]
pub(super) struct Redis {
    core: Arc<Core>,
    /// Ends the link when the last handle is gone.
    requests: mpsc::Sender<Request>,
    link: AbortHandle,
}

/// What the link and the verbs share.
struct Core {
    config: RedisBackplane,
    node: NodeId,
    sink: Arc<dyn Sink>,
    metrics: Metrics,
    keys: Arc<Keys>,
    scripts: Scripts,
    address: Arc<Address>,
    seen: Seen,
    windows: Vec<Window>,
    /// Names this process in the windows' keys: a restarted pod must not take the old one's places.
    instance: String,
    /// Bytes of publishes that wait for a session.
    held_bytes: AtomicUsize,
    /// Control requests that wait for replies.
    pending: Pending,
    /// Other pods, and which of them are not back from an outage.
    roll_call: watch::Sender<RollCall>,
    access: watch::Sender<Access>,
}

/// Whether publishes may go out. Every publish under way watches it.
#[derive(Clone)]
enum Access {
    /// Redis cannot be reached.
    Away,
    /// This pod leaves the fleet: nothing waits any more.
    Left,
    Open(Arc<Session>),
    /// Redis is back, but other pods may not be: what can wait waits for them.
    Settling(Arc<Session>),
}

impl Redis {
    pub(super) fn join(
        config: &RedisBackplane,
        cluster: &str,
        node: NodeId,
        sink: Arc<dyn Sink>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        if config.partitions == 0 || config.lease_seconds == 0 {
            return Err(Error::Refused(
                "partitions and leaseSeconds must be at least 1".to_owned(),
            ));
        }
        let keys = Arc::new(Keys::new(cluster, config.partitions));
        metrics.connected.set(0);
        let core = Arc::new(Core {
            address: Arc::new(Address::new(config)?),
            seen: Seen::new(config.partitions),
            windows: keys.partitions().map(|_| Window::new()).collect(),
            instance: format!("{:016x}", fastrand::u64(..)),
            held_bytes: AtomicUsize::new(0),
            pending: Pending::default(),
            roll_call: watch::Sender::default(),
            access: watch::Sender::new(Access::Away),
            scripts: Scripts::new(),
            config: config.clone(),
            node,
            sink,
            metrics,
            keys,
        });
        let (requests, incoming) = mpsc::channel(REQUESTS);
        let link = Link::new(Arc::clone(&core), incoming);
        let link = tokio::spawn(link.run()).abort_handle();
        Ok(Self {
            core,
            requests,
            link,
        })
    }

    pub(super) async fn subscribe(
        &self,
        interests: Vec<Interest>,
    ) -> Result<Vec<Option<Position>>, Error> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Subscribe { interests, reply };
        // Both fail only when the link has ended.
        let sent = self.requests.send(request).await;
        sent.map_err(|_| left())?;
        answer.await.map_err(|_| left())?
    }

    pub(super) async fn unsubscribe(&self, interests: Vec<Interest>) {
        let (reply, answer) = oneshot::channel();
        let request = Request::Unsubscribe { interests, reply };
        if self.requests.send(request).await.is_ok() {
            let _ = answer.await;
        }
    }

    pub(super) fn state(&self) -> State {
        match self.core.access.borrow().session() {
            Some(_) => State::Connected,
            None => State::Degraded,
        }
    }

    pub(super) async fn leave(&self) {
        let session = self.core.session();
        self.core.admit(Access::Left);
        // Those that wait end now; what Redis has in hand ends with its answer, or when it cannot run
        // any more.
        let _ = tokio::time::timeout(LAST_PUBLISHES, self.core.access.closed()).await;
        if let Ok(session) = session {
            let lease = self.core.give_up_lease(&session);
            // The lease ends by itself if this fails.
            let _ = tokio::time::timeout(Duration::from_secs(2), lease).await;
            session.close();
        }
        self.link.abort();
        self.core.metrics.connected.set(0);
    }
}

impl Core {
    /// The session in use.
    fn session(&self) -> Result<Arc<Session>, Error> {
        let access = self.access.borrow();
        match &*access {
            Access::Open(session) | Access::Settling(session) => Ok(Arc::clone(session)),
            Access::Away => Err(Error::Away("Redis cannot be reached".to_owned())),
            Access::Left => Err(left()),
        }
    }

    /// Changes what publishes may do, for good when this pod leaves.
    fn admit(&self, next: Access) {
        self.access.send_if_modified(|access| {
            let goes_on = !matches!(access, Access::Left);
            if goes_on {
                *access = next;
            }
            goes_on
        });
    }

    /// How long an unanswered question to Redis may take before the connection counts as dead.
    fn patience(&self) -> Duration {
        let hold = Duration::from_millis(self.config.hold_millis);
        (hold / 5).clamp(Duration::from_millis(500), Duration::from_secs(3))
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.config.lease_seconds)
    }
}

impl Access {
    fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Away | Self::Left => None,
            Self::Open(session) | Self::Settling(session) => Some(session),
        }
    }
}

/// A new epoch. 0 is that of a topic which does not exist.
fn fresh_epoch() -> u32 {
    fastrand::u32(1..)
}

fn left() -> Error {
    Error::Away("this pod has left the fleet".to_owned())
}

impl From<session::Fault> for Error {
    fn from(fault: session::Fault) -> Self {
        match fault {
            session::Fault::Later(reason) => Self::Away(reason),
            session::Fault::Lost => Self::Away("the connection to Redis was lost".to_owned()),
            session::Fault::Refused(reason) => Self::Refused(reason),
        }
    }
}
