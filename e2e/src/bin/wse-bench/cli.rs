//! What the user says.

use clap::{Args, Parser, Subcommand, ValueEnum};
use wse_e2e::client::{Auth, Dial};
use wse_e2e::token::Claims;

/// Load generator for fleets of WebSocket gateways that speak WSE's protocol.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) target: Target,
    /// How the figures are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open connections and close them: handshakes a second and their latency.
    Connect(Load),
    /// Open connections, with `--rate` as a ramp, keep them, ping through each: who is left, and how
    /// long an answer takes. With `--topic`, count what arrives. SIGTERM ends it early, with its figures.
    Hold {
        #[command(flatten)]
        load: Load,
        /// Time to hold them after the last was opened.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Let every connection come back when it ends, as the published clients do: how often each
        /// moved, when, and where they are at the end.
        #[arg(long)]
        reconnect: bool,
    },
    /// Publish through the backends' API on a fixed schedule while `--connections` subscribers listen
    /// to `--topic`: latency of the calls, and of the deliveries.
    Publish {
        #[command(flatten)]
        load: Load,
        /// The backends' API of any gateway of the fleet.
        #[arg(long, default_value = "http://127.0.0.1:8081")]
        api: String,
        /// A key of that API.
        #[arg(long, env = "WSE_API_KEY", hide_env_values = true)]
        api_key: String,
        #[command(flatten)]
        messages: Messages,
    },
    /// One process of the load; told by its parent what to do.
    #[command(hide = true)]
    Worker,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// Where the gateway is and who connects.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Where the gateway is.
    #[arg(long, global = true, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Its public port.
    #[arg(long, global = true, default_value_t = 8080)]
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

/// How many connect, how fast, and to what they subscribe.
#[derive(Args, Debug)]
pub(crate) struct Load {
    /// Connections in all.
    #[arg(long, default_value_t = 100)]
    pub(crate) connections: usize,
    /// Connections a second, on a fixed schedule. 0: as fast as `--concurrency` allows.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Handshakes under way at once in each worker.
    #[arg(long, default_value_t = 256)]
    pub(crate) concurrency: usize,
    /// Worker processes. 0: as few as their open-file limit allows.
    #[arg(long, default_value_t = 0)]
    pub(crate) workers: usize,
    /// Topic or pattern that every connection subscribes to; may be repeated.
    #[arg(long = "topic")]
    pub(crate) topics: Vec<String>,
    /// Seconds between the pings of one connection. 0: none.
    #[arg(long, default_value_t = 5)]
    pub(crate) ping_seconds: u64,
}

/// What is published.
#[derive(Args, Debug)]
pub(crate) struct Messages {
    /// Messages a second, on all topics together.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) messages_per_second: f64,
    /// Messages in all.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) messages: u64,
    /// Bytes of text in each.
    #[arg(long, default_value_t = 128)]
    pub(crate) size: usize,
    /// One call at a time, and each again, with its idempotency key, until it is taken: as a backend
    /// does that must neither lose nor swap anything.
    #[arg(long)]
    pub(crate) in_order: bool,
}

impl Target {
    /// How a connection that subscribes to these topics is made.
    pub(crate) fn dial(&self, topics: &[String]) -> Dial {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let sign = || {
            let audience = self.audience.as_ref().unwrap_or(&self.issuer);
            Claims::new("bench-user", &self.issuer, audience)
                .allow(&topics)
                .sign(self.secret.as_bytes())
        };
        let token = self.token.clone().unwrap_or_else(sign);
        let (host, port, path) = (&self.host, self.port, &self.path);
        Dial {
            url: format!("ws://{host}:{port}{path}?compression=false&protocol_version=1"),
            auth: Auth::Cookie(token),
            origin: None,
            source: None,
        }
    }
}
