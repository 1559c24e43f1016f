//! What a parent and its worker say to each other, one JSON document a line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::ramp::Ramp;
use crate::report::Seen;

/// What a worker is to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// URLs of gateways; connections go to each in turn.
    pub(crate) doors: Vec<String>,
    pub(crate) token: String,
    /// The first local address to connect from; others follow it.
    pub(crate) source: Option<Ipv4Addr>,
    /// This worker's number, and how many there are.
    pub(crate) number: usize,
    pub(crate) workers: usize,
    pub(crate) connections: usize,
    pub(crate) arrival: Arrival,
    /// Handshakes under way at once.
    pub(crate) concurrency: usize,
    pub(crate) topics: Vec<String>,
    pub(crate) work: Work,
    /// When the run began, in microseconds since 1970.
    pub(crate) began_us: u64,
}

/// When connections are due.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Arrival {
    /// Whenever another handshake may be under way.
    Unscheduled,
    /// All at the first moment.
    AtOnce,
    /// In microseconds after the start the first, and from each to the next.
    Apart { first_us: u64, every_us: u64 },
}

/// What connections are there for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Work {
    /// To stay until [`Order::Finish`].
    Hold {
        /// Seconds between the pings of each. 0: none.
        ping_seconds: u64,
        /// Whether one that ends comes back.
        reconnect: bool,
    },
    /// To come, leave and come back as a ramp has them, from [`Order::Begin`] until [`Order::Finish`].
    Ramp {
        ramp: Ramp,
        /// As in [`Work::Hold`].
        ping_seconds: u64,
    },
    /// To ask again and again, from [`Order::Begin`] on.
    Turns(Turns),
    /// To lose their connection at [`Order::Begin`], all at once, and to come back.
    Reconnect,
    /// To send messages of so many bytes as fast as they are taken, for so long.
    Flood { bytes: usize, seconds: f64 },
    /// To receive, until [`Order::Finish`].
    Fan(Fan),
}

/// Questions on a fixed schedule.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Turns {
    pub(crate) ask: Ask,
    /// How many each connection asks.
    pub(crate) each: u32,
    /// Microseconds from one to the next.
    pub(crate) every_us: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Ask {
    /// A ping, answered by a PONG.
    Ping,
    /// By turns to subscribe to a topic and to leave it, answered by an acknowledgement.
    Change,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Fan {
    /// What comes in the first seconds is not counted: it may have waited before.
    pub(crate) warm_seconds: f64,
    /// Whether messages are published on a schedule, so that latencies say something.
    pub(crate) has_schedule: bool,
    /// Given to one worker only.
    pub(crate) publisher: Option<Publisher>,
}

/// Publishes on the first topic of the plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Publisher {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    /// Publications a second, on a fixed schedule. None: as many as are delivered.
    pub(crate) per_second: Option<f64>,
    pub(crate) seconds: f64,
    /// Bytes of each message, its envelope with them.
    pub(crate) bytes: usize,
}

/// What the parent says after the plan.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// The work begins.
    Begin,
    /// The parent has seen enough.
    Finish {
        /// Messages that each connection should have received; waited for while they keep coming.
        messages_each: u64,
    },
}

/// What a worker says.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Said {
    /// Every connection is open or has failed; so many are open.
    Opened(u64),
    /// How far it is.
    Progress(Progress),
    /// All was published that was to be: so many messages.
    Published(u64),
    /// Why it cannot go on.
    Failed(String),
    /// The end.
    Seen(Box<Seen>),
}

/// How far a worker is.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Progress {
    pub(crate) opened: u64,
    pub(crate) held: u64,
    /// Of the work.
    pub(crate) done: u64,
    pub(crate) latency: Latency,
}

impl Progress {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.held += other.held;
        self.done += other.done;
        self.latency.merge(&other.latency);
    }
}

impl Turns {
    /// When a connection of a worker asks first, after the beginning: all take turns.
    pub(crate) fn phase(&self, plan: &Plan, connection: usize) -> Duration {
        let all = (plan.connections * plan.workers).max(1) as f64;
        let place = (connection * plan.workers + plan.number) as f64;
        self.every().mul_f64(place / all)
    }

    pub(crate) fn every(&self) -> Duration {
        Duration::from_micros(self.every_us)
    }

    /// Questions of one connection that were due so long after its first.
    pub(crate) fn due(&self, after_first: Duration) -> u64 {
        let due = after_first.as_micros() / u128::from(self.every_us.max(1)) + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.each.into())
    }
}
