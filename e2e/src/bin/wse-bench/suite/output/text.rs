//! For a terminal.

use std::fmt::Write;

use super::table::{remarks, tables, verdict};
use crate::suite::figures::Report;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

pub(crate) fn text(report: &Report, has_colour: bool) -> String {
    let paint = |code: &str, text: &str| match has_colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut out = format!(
        "wse-bench {} against {}, from {} cores\n",
        report.version, report.server, report.cores
    );
    for table in tables(report) {
        let cells = table.rounds.iter().map(|(cells, _)| cells);
        let widths: Vec<usize> = (0..table.heads.len())
            .map(|column| {
                let all = cells.clone().chain([&table.heads]);
                all.map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |row: &[String]| {
            let padded = row.iter().zip(&widths);
            let padded = padded.map(|(cell, &width)| format!("{cell:>width$}"));
            padded.collect::<Vec<_>>().join("  ")
        };
        let latency = match table.test.latency_of() {
            "" => String::new(),
            latency => format!(" (latency {latency})"),
        };
        let title = paint(BOLD, &table.test.name());
        let _ = writeln!(out, "\n{title}{}", paint(DIM, &latency));
        let _ = writeln!(out, "  {}", paint(DIM, &line(&table.heads)));
        for (row, figures) in &table.rounds {
            let _ = writeln!(out, "  {}", line(row));
            let colour = if figures.is_limited { YELLOW } else { DIM };
            for remark in remarks(figures) {
                let _ = writeln!(out, "      {}", paint(colour, &remark));
            }
        }
    }
    if !report.thresholds.is_empty() {
        out.push('\n');
    }
    for judged in &report.thresholds {
        let colour = if judged.failed == Some(false) {
            GREEN
        } else {
            RED
        };
        let _ = writeln!(out, "{}", paint(colour, &verdict(judged)));
    }
    if report.interrupted {
        let ended = "ended before its time: these are the figures so far";
        let _ = writeln!(out, "\n{}", paint(YELLOW, ended));
    }
    out
}
