//! Ports and the life of the process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The three ports. Never one: behind an ingress a shared port exposes the API.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listen {
    /// Where clients connect. A listening socket inherited by `LISTEN_FDS` replaces it.
    pub public: SocketAddr,
    /// Where backends publish.
    pub api: SocketAddr,
    /// Where probes, scrapers and the operator ask.
    pub admin: SocketAddr,
    /// Length of the accept queue asked for; the kernel clamps it to `net.core.somaxconn`.
    pub backlog: u32,
    /// Makes the public port speak TLS, and nothing else. New files, and new contents of them, take
    /// effect for connections that come afterwards, without a restart; the rest of this section does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// What the public port proves itself by, both in PEM. TLS 1.2 and 1.3.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// File with the certificate chain, the server's own certificate first.
    pub certificate_file: PathBuf,
    /// File with the private key of that certificate.
    pub key_file: PathBuf,
}

impl Default for Listen {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self {
            public: any(8080),
            api: any(8081),
            admin: any(9090),
            backlog: 4096,
            tls: None,
        }
    }
}

/// The backends' API.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Api {
    /// Files that each hold one accepted API key; more than one during a rotation. None: every call
    /// is refused.
    pub key_files: Vec<PathBuf>,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long a call that asks the whole fleet waits for the slowest pod, in milliseconds.
    pub fleet_timeout_millis: u64,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            key_files: Vec::new(),
            max_body_bytes: 4 << 20,
            fleet_timeout_millis: 2_000,
        }
    }
}

/// The admin port.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Admin {
    /// File with the token that `/drain` and `/shed` need. None: both are refused.
    pub token_file: Option<PathBuf>,
}

/// How a pod empties itself; DESIGN 3.6.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// How long new clients are still accepted after readiness turned false, in seconds: the probe
    /// period times its threshold, plus the time load balancers need to follow.
    pub wait_seconds: u32,
    /// Each session leaves at its own random moment inside this many seconds.
    pub window_seconds: u32,
    /// Sessions still here this many seconds after the window began are closed at once.
    pub deadline_seconds: u32,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            wait_seconds: 7,
            window_seconds: 30,
            deadline_seconds: 60,
        }
    }
}
