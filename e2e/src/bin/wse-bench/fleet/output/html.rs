//! For a browser.

use super::plots::plots;
use super::words::{ENDED, events, facts, warnings};
use crate::fleet::figures::Report;
use crate::output::{Page, page_escape};

/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn html(report: &Report) -> Result<String, String> {
    let about = format!(
        "<b>{}</b> at {}, from {} cores, version {}; stages {}.",
        page_escape(&report.fleet),
        page_escape(&report.server),
        report.cores,
        report.version,
        report.stages
    );
    let title = format!("wse-bench fleet: {}", report.fleet);
    let mut page = Page::new(&title, "A fleet that follows its load", &about);
    if report.interrupted {
        page.say("warn", ENDED);
    }
    page.push("<section>");
    page.facts(&facts(report));
    page.push("</section>");
    let warnings: Vec<_> = warnings(report)
        .into_iter()
        .map(|it| ("warn", it))
        .collect();
    page.list(&warnings);
    page.push("<section class=\"plots\">");
    for plot in plots(report)? {
        page.push(&format!("<figure class=\"timeline\">{plot}</figure>"));
    }
    page.push("</section>");
    let (heads, rows) = events(report);
    if !rows.is_empty() {
        page.push("<section class=\"events\">\n<h2>What happened</h2>");
        page.table(&heads, rows.iter().map(|cells| (cells, String::new())));
        page.push("</section>");
    }
    Ok(page.end())
}
