//! What happened over time.

use std::collections::BTreeSet;

use crate::fleet::figures::Report;
use crate::fleet::series::{Fleet, Row};
use crate::output::{Line, Timeline, stepped, timeline};

/// Connections, those of each pod, pods, reconnects, and deliveries if there were any.
///
/// # Errors
/// When plotters refuses, which it does for no report.
pub(super) fn plots(report: &Report) -> Result<Vec<String>, String> {
    let series = &report.series;
    let seconds = series.last().map_or(0.0, |row| row.second as f64);
    let tiers = report
        .tiers
        .iter()
        .map(|(second, tier)| (*second as f64, tier.clone()));
    let tiers: Vec<(f64, String)> = tiers.collect();
    let line = |name: &str, of: &dyn Fn(&Row) -> f64| Line {
        name: name.to_owned(),
        points: series
            .iter()
            .map(|row| (row.second as f64, of(row)))
            .collect(),
    };
    let looks = || {
        series
            .iter()
            .filter(|row| row.fleet.is_some() || row.is_gap)
    };
    let seen = |name: &str, of: &dyn Fn(&Fleet) -> Option<f64>| {
        let height = |row: &Row| row.fleet.as_ref().and_then(of).unwrap_or(f64::NAN);
        Line {
            name: name.to_owned(),
            points: looks()
                .map(|row| (row.second as f64, height(row)))
                .collect(),
        }
    };
    let steps = |name: &str, of: &dyn Fn(&Fleet) -> Option<u32>| {
        let line = seen(name, &|fleet| of(fleet).map(f64::from));
        Line {
            points: stepped(line.points),
            ..line
        }
    };
    let names = series.iter().filter_map(|row| row.fleet.as_ref());
    let names: BTreeSet<&String> = names.flat_map(|fleet| fleet.pods.keys()).collect();
    let of_pod = names.iter().map(|&name| {
        let sessions = |fleet: &Fleet| fleet.pods.get(name)?.sessions;
        seen(name, &|fleet| sessions(fleet).map(|it| it as f64))
    });
    let mut reconnects = vec![line("reconnects", &|row| row.reconnects as f64)];
    if series.iter().any(|row| row.failed_attempts > 0) {
        reconnects.push(line("failed attempts", &|row| row.failed_attempts as f64));
    }
    let mut plots = vec![
        (
            "connections",
            vec![
                line("wanted", &|row| row.wanted as f64),
                line("open", &|row| row.open as f64),
            ],
        ),
        ("connections of each pod", of_pod.collect()),
        (
            "pods, and the load tier",
            vec![
                steps("desired", &|fleet| fleet.desired),
                steps("ready", &|fleet| Some(fleet.ready)),
                steps("draining", &|fleet| Some(fleet.draining)),
            ],
        ),
        ("reconnects a second", reconnects),
    ];
    if report.delivered.is_some() {
        let delivered = line("deliveries", &|row| row.delivered as f64);
        plots.push(("deliveries a second", vec![delivered]));
    }
    let drawn = plots.into_iter().map(|(title, lines)| {
        let has_tiers = title.starts_with("pods");
        let of = Timeline {
            title,
            seconds,
            marks: if has_tiers { &tiers } else { &[] },
        };
        timeline(&of, lines)
    });
    drawn.filter_map(Result::transpose).collect()
}
