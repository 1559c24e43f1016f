//! For a terminal.

use std::fmt::Write;

use super::table::{Look, Table, degradation, first, matrix, recommendations, remarks};
use crate::output::{BOLD, DIM, GREEN, Paint, RED, YELLOW, padded};
use crate::stress::report::Report;
use crate::stress::verdict::Verdict;
use crate::threshold::verdicts;

pub(crate) fn text(report: &Report, paint: Paint) -> String {
    let mut out = format!(
        "wse-bench {} stress against {}, from {} cores, {:.0} s\n\n",
        report.version, report.server, report.cores, report.seconds
    );
    out += &table(&matrix(report), paint);
    if let Some(degradation) = degradation(report) {
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "degradation"));
        out += &table(&degradation, paint);
    }
    if let Some(first) = first(report) {
        let _ = writeln!(out, "\n{first}");
    }
    let recommendations = recommendations(report);
    if !recommendations.is_empty() {
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "recommendations"));
    }
    for it in recommendations {
        let _ = writeln!(out, "  {it}");
    }
    let remarks = remarks(report);
    if !remarks.is_empty() {
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "remarks"));
    }
    for it in remarks {
        let _ = writeln!(out, "  {}", paint.paint(YELLOW, &it));
    }
    out + &verdicts(&report.thresholds, report.interrupted, paint)
}

fn table(table: &Table, paint: Paint) -> String {
    let texts = table.texts();
    let all: Vec<&Vec<String>> = [&table.heads].into_iter().chain(&texts).collect();
    let mut lines = padded(&all).into_iter();
    let heads = lines.next().unwrap_or_default().join("  ");
    let mut out = format!("  {}\n", paint.paint(DIM, &heads));
    for (row, cells) in table.rows.iter().zip(lines) {
        let painted = row.iter().zip(cells).map(|(field, cell)| {
            let colour = match field.look {
                Look::Plain => return cell,
                Look::Warning | Look::Judged(Verdict::Fair) => YELLOW,
                Look::Judged(Verdict::Good) => GREEN,
                Look::Judged(Verdict::Poor) => RED,
            };
            paint.paint(colour, &cell)
        });
        let painted: Vec<String> = painted.collect();
        let _ = writeln!(out, "  {}", painted.join("  "));
    }
    out
}
