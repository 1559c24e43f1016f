//! Tables for a README or an issue.

use std::fmt::Write;

use super::table::{remarks, tables, verdict};
use crate::suite::figures::Report;

pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!(
        "# wse-bench {} against {}\n\nFrom {} cores.\n",
        report.version, report.server, report.cores
    );
    for table in tables(report) {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = "|---:".repeat(table.heads.len());
        let _ = write!(out, "\n## {}\n\n", table.test.name());
        if !table.test.latency_of().is_empty() {
            let _ = write!(out, "Latency {}.\n\n", table.test.latency_of());
        }
        let _ = writeln!(out, "{}{rule}|", row(&table.heads));
        for (cells, _) in &table.rounds {
            out.push_str(&row(cells));
        }
        let said = table.rounds.iter().flat_map(|(cells, figures)| {
            let which = match figures.size_bytes {
                Some(bytes) => format!("{}, {bytes} B", cells[0]),
                None => cells[0].clone(),
            };
            let remarks = remarks(figures).into_iter();
            remarks.map(move |remark| format!("- {which}: {}\n", escape(&remark)))
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
        let _ = writeln!(out, "- {}", escape(&verdict(judged)));
    }
    if report.interrupted {
        out.push_str("\nEnded before its time: these are the figures so far.\n");
    }
    out
}

/// What a server said is text, not markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '<' | '*' | '_' | '`' | '|' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
