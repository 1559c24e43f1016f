//! Goes through the matrix.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::ValueEnum;
use tokio::time::sleep;

use super::Arguments;
use super::cell::{Cell, saved_percent};
use super::degradation;
use super::dimension::Dimension;
use super::level::{Level, levels};
use super::negotiation;
use super::output;
use super::report::{Report, SCHEMA};
use super::verdict::{Bounds, all_bounds};
use crate::cli::Output;
use crate::crew::knock;
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::{Paint, print};
use crate::progress::Bar;
use crate::round::Conductor;
use crate::server::Server;
use crate::target::Target;
use crate::threshold::{BEYOND, all_hold};
use crate::worker::storms::pause;

/// Of `--quick`.
const QUICK_MOST: usize = 1_000;

/// A run.
pub(super) struct Stress<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) target: &'a Target,
    pub(super) api: Option<SocketAddr>,
    server: Server,
    interrupt: Interrupt,
    bounds: BTreeMap<Dimension, Bounds>,
}

/// What came of it so far.
#[derive(Default)]
struct Matrix {
    cells: Vec<Cell>,
    /// Dimensions that need not be tried again, and why.
    skipped: BTreeMap<Dimension, String>,
    notes: Vec<String>,
    failure: Option<String>,
}

/// Runs it, and prints its report.
///
/// # Errors
/// Why the server cannot be measured.
pub(crate) async fn run(
    target: &Target,
    arguments: &Arguments,
    output: Output,
) -> Result<ExitCode, String> {
    let begin = Instant::now();
    let bounds = all_bounds(&arguments.good, &arguments.fair)?;
    let interrupt = Interrupt::listen()?;
    knock(&target.doors(&[target.port], &[])?, &[]).await?;
    let api = arguments.backend.address().await?;
    let others = format!(
        "http://{}:{}/metrics",
        target.host,
        target.port.saturating_add(1_000)
    );
    let stress = Stress {
        arguments,
        target,
        api,
        server: Server::find(&arguments.backend.metrics, vec![others]).await?,
        interrupt,
        bounds,
    };
    let matrix = stress.matrix().await?;
    let failure = match matrix.failure {
        Some(why) if matrix.cells.iter().all(|it| it.skipped.is_some()) => return Err(why),
        failure => failure,
    };
    let thresholds = arguments.fail_if.iter().map(|it| it.judged(&matrix.cells));
    let report = Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        server: format!("{}:{}", target.host, target.port),
        cores: available_parallelism().map_or(1, NonZero::get),
        seconds: begin.elapsed().as_secs_f64(),
        quick: arguments.quick,
        interrupted: stress.interrupt.has_come(),
        bounds: stress.bounds,
        degradation: Vec::new(),
        first_to_degrade: None,
        recommendations: Vec::new(),
        thresholds: thresholds.collect(),
        cells: matrix.cells,
        notes: matrix.notes,
    };
    let report = report.conclude();
    print(&match output {
        Output::Html => output::html(&report)?,
        Output::Json => serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n",
        Output::Markdown => output::markdown(&report),
        Output::Text => output::text(&report, Paint::of_stdout()),
    })?;
    if let Some(why) = failure {
        return Err(why);
    }
    Ok(match (all_hold(&report.thresholds), report.interrupted) {
        (_, true) => ExitCode::from(INTERRUPTED),
        (false, false) => ExitCode::from(BEYOND),
        (true, false) => ExitCode::SUCCESS,
    })
}

