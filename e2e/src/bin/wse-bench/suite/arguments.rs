//! What the user says about the tests.

use clap::Args;

use super::figures::Figures;
use super::test::Test;
use crate::target::Backend;
use crate::threshold::Threshold;

/// Of the tests only; the commands have options of their own.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tests")]
pub(crate) struct Arguments {
    /// Run this test; may be repeated. Left out: all of them.
    #[arg(long = "test", value_enum, value_delimiter = ',')]
    pub(super) tests: Vec<Test>,
    /// Connections of each round, such as 100,1000. Left out: those of the test. connection-limit begins
    /// with the first.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) tiers: Option<Vec<u32>>,
    /// Seconds that each round measures.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) duration: u64,
    /// The most that connection-limit tries.
    #[arg(long, default_value_t = 150_000)]
    pub(super) max_connections: usize,
    /// Handshakes under way at once in each worker.
    #[arg(long, default_value_t = 500)]
    pub(super) batch_size: usize,
    /// Worker processes. 0: as few as their open-file limit allows.
    #[arg(long, default_value_t = 0)]
    pub(super) workers: usize,
    /// Port of a second gateway of the fleet, for fanout-cluster.
    #[arg(long)]
    pub(super) port2: Option<u16>,
    /// Bytes of the messages of throughput and of the fan-outs.
    #[arg(long, default_value_t = 194)]
    pub(super) size: usize,
    #[command(flatten)]
    pub(super) backend: Backend,
    /// Messages a second that a fan-out publishes, on a fixed schedule. Left out: first as many as are
    /// delivered, which gives the rate, then half of that on a schedule, which gives the latency.
    #[arg(long)]
    pub(super) messages_per_second: Option<f64>,
    /// Port of the server's metrics that is tried without --metrics. Left out: its own port and 1000.
    #[arg(long)]
    pub(super) metrics_port: Option<u16>,
    /// Fail when a figure is so, such as 'p99>5ms', 'throughput.rate<1000000', 'missing>0'; may be
    /// repeated. Figures: p50, p90, p99, p99.9, max, mean (with us, ms or s), rate, failed, missing,
    /// repeated, unanswered. With a test's name before it and a dot: of that test only.
    #[arg(long, value_name = "FIGURE")]
    pub(super) fail_if: Vec<Threshold<Figures>>,
}
