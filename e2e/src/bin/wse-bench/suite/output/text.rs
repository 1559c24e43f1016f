//! For a terminal.

use std::fmt::Write;

use super::table::{remarks, tables};
use crate::output::{BOLD, DIM, Paint, YELLOW, aligned};
use crate::suite::figures::Report;
use crate::threshold::verdicts;

pub(crate) fn text(report: &Report, paint: Paint) -> String {
    let mut out = format!(
        "wse-bench {} against {}, from {} cores\n",
        report.version, report.server, report.cores
    );
    for table in tables(report) {
        let cells = table.rounds.iter().map(|(cells, _)| cells);
        let lines = aligned(&[&table.heads].into_iter().chain(cells).collect::<Vec<_>>());
        let latency = match table.test.latency_of() {
            "" => String::new(),
            latency => format!(" (latency {latency})"),
        };
        let title = paint.paint(BOLD, &table.test.name());
        let _ = writeln!(out, "\n{title}{}", paint.paint(DIM, &latency));
        let _ = writeln!(out, "  {}", paint.paint(DIM, &lines[0]));
        for ((_, figures), line) in table.rounds.iter().zip(&lines[1..]) {
            let _ = writeln!(out, "  {line}");
            let colour = if figures.is_limited { YELLOW } else { DIM };
            for remark in remarks(figures) {
                let _ = writeln!(out, "      {}", paint.paint(colour, &remark));
            }
        }
    }
    out + &verdicts(&report.thresholds, report.interrupted, paint)
}
