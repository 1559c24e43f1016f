//! One page in one file: nothing is fetched.

use std::fmt::Write;

use super::plot::plots;
use super::table::{remarks, tables, verdict};
use crate::suite::figures::Report;

const STYLE: &str = include_str!("page.css");

/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn html(report: &Report) -> Result<String, String> {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    let server = escape(&report.server);
    let _ = write!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>wse-bench against {server}</title>\n<style>\n{STYLE}</style>\n\
         <h1>wse-bench</h1>\n<p class=\"about\">Against <b>{server}</b>, from {} cores, version {}.</p>\n",
        report.cores, report.version
    );
    if report.interrupted {
        out.push_str(
            "<p class=\"warn\">Ended before its time: these are the figures so far.</p>\n",
        );
    }
    if !report.thresholds.is_empty() {
        out.push_str("<ul class=\"verdicts\">\n");
    }
    for judged in &report.thresholds {
        let class = if judged.failed == Some(false) {
            "good"
        } else {
            "bad"
        };
        let _ = writeln!(out, "<li class=\"{class}\">{}", escape(&verdict(judged)));
    }
    if !report.thresholds.is_empty() {
        out.push_str("</ul>\n");
    }
    for table in tables(report) {
        let _ = writeln!(out, "<section>\n<h2>{}</h2>", table.test.name());
        if !table.test.latency_of().is_empty() {
            let _ = writeln!(
                out,
                "<p class=\"about\">Latency {}.</p>",
                table.test.latency_of()
            );
        }
        out.push_str("<div class=\"plots\">\n");
        for plot in plots(&table)? {
            let _ = writeln!(out, "<figure>{plot}</figure>");
        }
        out.push_str("</div>\n<div class=\"wide\"><table>\n<tr>");
        for head in &table.heads {
            let _ = write!(out, "<th>{}", escape(head));
        }
        out.push('\n');
        for (cells, figures) in &table.rounds {
            out.push_str("<tr>");
            for cell in cells {
                let _ = write!(out, "<td>{}", escape(cell));
            }
            let class = if figures.is_limited { "warn" } else { "said" };
            let columns = table.heads.len();
            let said: Vec<String> = remarks(figures).iter().map(|it| escape(it)).collect();
            if !said.is_empty() {
                let said = said.join("<br>");
                let _ = write!(
                    out,
                    "\n<tr class=\"{class}\"><td colspan=\"{columns}\">{said}"
                );
            }
            out.push('\n');
        }
        out.push_str("</table></div>\n</section>\n");
    }
    out.push_str("</html>\n");
    Ok(out)
}

/// What a server said is text, not markup.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
