//! Tables for a README or an issue.

use std::fmt::Write;

use super::words::{ENDED, events, facts, table, warnings};
use crate::fleet::figures::Report;
use crate::output::{markdown_escape, markdown_table};

pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!(
        "# wse-bench {} fleet: {}\n\nAt {}, from {} cores, stages {}.\n\n",
        report.version, report.fleet, report.server, report.cores, report.stages
    );
    for (name, fact) in facts(report) {
        let _ = writeln!(out, "- {name}: {}", markdown_escape(&fact));
    }
    for warning in warnings(report) {
        let _ = writeln!(out, "- {}", markdown_escape(&warning));
    }
    if report.interrupted {
        let _ = writeln!(out, "\n{ENDED}");
    }
    for (heads, rows) in [table(report), events(report)] {
        if !rows.is_empty() {
            let _ = write!(out, "\n{}", markdown_table(&heads, rows.iter()));
        }
    }
    out
}
