//! The plots of a run.

use super::table::dimensions;
use crate::output::{Axes, Line, count, plot};
use crate::stress::cell::Cell;
use crate::stress::dimension::Dimension;
use crate::stress::report::Report;

/// All dimensions in percent of their best level, then each by itself.
///
/// # Errors
/// When plotters refuses, which it does for no report.
pub(super) fn plots(report: &Report) -> Result<Vec<String>, String> {
    let dimensions = dimensions(report);
    let of = |dimension: Dimension| {
        let cells = report
            .cells
            .iter()
            .filter(move |it| it.dimension == dimension);
        cells.filter_map(point).collect::<Vec<_>>()
    };
    let relative = dimensions.iter().map(|&dimension| {
        let points = of(dimension);
        let best = points.iter().map(|it| it.1).fold(1.0, f64::max);
        let percent = |(x, rate): &(f64, f64)| (*x, rate / best * 100.0);
        Line {
            name: dimension.name(),
            points: points.iter().map(percent).collect(),
        }
    });
    let together = Axes {
        up: "%",
        ..axes("rate, % of the best level")
    };
    let mut all = vec![plot(&together, relative.collect())?];
    for dimension in dimensions {
        let title = match dimension {
            Dimension::Connections => "connections: coming in a second".to_owned(),
            _ => format!("{}: {} a second", dimension.name(), dimension.unit()),
        };
        let line = Line {
            name: String::new(),
            points: of(dimension),
        };
        all.push(plot(&axes(&title), vec![line])?);
    }
    Ok(all.into_iter().flatten().collect())
}

fn axes(title: &str) -> Axes<'_> {
    Axes {
        title,
        across: "connections",
        up: "",
        label: &connections,
    }
}

/// Each step to the right is ten times as many connections.
fn point(cell: &Cell) -> Option<(f64, f64)> {
    Some(((cell.connections as f64).log10(), cell.rate?))
}

/// Whole steps are named.
fn connections(place: f64) -> String {
    match (place - place.round()).abs() < 1e-6 {
        true => count(10_f64.powf(place).round() as u64),
        false => String::new(),
    }
}
