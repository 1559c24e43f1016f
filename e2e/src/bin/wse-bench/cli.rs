//! What the user says.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare;
use crate::fleet;
use crate::peers;
use crate::stress;
use crate::suite::Arguments;
use crate::target::Target;

/// Load generator for servers and fleets that speak WSE's protocol. Without a command it runs the tests.
///
/// Exit codes: 0 all was measured, and no --fail-if is so; 1 the server could not be measured, or not to
/// the end, and stderr says why; 2 the command line is wrong; 3 a --fail-if is so, or cannot be judged;
/// 130 ended by Ctrl-C or SIGTERM, with the report so far.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// How the figures are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) tests: Arguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold two reports of the tests or of stress (--output json) against each other: what has regressed.
    /// Exit codes: 0 nothing has, 1 they cannot be compared, 3 something has.
    Compare(compare::Arguments),
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
    /// Has connections come and go, by stages, at a fleet that follows its load: connections of each pod,
    /// the load tier, pods that should be and are there, and reconnects, second by second.
    Fleet(fleet::Arguments),
    /// Compare the gateway that is beside this program with servers on other libraries, on the same work in
    /// one run. They are installed by cargo, go, npm and pip into a cache; one that cannot be is left out,
    /// and the report says why.
    Peers(peers::Arguments),
    /// Load levels of 10 to 99,000 connections by six dimensions, each judged: which degrades first, and
    /// which settings the figures speak for. Exit codes as without a command.
    Stress(stress::Arguments),
    /// One process of the load; told by its parent what to do.
    #[command(hide = true)]
    Worker,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    /// One page in one file, with plots. Not of the single steps.
    Html,
    /// For programs.
    Json,
    /// Tables, for a README or an issue. Not of the single steps.
    Markdown,
    /// For people.
    Text,
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
