//! Who is measured.

use serde::Serialize;
use wse_e2e::raw::Dialect;

/// A server that takes part.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// None: ours, which is beside this program.
    #[serde(skip)]
    pub(super) package: Option<Package>,
    pub(super) version: &'static str,
    #[serde(skip)]
    pub(super) dialect: Dialect,
    /// Whether clients have to subscribe to receive what is published.
    #[serde(skip)]
    pub(super) has_topics: bool,
    /// What it does with a message of a client.
    pub(super) reads: &'static str,
    /// What it does with a publication.
    pub(super) publishes: &'static str,
}

/// Where it is got.
#[derive(Clone, Copy, Debug)]
pub(super) enum Package {
    /// A crate.
    Crate { source: &'static str },
    /// A Go module.
    Go {
        module: &'static str,
        source: &'static str,
    },
    /// A package of npm.
    Npm { source: &'static str },
    /// A package of PyPI.
    Pip {
        source: &'static str,
        /// The oldest Python 3 that it runs on.
        minor: u32,
    },
}

/// What the adapters of crates share, and their manifest, which names the versions too.
pub(super) const CRATES_SHARE: &str = include_str!("adapters/common.rs");
pub(super) const CRATES_MANIFEST: &str = include_str!("adapters/crates.toml");

/// The topic of all publications.
pub(super) const TOPIC: &str = "bench_topic";

pub(super) const GATEWAY: Peer = Peer {
    name: "gateway",
    package: None,
    version: env!("CARGO_PKG_VERSION"),
    dialect: Dialect::Wse,
    has_topics: true,
    reads: "JWT checked at the door; JSON checked as a whole, rate and bytes of the client counted",
    publishes: "subscriptions checked; an offset, history for recovery; one frame for all, one write a turn",
};

pub(super) const PEERS: [Peer; 6] = [
    Peer {
        name: "fastwebsockets",
        package: Some(Package::Crate {
            source: include_str!("adapters/fastwebsockets.rs"),
        }),
        version: "0.10.0",
        dialect: Dialect::Wse,
        has_topics: false,
        reads: "serde_json as far as its type",
        publishes: "one frame for each client, all that waits in one write",
    },
    Peer {
        name: "tokio-tungstenite",
        package: Some(Package::Crate {
            source: include_str!("adapters/tokio_tungstenite.rs"),
        }),
        version: "0.30.0",
        dialect: Dialect::Wse,
        has_topics: false,
        reads: "serde_json as far as its type",
        publishes: "one frame for each client, all that waits in one write",
    },
    Peer {
        name: "wse-server",
        package: Some(Package::Pip {
            source: include_str!("adapters/wse_server.py"),
            minor: 12,
        }),
        version: "2.5.1",
        dialect: Dialect::Wse,
        has_topics: false,
        reads: "JWT checked at the door; JSON parsed and dropped in Rust, nothing reaches Python",
        publishes: "broadcast_all from Python",
    },
    Peer {
        name: "cymongoose",
        package: Some(Package::Pip {
            source: include_str!("adapters/cymongoose.py"),
            minor: 11,
        }),
        version: "0.2.5",
        dialect: Dialect::Wse,
        has_topics: false,
        reads: "json.loads in Python",
        publishes: "ws_send for each client from Python",
    },
    Peer {
        name: "centrifuge",
        package: Some(Package::Go {
            module: "github.com/centrifugal/centrifuge",
            source: include_str!("adapters/centrifuge.go"),
        }),
        version: "0.40.0",
        dialect: Dialect::Centrifuge,
        has_topics: true,
        reads: "its own protocol, then encoding/json as far as the type in a handler",
        publishes: "subscriptions checked; its broker in memory without history; up to 16 messages a write",
    },
    Peer {
        name: "ws",
        package: Some(Package::Npm {
            source: include_str!("adapters/ws.mjs"),
        }),
        version: "8.23.0",
        dialect: Dialect::Wse,
        has_topics: false,
        reads: "JSON.parse in JavaScript",
        publishes: "one frame and one write for each client",
    },
];
