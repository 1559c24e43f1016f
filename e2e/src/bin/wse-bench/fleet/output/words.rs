//! What there is to say of a run.

use std::collections::BTreeMap;

use crate::fleet::figures::{Delivered, Moved, Report};
use crate::fleet::series::{Gap, Row};
use crate::output::count;
use crate::processor::remarks;

/// Rows of the table of what happened over time, at the most.
const ROWS: usize = 20;

pub(super) const ENDED: &str = "Ended before its time: these are the figures so far.";

/// What came of it, each fact with its name.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let it = &report.connections;
    let mut facts = vec![(
        "connections",
        format!(
            "{} at most, of {} wanted; {} at the end; {} left when they were meant to",
            count(it.peak),
            count(it.wanted),
            count(it.held),
            count(it.left)
        ),
    )];
    if let Some(ready) = &report.ready {
        let (start, peak, end) = (ready.start, ready.peak, ready.end);
        let ready = format!("{start} ready at the start, {peak} at most, {end} at the end");
        facts.push(("pods", ready));
    }
    let tiers = report.tiers.iter().map(|(second, tier)| match second {
        0 => tier.clone(),
        second => format!("{tier} from {second} s on"),
    });
    facts.push(("tier", join(tiers)));
    if let Some(moves) = &report.moves {
        facts.extend(moved(moves, report));
    }
    facts.extend(it.handshake.map(|it| ("handshake", it.to_string())));
    facts.extend(it.ping.map(|it| ("ping", it.to_string())));
    if let Some(published) = &report.published {
        let refused: u64 = published.failures.values().sum();
        let accepted = count(published.accepted);
        let mut said = format!(
            "{accepted} messages; {} calls were made again",
            count(refused)
        );
        if let Some(call) = &published.call {
            said += &format!("; {call}");
        }
        facts.push(("published", said));
    }
    if let Some(it) = &report.delivered {
        facts.push(("delivered", delivered(it)));
        facts.extend(it.latency.map(|it| ("delivery", it.to_string())));
    }
    facts
}

/// What went wrong, or could not be seen.
pub(super) fn warnings(report: &Report) -> Vec<String> {
    let mut said = remarks(&report.generator);
    for (why, many) in &report.connections.failures {
        said.push(format!("{} failed: {why}", count(*many)));
    }
    for (why, many) in report.published.iter().flat_map(|it| &it.failures) {
        said.push(format!("{} calls failed: {why}", count(*many)));
    }
    for Gap { pod, looks, why } in &report.gaps {
        let who = pod.as_deref().unwrap_or("the fleet");
        said.push(format!("looks that saw nothing of {who}: {looks} ({why})"));
    }
    said
}

/// What happened over time: heads, and a row every so many seconds.
pub(super) fn table(report: &Report) -> (Vec<String>, Vec<Vec<String>>) {
    let heads = [
        "second",
        "wanted",
        "open",
        "tier",
        "desired",
        "ready",
        "draining",
        "reconnects",
        "failed",
    ];
    let has_messages = report.delivered.is_some();
    let mut heads = heads.map(str::to_owned).to_vec();
    heads.extend(has_messages.then(|| "delivered".to_owned()));
    let every = report.series.len().div_ceil(ROWS).max(1);
    let last = report.series.len().saturating_sub(1);
    let mut rows = Vec::new();
    let mut begin = 0;
    for (number, row) in report.series.iter().enumerate() {
        if number % every != 0 && number != last {
            continue;
        }
        let since = &report.series[begin..=number];
        begin = number + 1;
        let sum = |of: fn(&Row) -> u64| count(since.iter().map(of).sum());
        let fleet = row.fleet.as_ref();
        let pods = |it: Option<u32>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let mut cells = vec![
            row.second.to_string(),
            count(row.wanted),
            count(row.open),
            fleet
                .and_then(|it| it.tier.clone())
                .unwrap_or_else(|| "-".to_owned()),
            pods(fleet.and_then(|it| it.desired)),
            pods(fleet.map(|it| it.ready)),
            pods(fleet.map(|it| it.draining)),
            sum(|row| row.reconnects),
            sum(|row| row.failed_attempts),
        ];
        cells.extend(has_messages.then(|| sum(|row| row.delivered)));
        rows.push(cells);
    }
    (heads, rows)
}

/// The events: heads and rows.
pub(super) fn events(report: &Report) -> (Vec<String>, Vec<Vec<String>>) {
    let row =
        |event: &crate::fleet::events::Event| vec![event.second.to_string(), event.text.clone()];
    let heads = ["second", "what happened"].map(str::to_owned);
    (heads.to_vec(), report.events.iter().map(row).collect())
}

fn moved(moves: &Moved, report: &Report) -> Vec<(&'static str, String)> {
    let most = report
        .series
        .iter()
        .map(|row| row.reconnects)
        .max()
        .unwrap_or(0);
    let mut reconnects = format!(
        "{}, {} a second at most; {} attempts failed",
        count(moves.reconnects),
        count(most),
        count(moves.failed_attempts)
    );
    if let away @ 1.. = report.connections.left_away {
        reconnects += &format!("; {} left before they were back", count(away));
    }
    let mut facts = vec![("reconnects", reconnects)];
    let times = moves.connections.iter().map(|(times, connections)| {
        let times = match times {
            0 => "never".to_owned(),
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            times => format!("{times} times"),
        };
        format!("{times} {}", count(*connections))
    });
    facts.push(("moved", join(times)));
    facts.push(("closed", closes(&moves.closes)));
    facts
}

fn closes(closes: &BTreeMap<u16, u64>) -> String {
    let each = closes
        .iter()
        .map(|(code, many)| format!("{} with {code}", count(*many)));
    match closes.is_empty() {
        true => "none".to_owned(),
        false => join(each),
    }
}

fn delivered(it: &Delivered) -> String {
    format!(
        "{}; {} missing, {} of them while connected, {} repeated",
        count(it.messages),
        count(it.missing),
        count(it.lost),
        count(it.repeated)
    )
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
