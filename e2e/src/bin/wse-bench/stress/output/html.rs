//! For a browser.

use super::plots::plots;
use super::table::{Look, Table, degradation, first, matrix, recommendations, remarks};
use crate::output::{Page, page_escape};
use crate::stress::report::Report;
use crate::stress::verdict::Verdict;

/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn html(report: &Report) -> Result<String, String> {
    let server = &report.server;
    let about = format!(
        "Against <b>{}</b>, from {} cores, in {:.0} s, version {}.",
        page_escape(server),
        report.cores,
        report.seconds,
        report.version
    );
    let title = format!("wse-bench stress against {server}");
    let mut page = Page::new(&title, "wse-bench stress", &about);
    if report.interrupted {
        let ended = "Ended before its time: these are the figures so far.";
        page.say("warn", ended);
    }
    let judged = report.thresholds.iter();
    let judged = judged.map(|it| (if it.holds() { "good" } else { "bad" }, it.words()));
    page.list(&judged.collect::<Vec<_>>());
    page.push("<section>\n<h2>Levels by dimensions</h2>");
    let bounds = report
        .bounds
        .iter()
        .map(|(dimension, it)| format!("{} {} and {}", dimension.name(), it.good, it.fair));
    let bounds: Vec<String> = bounds.collect();
    page.say(
        "about",
        &format!("A second. Good and fair from: {}.", bounds.join(", ")),
    );
    table(&mut page, &matrix(report));
    page.push("</section>\n<section>\n<h2>Degradation</h2>");
    if let Some(first) = first(report) {
        page.say("about", &first);
    }
    page.plots(&plots(report)?);
    if let Some(degradation) = degradation(report) {
        table(&mut page, &degradation);
    }
    page.push("</section>");
    for (title, class, items) in [
        ("Recommendations", "", recommendations(report)),
        ("Remarks", "warn", remarks(report)),
    ] {
        let items: Vec<_> = items.into_iter().map(|it| (class, it)).collect();
        if !items.is_empty() {
            page.push(&format!("<section>\n<h2>{title}</h2>"));
            page.list(&items);
            page.push("</section>");
        }
    }
    Ok(page.end())
}

fn table(page: &mut Page, table: &Table) {
    let class = |look: Look| match look {
        Look::Plain => "",
        Look::Warning | Look::Judged(Verdict::Fair) => "warn",
        Look::Judged(Verdict::Good) => "good",
        Look::Judged(Verdict::Poor) => "bad",
    };
    let rows = table.rows.iter().map(|row| {
        let cells = row.iter().map(|it| (class(it.look), it.text.as_str()));
        cells.collect()
    });
    page.classed_table(&table.heads, rows);
}
