//! What the user says about a stress run.

use clap::Args;

use super::cell::Cell;
use super::dimension::Dimension;
use super::level::MOST;
use super::verdict::Own;
use crate::target::Backend;
use crate::threshold::Threshold;

/// Of the command `stress`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Up to the level Medium (1,000 connections) only, for a second each.
    #[arg(long)]
    pub(super) quick: bool,
    /// The most connections. Between two levels, the larger one is measured with so many.
    #[arg(long, default_value_t = MOST as u32, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    pub(super) max_load: u32,
    /// Measure this dimension; may be repeated. Left out: all of them.
    #[arg(long = "dimension", value_enum, value_delimiter = ',')]
    pub(super) dimensions: Vec<Dimension>,
    #[command(flatten)]
    pub(super) backend: Backend,
    /// Worker processes. 0: as few as their open-file limit allows.
    #[arg(long, default_value_t = 0)]
    pub(super) workers: usize,
    /// From which rate on a dimension is good, such as messages=200000; may be repeated.
    #[arg(long, value_name = "DIMENSION=RATE")]
    pub(super) good: Vec<Own>,
    /// From which rate on it is fair; may be repeated.
    #[arg(long, value_name = "DIMENSION=RATE")]
    pub(super) fair: Vec<Own>,
    /// Fail when a figure is so at any level, such as 'poor>0', 'messages.rate<100000',
    /// 'degradation>30' (percent below the best level before), 'missing>0', 'connections.p99>1s'; may be
    /// repeated. Figures: p50, p90, p99, p99.9, max, mean of connections (with us, ms or s), rate, poor,
    /// degradation, failed, missing, repeated. With a dimension's name before it and a dot: of that only.
    #[arg(long, value_name = "FIGURE")]
    pub(super) fail_if: Vec<Threshold<Cell>>,
}
