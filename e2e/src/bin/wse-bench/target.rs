//! The server that is loaded. Names and defaults are those of WSE's own benchmark client.

use std::net::{SocketAddr, ToSocketAddrs};

use clap::Args;
use hyper::Uri;
use wse_e2e::api::Api;
use wse_e2e::client::{Auth, Dial};
use wse_e2e::raw::Dialect;
use wse_e2e::token::Claims;

use crate::cli::Load;
use crate::crew::Job;
use crate::worker::plan::Work;

/// Where the server is and who connects.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Where the server is.
    #[arg(long, global = true, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Its public port.
    #[arg(long, global = true, default_value_t = 5006)]
    pub(crate) port: u16,
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

impl Target {
    /// How connections are made that may subscribe to what these globs match, one way for each port.
    pub(crate) fn doors(&self, ports: &[u16], globs: &[&str]) -> Vec<Dial> {
        let sign = || {
            let audience = self.audience.as_ref().unwrap_or(&self.issuer);
            Claims::new("bench-user", &self.issuer, audience)
                .allow(globs)
                .sign(self.secret.as_bytes())
        };
        let token = self.token.clone().unwrap_or_else(sign);
        let (host, path) = (&self.host, &self.path);
        let door = |port| Dial {
            url: format!("ws://{host}:{port}{path}?compression=false&protocol_version=1"),
            auth: Auth::Cookie(token.clone()),
            origin: None,
            source: None,
        };
        ports.iter().map(door).collect()
    }

    /// What a command's load is to a crew.
    pub(crate) fn job(&self, load: &Load, reconnect: bool) -> Job {
        let globs: Vec<&str> = load.topics.iter().map(String::as_str).collect();
        Job {
            doors: self.doors(&[self.port], &globs),
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
        }
    }
}

/// The address of the backends' API at `http://HOST:PORT`, which takes the key. None: there is none.
///
/// # Errors
/// Why it cannot be used.
pub(crate) async fn backend(
    api: Option<&str>,
    key: Option<&str>,
) -> Result<Option<SocketAddr>, String> {
    let (Some(api), Some(key)) = (api, key) else {
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

/// The first address of `HOST:PORT`.
///
/// # Errors
/// Why it has none.
pub(crate) fn address(host: &str) -> Result<SocketAddr, String> {
    let mut found = host.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "the name has no address".into())
}

/// The address, the host and the path of a URL.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn door(url: &str) -> Result<(SocketAddr, String, String), String> {
    let bad = |why: String| format!("{url}: {why}");
    let uri: Uri = url.parse().map_err(|error| bad(format!("{error}")))?;
    let host = uri.authority().map_or("", |it| it.as_str());
    let address = address(host).map_err(bad)?;
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    Ok((address, host.to_owned(), path.to_owned()))
}
