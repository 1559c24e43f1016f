//! Settings that the figures speak for. Each is derived from a figure; without one there is none.

use serde::Serialize;

use super::cell::Cell;
use super::degradation::First;
use super::dimension::Dimension;
use crate::output::count;
use crate::processor;

/// What to change, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Advice {
    /// Fields of a WseCluster's `spec` (those of `limits` are also of the gateway's own configuration), a
    /// kernel setting, or an option of wse-bench.
    pub(super) setting: &'static str,
    pub(super) why: String,
}

/// What is looked for in the reasons why connections failed, and the setting that is about it.
const FAILURES: [(&[&str], &str, &str); 7] = [
    (
        &["HTTP 503"],
        "scaling.maxReplicas, capacity.expectedConnections, limits.connections",
        "were refused with 503, because the server was full or draining",
    ),
    (
        &["HTTP 429"],
        "limits.handshakesPerSecond",
        "were refused with 429, because too many came at once",
    ),
    (
        &[
            "Connection refused",
            "Connection reset",
            "nothing came",
            "gave up waiting",
        ],
        "net.core.somaxconn (kernel.sysctls), limits.pendingHandshakes",
        "were refused, reset or not answered: the accept queue was full or the server too slow to accept",
    ),
    (
        &[
            "Cannot assign requested address",
            "Address already in use",
            "Too many open files",
        ],
        "--workers",
        "found no local port or no file left: the generator's, not the server's",
    ),
    (
        &["closed with 4429"],
        "limits.messagesPerSecond, limits.bytesPerSecond",
        "were closed with 4429, because they sent more than a client may",
    ),
    (
        &["closed with 4508"],
        "limits.outboundBytes, topics[].slowConsumer",
        "were closed with 4508, because they did not read as fast as it was published",
    ),
    (
        &["closed with 1009"],
        "limits.messageBytes",
        "were closed with 1009, because of too large a message",
    ),
];

/// In the order in which it is worth to follow: what keeps figures from being told, what fails, what is slow.
pub(super) fn advice(cells: &[Cell], first: Option<&First>) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut add = |setting, why| all.push(Advice { setting, why });
    if let Some((_, places)) = total(cells, |it| it.is_limited.into()) {
        add(
            "--workers",
            format!(
                "the generator was the limit ({places}): give it more workers, or a machine of its own"
            ),
        );
    }
    if let Some((_, places)) = total(cells, |it| it.is_dropping.into()) {
        add(
            "limits.messagesPerSecond, limits.bytesPerSecond",
            format!(
                "the server dropped what a client sent above its limits ({places}); 0 takes them off"
            ),
        );
    }
    for (texts, setting, what) in FAILURES {
        let is_so = |why: &str| texts.iter().any(|text| why.contains(text));
        let failed = |cell: &Cell| {
            let counts = cell.failures.iter().filter(|(why, _)| is_so(why));
            counts.map(|(_, many)| many).sum()
        };
        if let Some((many, places)) = total(cells, failed) {
            add(
                setting,
                format!("{} connections {what} ({places})", count(many)),
            );
        }
    }
    if let Some((many, places)) = total(cells, |it| it.missing.unwrap_or_default()) {
        add(
            "limits.outboundBytes, topics[].slowConsumer",
            format!("{} deliveries are missing ({places})", count(many)),
        );
    }
    if let Some(first) = first {
        let (setting, what) = match first.dimension {
            Dimension::Connections => (
                "capacity.tier, scaling.maxReplicas",
                "a larger tier or more pods share who comes in",
            ),
            Dimension::Broadcast => (
                "scaling.maxReplicas",
                "more pods share a topic's subscribers",
            ),
            _ => ("scaling.maxReplicas", "more pods share the clients"),
        };
        let is_it =
            |cell: &&Cell| (cell.dimension, cell.level) == (first.dimension, first.at.level);
        let waited = cells.iter().find(is_it);
        let waited = waited.and_then(|it| processor::waited(&it.generator));
        let caution = waited.map_or("", |_| {
            ", unless it was the generator, which waited for a processor there: a machine of its own tells"
        });
        add(setting, format!("{}; {what}{caution}", first.words()));
    }
    all
}

/// The sum over all cells, and in which they are. None: it is nothing.
fn total(cells: &[Cell], of: impl Fn(&Cell) -> u64) -> Option<(u64, String)> {
    let sum = cells.iter().map(&of).sum();
    let places = cells.iter().filter(|it| of(it) > 0);
    let places = places.map(|it| format!("{} {}", it.level, it.dimension.name()));
    let places: Vec<String> = places.collect();
    (sum > 0).then(|| (sum, places.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::degradation::first;
    use crate::stress::degradation::tests::{cell, row};

    fn settings(cells: &[Cell]) -> Vec<&'static str> {
        let first = first(cells);
        let advice = advice(cells, first.as_ref());
        advice.into_iter().map(|it| it.setting).collect()
    }

    #[test]
    fn nothing_is_advised_without_a_figure_that_speaks_for_it() {
        let cells = row(Dimension::Messages, &[(10, 1_000.0), (100, 900.0)]);
        assert!(settings(&cells).is_empty());
    }

    #[test]
    fn each_failure_names_its_setting() {
        for (why, setting) in [
            (
                "the server refused the upgrade with HTTP 503",
                "limits.connections",
            ),
            (
                "the server refused the upgrade with HTTP 429",
                "limits.handshakesPerSecond",
            ),
            (
                "cannot connect to 127.0.0.1:1: Connection refused (os error 111)",
                "net.core.somaxconn",
            ),
            ("nothing came for 10 s", "net.core.somaxconn"),
            (
                "cannot connect to 127.0.0.1:1: Cannot assign requested address",
                "--workers",
            ),
            (
                "the server closed with 4429 \"\"",
                "limits.messagesPerSecond",
            ),
            ("the server closed with 4508 \"\"", "limits.outboundBytes"),
            ("the server closed with 1009 \"\"", "limits.messageBytes"),
        ] {
            let mut failing = cell(Dimension::Connections, 10, 1.0);
            failing.failures.insert(why.into(), 7);
            let advice = advice(&[failing], None);
            assert_eq!(advice.len(), 1, "{why}");
            assert!(advice[0].setting.contains(setting), "{why}");
            assert!(
                advice[0].why.starts_with("7 connections"),
                "{}",
                advice[0].why
            );
            assert!(
                advice[0].why.ends_with("(Minimal connections)"),
                "{}",
                advice[0].why
            );
        }
    }

    #[test]
    fn limits_losses_and_the_first_to_degrade_are_advised_on() {
        let mut cells = row(Dimension::Broadcast, &[(10, 1_000.0), (100, 100.0)]);
        assert_eq!(settings(&cells), ["scaling.maxReplicas"]);
        cells[1].missing = Some(3);
        cells[0].is_limited = true;
        cells[0].is_dropping = true;
        let all = settings(&cells);
        let begins = |at: usize, with: &str| all[at].starts_with(with);
        assert!(begins(0, "--workers") && begins(1, "limits.messagesPerSecond"));
        assert!(begins(2, "limits.outboundBytes"), "{all:?}");
    }
}
