//! Which tests there are. Names, order and tiers are those of WSE's own benchmark client where it has
//! them.

use clap::ValueEnum;
use serde::Serialize;

/// In the order in which they run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Test {
    /// Everybody wants in at the same moment: how many a second, and how long until each is in.
    ConnectionStorm,
    /// Everybody pings, 50 times within --duration: how long a PONG takes.
    PingLatency,
    /// Everybody sends as fast as the server reads: messages a second that it has read.
    Throughput,
    /// The same with messages of 64 bytes to 64 KiB, for 5 seconds each.
    SizeMatrix,
    /// Everybody stays for 30 seconds or --duration, and pings every 5: who is left.
    SustainedHold,
    /// How many get in: doubling, then halving the distance; less than 5 % may fail.
    ConnectionLimit,
    /// A message for all: deliveries a second. With --api it publishes itself, else it only receives.
    FanoutBroadcast,
    /// The same with the receivers on two gateways, --port and --port2.
    FanoutCluster,
    /// Everybody loses the connection at the same moment and comes back: how long that takes.
    ReconnectStorm,
    /// Everybody subscribes and unsubscribes by turns: how long until it is acknowledged.
    SubscriptionChurn,
}

/// Bytes of the messages of [`Test::SizeMatrix`].
const SIZES: [usize; 6] = [64, 256, 1_024, 4_096, 16_384, 65_536];

impl Test {
    /// All that one gateway can be tested with.
    pub(crate) fn all(has_second: bool) -> Vec<Self> {
        let tests = Self::value_variants().iter().copied();
        tests
            .filter(|&test| has_second || test != Self::FanoutCluster)
            .collect()
    }

    /// Connections of each round, unless the user says others.
    pub(crate) fn tiers(self) -> &'static [usize] {
        match self {
            Self::ConnectionStorm | Self::ReconnectStorm => &[
                100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000,
            ],
            Self::SustainedHold => &[1_000, 5_000, 10_000, 30_000, 50_000],
            Self::ConnectionLimit => &[1_000],
            Self::FanoutBroadcast => &[
                10, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
            ],
            Self::FanoutCluster => &[10, 100, 500, 1_000, 2_000, 5_000, 10_000, 20_000],
            Self::PingLatency | Self::Throughput | Self::SizeMatrix | Self::SubscriptionChurn => &[
                100, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000,
            ],
        }
    }

    /// Bytes of its messages, if it sends any of its own.
    pub(crate) fn sizes(self, size: usize) -> Vec<Option<usize>> {
        match self {
            Self::SizeMatrix => SIZES.map(Some).to_vec(),
            Self::Throughput | Self::FanoutBroadcast | Self::FanoutCluster => vec![Some(size)],
            _ => vec![None],
        }
    }

    /// What is counted by the second.
    pub(crate) fn rate_of(self) -> &'static str {
        match self {
            Self::ConnectionStorm | Self::ConnectionLimit | Self::ReconnectStorm => "connections",
            Self::PingLatency | Self::SustainedHold => "pings",
            Self::Throughput | Self::SizeMatrix => "messages",
            Self::FanoutBroadcast | Self::FanoutCluster => "deliveries",
            Self::SubscriptionChurn => "changes",
        }
    }

    /// From what moment to what other its latency is.
    pub(crate) fn latency_of(self) -> &'static str {
        match self {
            Self::ConnectionStorm => "from the storm's first moment until a client is in",
            Self::ConnectionLimit => "from the first moment until a client is in",
            Self::PingLatency | Self::SustainedHold => "from when a ping was due to its PONG",
            Self::Throughput | Self::SizeMatrix => "",
            Self::FanoutBroadcast | Self::FanoutCluster => {
                "from when a message was due to be published to its arrival"
            }
            Self::ReconnectStorm => "from when all connections were lost until a client is back",
            Self::SubscriptionChurn => "from when a change was due to its acknowledgement",
        }
    }

    pub(crate) fn name(self) -> String {
        crate::threshold::name(&self)
    }
}
