//! What the user says.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Who takes part, such as ws,centrifuge; may be repeated. Left out: all. The gateway is always there.
    #[arg(long = "peer", value_delimiter = ',')]
    pub(super) peers: Vec<String>,
    /// Connections that send, or receive.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 194)]
    pub(super) size: usize,
    /// Seconds that each piece of work takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) duration: u64,
    /// Rounds, in each of which all take their turn; figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rounds: u32,
    /// Messages a second that are published when latency is measured.
    #[arg(long, default_value_t = 200.0)]
    pub(super) messages_per_second: f64,
    /// Connections that only are there, when memory is measured.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) idle_connections: u32,
    /// The processor of the servers; the clients have the others. Left out: the first.
    #[arg(long)]
    pub(super) server_cpu: Option<usize>,
    /// Where peers are installed. Left out: wse-bench in the user's cache.
    #[arg(long, env = "WSE_BENCH_CACHE")]
    pub(super) cache: Option<PathBuf>,
    /// The Python of those that need one, with venv. Left out: the newest in PATH, or one of pyenv.
    #[arg(long)]
    pub(super) python: Option<PathBuf>,
}
