//! The plots of a test.

use super::table::Table;
use crate::output::{Axes, Line, count, plot};

/// The rate by the number of connections, and how latencies spread.
///
/// # Errors
/// When plotters refuses, which it does for no report.
pub(super) fn plots(table: &Table<'_>) -> Result<Vec<String>, String> {
    let mut sizes: Vec<Option<usize>> = Vec::new();
    for (_, figures) in &table.rounds {
        if !sizes.contains(&figures.size_bytes) {
            sizes.push(figures.size_bytes);
        }
    }
    let rates = sizes.into_iter().map(|size| {
        let rounds = table.rounds.iter().filter(|(_, it)| it.size_bytes == size);
        let mut points: Vec<(f64, f64)> = rounds
            .filter_map(|(_, it)| Some((it.tier as f64, it.rate?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line {
            name: size.map_or_else(String::new, |size| format!("{} B", count(size as u64))),
            points,
        }
    });
    let spread = table.rounds.iter().map(|(cells, figures)| Line {
        name: cells[0].clone(),
        // Each step to the right is ten times fewer.
        points: figures
            .curve
            .iter()
            .filter(|(part, _)| *part < 1.0)
            .map(|&(part, us)| ((1.0 / (1.0 - part)).log10(), us as f64 / 1_000.0))
            .collect(),
    });
    let rate = format!("{} a second", table.test.rate_of());
    let axes = [
        Axes {
            title: &rate,
            across: "connections",
            up: "",
            label: &|x| count(x as u64),
        },
        Axes {
            title: "latency, ms",
            across: "part of all, %",
            up: "ms",
            label: &|x| percent(x),
        },
    ];
    let lines = [rates.collect::<Vec<_>>(), spread.collect()];
    let drawn = axes.iter().zip(lines);
    drawn
        .filter_map(|(axes, lines)| plot(axes, lines).transpose())
        .collect()
}

/// The part of all that a place on the axis stands for; none but whole places are named.
fn percent(place: f64) -> String {
    if (place - place.round()).abs() > 1e-6 {
        return String::new();
    }
    let part = 100.0 * (1.0 - 10_f64.powf(-place));
    let text = format!("{part:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_of_parts_names_nines() {
        let names = [0.0, 1.0, 1.5, 2.0, 3.0, 4.0].map(percent);
        assert_eq!(names, ["0", "90", "", "99", "99.9", "99.99"]);
    }
}
