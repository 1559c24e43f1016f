//! Tables for a README or an issue.

use std::fmt::Write;

use super::table::{Table, degradation, first, matrix, recommendations, remarks};
use crate::output::{markdown_escape, markdown_table};
use crate::stress::report::Report;

pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!(
        "# wse-bench {} stress against {}\n\nFrom {} cores, {:.0} s.\n\n",
        report.version, report.server, report.cores, report.seconds
    );
    let table = |table: &Table| markdown_table(&table.heads, table.texts().iter());
    out += &table(&matrix(report));
    if let Some(degradation) = degradation(report) {
        let _ = write!(out, "\n## Degradation\n\n{}", table(&degradation));
    }
    if let Some(first) = first(report) {
        let _ = writeln!(out, "\n{}.", markdown_escape(&first));
    }
    let thresholds = report.thresholds.iter().map(|it| it.words());
    for (title, items) in [
        ("Recommendations", recommendations(report)),
        ("Remarks", remarks(report)),
        ("Thresholds", thresholds.collect()),
    ] {
        if !items.is_empty() {
            let _ = write!(out, "\n## {title}\n\n");
        }
        for item in items {
            let _ = writeln!(out, "- {}", markdown_escape(&item));
        }
    }
    if report.interrupted {
        out.push_str("\nEnded before its time: these are the figures so far.\n");
    }
    out
}
