//! What a parent and its worker say to each other, one JSON document a line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use wse_e2e::raw::Dialect;
use wse_e2e::tls::trust;

use crate::latency::Latency;
use crate::ramp::Ramp;
use crate::report::Seen;

/// What came before a receiver was ready is not counted, when somebody else publishes.
const WARM_SECONDS: f64 = 2.0;

/// What a worker is to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// URLs of gateways; connections go to each in turn.
    pub(crate) doors: Vec<String>,
    pub(crate) token: String,
    /// What the server is checked with, over TLS.
    pub(crate) ca: Option<PathBuf>,
    /// Of raw clients; the others speak WSE's.
    pub(crate) dialect: Dialect,
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
    /// To send as fast as it is answered.
    Flood(Flood),
    /// To come in, and from [`Order::Begin`] on to lose their connection and to come in again, all at
    /// once each time.
    Storms(Until),
    /// To receive, until [`Order::Finish`].
    Fan(Fan),
}

/// The same over and over.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Flood {
    pub(crate) content: Content,
    /// Frames between two pings. None: as many as make a large write.
    pub(crate) frames: Option<usize>,
    pub(crate) until: Until,
}

/// What is sent.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Content {
    /// An application's messages, as long as that with their envelope.
    Messages { bytes: usize },
    /// Those with so many bytes of text, which are deflated (RFC 7692).
    Deflated { bytes: usize },
    /// Subscriptions by turns to a topic and from it.
    Changes,
    /// Subscriptions to topics of which the token allows some.
    Checks,
}

/// When there was enough of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Until {
    /// It takes at least so long, and as long as it takes to do so much for each connection, but no longer
    /// than the last.
    pub(crate) seconds: f64,
    pub(crate) each: u64,
    pub(crate) most_seconds: f64,
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
    /// The first so many of the connections subscribe, the others are only there. None: all do.
    pub(crate) subscribers: Option<usize>,
    /// Whether they offer compression, inflate what is compressed, and look whether it is what was
    /// published.
    pub(crate) deflates: bool,
}

/// Publishes on the first topic of the plan.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Publisher {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    /// Publications a second, on a fixed schedule. None: as many as are delivered.
    pub(crate) per_second: Option<f64>,
    /// Things are publications, of the publisher alone.
    pub(crate) until: Until,
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

impl Plan {
    /// None: the doors are not `wss`.
    ///
    /// # Errors
    /// When there is no certificate.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        let is_secure = self.doors.iter().any(|door| door.starts_with("wss:"));
        let trust = || trust(self.ca.as_deref()).map_err(|error| error.to_string());
        is_secure.then(trust).transpose()
    }
}

impl Work {
    /// Whether raw clients offer compression.
    pub(crate) fn deflates(&self) -> bool {
        match self {
            Self::Flood(flood) => matches!(flood.content, Content::Deflated { .. }),
            Self::Fan(fan) => fan.deflates,
            Self::Hold { .. }
            | Self::Ramp { .. }
            | Self::Reconnect
            | Self::Storms(_)
            | Self::Turns(_) => false,
        }
    }
}

impl Fan {
    /// For all connections. Without a publisher the server publishes by itself, which is taken for a
    /// schedule.
    pub(crate) fn of(publisher: Option<Publisher>) -> Self {
        Self {
            warm_seconds: match publisher {
                Some(_) => 0.0,
                None => WARM_SECONDS,
            },
            has_schedule: publisher.as_ref().is_none_or(|it| it.per_second.is_some()),
            publisher,
            subscribers: None,
            deflates: false,
        }
    }
}

impl Flood {
    /// Of messages with so many bytes, for so long.
    pub(crate) fn of_messages(bytes: usize, seconds: f64) -> Self {
        Self {
            content: Content::Messages { bytes },
            frames: None,
            until: Until::seconds(seconds),
        }
    }
}

impl Until {
    /// It takes so long.
    pub(crate) fn seconds(seconds: f64) -> Self {
        Self {
            seconds,
            each: 0,
            most_seconds: seconds,
        }
    }

    pub(crate) fn least(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn most(&self) -> Duration {
        Duration::from_secs_f64(self.most_seconds)
    }

    /// Whether so much after so long is enough for so many connections.
    pub(crate) fn is_over(&self, elapsed: Duration, done: u64, connections: u64) -> bool {
        let seconds = elapsed.as_secs_f64();
        let is_enough = seconds >= self.seconds && done >= self.each * connections;
        is_enough || seconds >= self.most_seconds
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_after_both_the_time_and_the_work_or_at_the_latest() {
        let until = Until {
            seconds: 1.0,
            each: 10,
            most_seconds: 5.0,
        };
        for (seconds, done, is_over) in [
            (0.5, 1_000, false),
            (1.0, 29, false),
            (1.0, 30, true),
            (4.9, 0, false),
            (5.0, 0, true),
        ] {
            let elapsed = Duration::from_secs_f64(seconds);
            assert_eq!(until.is_over(elapsed, done, 3), is_over, "{seconds} {done}");
        }
    }
}