impl Stress<'_> {
    async fn matrix(&self) -> Result<Matrix, String> {
        let mut dimensions = match self.arguments.dimensions.as_slice() {
            [] => Dimension::value_variants().to_vec(),
            some => some.to_vec(),
        };
        dimensions.sort();
        dimensions.dedup();
        let mut matrix = Matrix::default();
        if dimensions.contains(&Dimension::Compression)
            && !negotiation::agrees(&self.doors()?[0]).await?
        {
            let why = "the server does not agree to permessage-deflate (RFC 7692)";
            matrix.skipped.insert(Dimension::Compression, why.into());
        }
        let most = match self.arguments.quick {
            true => QUICK_MOST.min(self.arguments.max_load as usize),
            false => self.arguments.max_load as usize,
        };
        let levels = levels(most);
        for level in &levels {
            for &dimension in &dimensions {
                self.measure(level, dimension, &mut matrix).await;
                if self.interrupt.has_come() {
                    return Ok(matrix);
                }
            }
            let of_level = matrix.cells.iter().filter(|it| it.level == level.name);
            let few = |it: &Cell| it.skipped.is_none() && it.opened < level.connections as u64 / 2;
            if level.connections < most && of_level.clone().any(few) {
                let note = "less than half got in: larger levels were left out";
                matrix.notes.push(format!("{}: {note}", level.name));
                break;
            }
        }
        Ok(matrix)
    }

    /// Adds a cell.
    async fn measure(&self, level: &Level, dimension: Dimension, matrix: &mut Matrix) {
        if let Some(why) = matrix.skipped.get(&dimension) {
            let cell = Cell::skipped(level, dimension, why.clone());
            return matrix.cells.push(cell);
        }
        let mut cell = match self.cell(level, dimension).await {
            Ok(cell) => cell,
            Err(why) => {
                let cell =
                    Cell::skipped(level, dimension, format!("it could not be measured: {why}"));
                let (level, dimension) = (level.name, dimension.name());
                matrix
                    .failure
                    .get_or_insert_with(|| format!("{dimension} at {level}: {why}"));
                cell
            }
        };
        if let Some(why) = self.unanswered(&cell) {
            cell = Cell::skipped(level, dimension, why.into());
            matrix.skipped.insert(dimension, why.into());
        }
        degradation::note(&matrix.cells, &mut cell);
        matrix.cells.push(cell);
        sleep(pause(level.connections)).await;
    }

    /// Why a dimension of which nothing came need not be tried at another level.
    fn unanswered(&self, cell: &Cell) -> Option<&'static str> {
        if cell.done > 0 || cell.held == 0 || self.interrupt.has_come() {
            return None;
        }
        match cell.dimension {
            Dimension::Broadcast if self.api.is_none() => Some(
                "nothing arrived: the server does not publish by itself; --api makes wse-bench do it",
            ),
            Dimension::Permissions | Dimension::Subscriptions => Some(
                "nothing was acknowledged: this server may leave subscriptions to its application, as \
                 WSE's does",
            ),
            _ => None,
        }
    }

    async fn cell(&self, level: &Level, dimension: Dimension) -> Result<Cell, String> {
        let conductor = Conductor {
            server: &self.server,
            interrupt: &self.interrupt,
        };
        let job = self.job(level, dimension)?;
        let (name, seconds) = (
            format!("{} {}", level.name, dimension.name()),
            self.seconds(&job),
        );
        let bar = Bar::new(&name, dimension.unit(), level.connections, seconds);
        let (report, did) = conductor.round(&job, seconds, &bar).await?;
        let bounds = self.bounds.get(&dimension).copied();
        let mut cell = Cell::new(level, dimension, report, did, bounds);
        if dimension == Dimension::Compression
            && !self.interrupt.has_come()
            && let Some(job) = self.samples(level)?
        {
            let seconds = self.seconds(&job);
            let bar = Bar::new(
                &format!("{name}, broadcasts"),
                "deliveries",
                job.connections,
                seconds,
            );
            let (report, _) = conductor.round(&job, seconds, &bar).await?;
            let deeds = &report.seen.deeds;
            cell.broadcast_saved_percent = saved_percent(deeds.plain_bytes, deeds.wire_bytes);
            for (why, many) in report.seen.failures {
                *cell.failures.entry(why).or_default() += many;
            }
        }
        Ok(cell)
    }
}
