//! Tables for a README or an issue.

use std::fmt::Write;

use super::table::{remarks, tables};
use crate::output::{markdown_escape, markdown_table};
use crate::suite::figures::Report;

pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!(
        "# wse-bench {} against {}\n\nFrom {} cores.\n",
        report.version, report.server, report.cores
    );
    for table in tables(report) {
        let _ = write!(out, "\n## {}\n\n", table.test.name());
        if !table.test.latency_of().is_empty() {
            let _ = write!(out, "Latency {}.\n\n", table.test.latency_of());
        }
        let rows = table.rounds.iter().map(|(cells, _)| cells);
        out.push_str(&markdown_table(&table.heads, rows));
        let said = table.rounds.iter().flat_map(|(cells, figures)| {
            let which = match figures.size_bytes {
                Some(bytes) => format!("{}, {bytes} B", cells[0]),
                None => cells[0].clone(),
            };
            let remarks = remarks(figures).into_iter();
            remarks.map(move |remark| format!("- {which}: {}\n", markdown_escape(&remark)))
        });
        let said: String = said.collect();
        if !said.is_empty() {
            let _ = write!(out, "\n{said}");
        }
    }
    if !report.thresholds.is_empty() {
        out.push('\n');
    }
    for judged in &report.thresholds {
        let _ = writeln!(out, "- {}", markdown_escape(&judged.words()));
    }
    if report.interrupted {
        out.push_str("\nEnded before its time: these are the figures so far.\n");
    }
    out
}
