//! What every server is given to do.

use serde::Serialize;
use wse_e2e::client::{Auth, Dial};

use super::Arguments;
use super::catalogue::{Peer, TOPIC};
use super::running::Running;
use crate::crew::Job;
use crate::worker::plan::{Fan, Flood, Publisher, Until, Work};

/// A piece of work.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Piece {
    /// Connections that only are there.
    Idle,
    /// Everybody sends as fast as the server reads.
    Messages,
    /// A message for all, as fast as it is delivered.
    FanOut,
    /// A message for all on a schedule.
    Latency,
}

impl Piece {
    /// As they are done: connections that find memory which others have used need less.
    pub(super) const ORDER: [Self; 4] = [Self::Idle, Self::Messages, Self::FanOut, Self::Latency];
    /// As they are told.
    pub(super) const TOLD: [Self; 4] = [Self::Messages, Self::FanOut, Self::Latency, Self::Idle];

    /// What is counted.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Idle => "connections",
            Self::Messages => "messages",
            Self::FanOut | Self::Latency => "deliveries",
        }
    }

    pub(super) fn title(self, arguments: &Arguments) -> String {
        let (connections, size) = (arguments.connections, arguments.size);
        match self {
            Self::Idle => format!(
                "{} connections that only are there",
                arguments.idle_connections
            ),
            Self::Messages => {
                format!("{connections} connections send {size} B as fast as it reads")
            }
            Self::FanOut => format!("{size} B to {connections} subscribers as fast as it delivers"),
            Self::Latency => {
                let rate = arguments.messages_per_second;
                format!("{rate:.0} messages a second of {size} B to {connections} subscribers")
            }
        }
    }

    pub(super) fn job(self, peer: &Peer, server: &Running, arguments: &Arguments) -> Job {
        let seconds = arguments.duration as f64;
        let bytes = arguments.size;
        let fan = |per_second: Option<f64>| {
            Work::Fan(Fan::of(Some(Publisher {
                address: server.backend,
                key: server.api_key.clone(),
                per_second,
                until: Until::seconds(seconds),
                bytes,
            })))
        };
        let work = match self {
            // They are in, and nothing is sent.
            Self::Idle => Work::Flood(Flood::of_messages(bytes, 0.0)),
            Self::Messages => Work::Flood(Flood::of_messages(bytes, seconds)),
            Self::FanOut => fan(None),
            Self::Latency => fan(Some(arguments.messages_per_second)),
        };
        let path = match peer.dialect {
            wse_e2e::raw::Dialect::Wse => "wse?compression=false&protocol_version=1",
            wse_e2e::raw::Dialect::Centrifuge => "connection/websocket",
        };
        let connections = match self {
            Self::Idle => arguments.idle_connections,
            _ => arguments.connections,
        };
        let receives = matches!(self, Self::FanOut | Self::Latency);
        let topics = (peer.has_topics && receives).then(|| TOPIC.to_owned());
        Job {
            doors: vec![Dial {
                url: format!("ws://{}/{path}", server.clients),
                auth: Auth::Cookie(server.token.clone()),
                origin: None,
                source: None,
                tls: None,
            }],
            ca: None,
            dialect: peer.dialect,
            connections: connections as usize,
            workers: 0,
            rate: None,
            at_once: true,
            concurrency: 100,
            topics: topics.into_iter().collect(),
            work,
        }
    }
}
