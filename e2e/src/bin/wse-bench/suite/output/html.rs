//! For a browser.

use super::plots::plots;
use super::table::{remarks, tables};
use crate::output::{Page, page_escape};
use crate::suite::figures::Report;

/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn html(report: &Report) -> Result<String, String> {
    let server = &report.server;
    let about = format!(
        "Against <b>{}</b>, from {} cores, version {}.",
        page_escape(server),
        report.cores,
        report.version
    );
    let mut page = Page::new(&format!("wse-bench against {server}"), "wse-bench", &about);
    if report.interrupted {
        page.say(
            "warn",
            "Ended before its time: these are the figures so far.",
        );
    }
    let verdicts = report.thresholds.iter().map(|judged| {
        let holds = judged.holds();
        (if holds { "good" } else { "bad" }, judged.words())
    });
    page.list(&verdicts.collect::<Vec<_>>());
    for table in tables(report) {
        page.push(&format!("<section>\n<h2>{}</h2>", table.test.name()));
        if !table.test.latency_of().is_empty() {
            page.say("about", &format!("Latency {}.", table.test.latency_of()));
        }
        page.plots(&plots(&table)?);
        let columns = table.heads.len();
        let rows = table.rounds.iter().map(|(cells, figures)| {
            let said: Vec<String> = remarks(figures).iter().map(|it| page_escape(it)).collect();
            if said.is_empty() {
                return (cells, String::new());
            }
            let class = if figures.is_limited { "warn" } else { "said" };
            let said = said.join("<br>");
            let behind = format!("<tr class=\"{class}\"><td colspan=\"{columns}\">{said}");
            (cells, behind)
        });
        page.table(&table.heads, rows);
        page.push("</section>");
    }
    Ok(page.end())
}
