//! For a terminal.

use std::fmt::Write;

use super::words::{ENDED, events, facts, table, warnings};
use crate::fleet::figures::Report;
use crate::output::{BOLD, DIM, Paint, YELLOW, aligned};

pub(crate) fn text(report: &Report, paint: Paint) -> String {
    let mut out = format!(
        "wse-bench {} fleet: {} at {}, from {} cores, stages {}\n\n",
        report.version, report.fleet, report.server, report.cores, report.stages
    );
    for (name, fact) in facts(report) {
        let _ = writeln!(out, "{} {fact}", paint.paint(BOLD, &format!("{name:<11}")));
    }
    for warning in warnings(report) {
        let _ = writeln!(out, "{}", paint.paint(YELLOW, &warning));
    }
    let (heads, rows) = table(report);
    let lines = aligned(&[&heads].into_iter().chain(&rows).collect::<Vec<_>>());
    let _ = writeln!(out, "\n  {}", paint.paint(DIM, &lines[0]));
    for line in &lines[1..] {
        let _ = writeln!(out, "  {line}");
    }
    let (_, happened) = events(report);
    if !happened.is_empty() {
        out.push('\n');
    }
    for cells in happened {
        let second = format!("{:>8} s", cells[0]);
        let _ = writeln!(out, "{}  {}", paint.paint(DIM, &second), cells[1]);
    }
    if report.interrupted {
        let _ = writeln!(out, "\n{}", paint.paint(YELLOW, ENDED));
    }
    out
}
