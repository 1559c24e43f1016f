//! The server that is loaded. Names and defaults are those of WSE's own benchmark client.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::Args;
use wse_e2e::api::Api;
use wse_e2e::client::{Auth, Dial};
use wse_e2e::raw::Dialect;
use wse_e2e::tls::trust;
use wse_e2e::token::Claims;

use crate::cli::Load;
use crate::crew::Job;
use crate::worker::plan::{Publisher, Until, Work};

/// Where the server is and who connects.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Where the server is.
    #[arg(long, global = true, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Its public port.
    #[arg(long, global = true, default_value_t = 5006)]
    pub(crate) port: u16,
    /// Connect over TLS (`wss`). The server's certificate is for `--host`.
    #[arg(long, global = true)]
    tls: bool,
    /// Certificates that the server's is checked with, a file in PEM. Left out: Mozilla's authorities.
    #[arg(long, global = true, requires = "tls")]
    pub(crate) ca: Option<PathBuf>,
    /// Path of the WebSocket.
    #[arg(long, global = true, default_value = "/wse")]
    path: String,
    /// HS256 secret that signs the clients' token.
    #[arg(
        long,
        global = true,
        env = "WSE_BENCH_SECRET",
        hide_env_values = true,
        default_value = "bench-secret-key-for-testing-only"
    )]
    secret: String,
    /// `iss` of the token.
    #[arg(long, global = true, default_value = "wse-bench")]
    issuer: String,
    /// `aud` of the token. Left out: as `--issuer`.
    #[arg(long, global = true)]
    audience: Option<String>,
    /// A ready token, instead of one signed with `--secret`.
    #[arg(long, global = true)]
    token: Option<String>,
}

/// Who publishes, and what else there is to know of the server.
#[derive(Args, Debug)]
pub(crate) struct Backend {
    /// The backends' API of any gateway, such as http://127.0.0.1:8081: messages for all are published
    /// there. Left out: clients only receive, what the server publishes by itself.
    #[arg(long, requires = "api_key")]
    api: Option<String>,
    /// A key of that API.
    #[arg(long, env = "WSE_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The topic of what is published.
    #[arg(long, default_value = "bench_topic")]
    pub(crate) topic: String,
    /// URL of the server's metrics; may be repeated, for each gateway. Left out: its own port and 1000 is
    /// tried.
    #[arg(long)]
    pub(crate) metrics: Vec<String>,
}

impl Target {
    /// How connections are made that may subscribe to what these globs match, one way for each port.
    ///
    /// # Errors
    /// When `--ca` cannot be read.
    pub(crate) fn doors(&self, ports: &[u16], globs: &[&str]) -> Result<Vec<Dial>, String> {
        let sign = || {
            let audience = self.audience.as_ref().unwrap_or(&self.issuer);
            Claims::new("bench-user", &self.issuer, audience)
                .allow(globs)
                .sign(self.secret.as_bytes())
        };
        let token = self.token.clone().unwrap_or_else(sign);
        let (host, path) = (&self.host, &self.path);
        let trust = || trust(self.ca.as_deref()).map_err(|error| error.to_string());
        let tls = self.tls.then(trust).transpose()?;
        let scheme = if self.tls { "wss" } else { "ws" };
        let door = |port| Dial {
            url: format!("{scheme}://{host}:{port}{path}?compression=false&protocol_version=1"),
            auth: Auth::Cookie(token.clone()),
            origin: None,
            source: None,
            tls: tls.clone(),
        };
        Ok(ports.iter().map(door).collect())
    }

    /// What a command's load is to a crew.
    ///
    /// # Errors
    /// As [`Target::doors`].
    pub(crate) fn job(&self, load: &Load, reconnect: bool) -> Result<Job, String> {
        let globs: Vec<&str> = load.topics.iter().map(String::as_str).collect();
        Ok(Job {
            doors: self.doors(&[self.port], &globs)?,
            ca: self.ca.clone(),
            dialect: Dialect::Wse,
            connections: load.connections,
            workers: load.workers,
            rate: (load.rate > 0.0).then_some(load.rate),
            at_once: false,
            concurrency: load.concurrency,
            topics: load.topics.clone(),
            work: Work::Hold {
                ping_seconds: load.ping_seconds,
                reconnect,
            },
        })
    }
}

impl Backend {
    /// The address of the API at `http://HOST:PORT`, which takes the key. None: there is none.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) async fn address(&self) -> Result<Option<SocketAddr>, String> {
        let (Some(api), Some(key)) = (&self.api, &self.api_key) else {
            return Ok(None);
        };
        let topics = Api::new(api, key).ask("/topics").await;
        topics.map_err(|error| format!("{error}; are --api and --api-key right?"))?;
        let host = api.strip_prefix("http://").unwrap_or(api);
        let address = address(host.trim_end_matches('/'));
        address
            .map(Some)
            .map_err(|why| format!("--api {api}: {why}"))
    }

    /// Who publishes through the API at this address.
    pub(crate) fn publisher(
        &self,
        address: SocketAddr,
        per_second: Option<f64>,
        until: Until,
        bytes: usize,
    ) -> Publisher {
        Publisher {
            address,
            key: self.api_key.clone().unwrap_or_default(),
            per_second,
            until,
            bytes,
        }
    }
}

/// The first address of `HOST:PORT`.
///
/// # Errors
/// Why it has none.
pub(crate) fn address(host: &str) -> Result<SocketAddr, String> {
    let mut found = host.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "the name has no address".into())
}
