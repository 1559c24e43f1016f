//! What there is to say of a run: the matrix, how rates change, and remarks on single cells.

use crate::output::count;
use crate::processor;
use crate::stress::cell::Cell;
use crate::stress::dimension::Dimension;
use crate::stress::report::Report;
use crate::stress::verdict::Verdict;

/// What a client is told of topics that it may not have.
const REFUSED: &str = "SUBSCRIPTION_FAILED";

pub(super) struct Table {
    pub(super) heads: Vec<String>,
    pub(super) rows: Vec<Vec<Field>>,
}

/// A cell of a table, and how it looks.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) look: Look,
}

#[derive(Clone, Copy)]
pub(super) enum Look {
    Judged(Verdict),
    Plain,
    Warning,
}

/// Levels by dimensions.
pub(super) fn matrix(report: &Report) -> Table {
    let dimensions = dimensions(report);
    let mut heads = vec!["level".to_owned(), "connections".to_owned()];
    for dimension in &dimensions {
        heads.push(match dimension {
            Dimension::Connections => "coming in/s".into(),
            _ => format!("{}/s", dimension.unit()),
        });
        let more: &[&str] = match dimension {
            Dimension::Connections => &["p99 ms"],
            Dimension::Compression => &["saved in", "saved out"],
            _ => &[],
        };
        heads.extend(more.iter().map(|&it| it.to_owned()));
    }
    let by_level = report.cells.chunk_by(|a, b| a.connections == b.connections);
    let rows = by_level.map(|cells| {
        let level = [
            cells[0].level.to_owned(),
            count(cells[0].connections as u64),
        ];
        let mut row: Vec<Field> = level.into_iter().map(Field::plain).collect();
        for dimension in &dimensions {
            let cell = cells.iter().find(|it| it.dimension == *dimension);
            row.push(cell.map_or_else(|| Field::plain("-"), rate));
            match dimension {
                Dimension::Connections => row.push(p99(cell)),
                Dimension::Compression => row.extend([
                    saved(cell.and_then(|it| it.saved_percent)),
                    saved(cell.and_then(|it| it.broadcast_saved_percent)),
                ]),
                _ => {}
            }
        }
        row
    });
    Table {
        heads,
        rows: rows.collect(),
    }
}

/// From the lowest to the highest level. None: there is nothing to compare.
pub(super) fn degradation(report: &Report) -> Option<Table> {
    let heads = [
        "dimension",
        "from",
        "a second",
        "to",
        "a second",
        "factor",
        "lower by",
    ];
    let rows = report.degradation.iter().map(|it| {
        let place = |place: &crate::stress::degradation::Place| {
            [place.level.to_owned(), count(place.rate.round() as u64)]
        };
        let plain = [it.dimension.name()]
            .into_iter()
            .chain(place(&it.lowest))
            .chain(place(&it.highest))
            .chain([format!("{:.2}", it.factor)]);
        let mut row: Vec<Field> = plain.map(Field::plain).collect();
        let verdict = format!("{:.0} % {}", it.percent, it.verdict.word());
        row.push(Field::judged(verdict, it.verdict));
        row
    });
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| Table {
        heads: heads.map(str::to_owned).to_vec(),
        rows,
    })
}

/// What falls first, if there is anything to compare.
pub(super) fn first(report: &Report) -> Option<String> {
    if report.degradation.is_empty() {
        return None;
    }
    Some(match &report.first_to_degrade {
        Some(first) => first.words(),
        None => "no dimension is more than 30 % below its best level before".to_owned(),
    })
}

/// Recommendations, in words.
pub(super) fn recommendations(report: &Report) -> Vec<String> {
    let all = report.recommendations.iter();
    all.map(|it| format!("{}: {}", it.setting, it.why))
        .collect()
}

/// What the matrix does not tell.
pub(super) fn remarks(report: &Report) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for cell in &report.cells {
        if let Some(why) = &cell.skipped {
            // It is the same at every level.
            let remark = format!("{}: {why}", cell.dimension.name());
            if !all.contains(&remark) {
                all.push(remark);
            }
            continue;
        }
        let place = format!("{} {}", cell.level, cell.dimension.name());
        all.extend(
            of_cell(cell)
                .iter()
                .map(|remark| format!("{place}: {remark}")),
        );
    }
    all.extend(report.notes.iter().cloned());
    let waits = |cell: &&Cell| processor::waited(&cell.generator).is_some();
    let waiting = report.cells.iter().filter(waits).count();
    if waiting > 0 {
        all.push(format!(
            "in {waiting} of {} the generator waited for a processor for more than a fifth of the time, which \
             is in the figures: server and generator share these {} cores",
            report.cells.len(),
            report.cores
        ));
    }
    all
}

pub(super) fn dimensions(report: &Report) -> Vec<Dimension> {
    let mut all: Vec<Dimension> = report.cells.iter().map(|it| it.dimension).collect();
    all.sort();
    all.dedup();
    all
}

fn of_cell(cell: &Cell) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(limited) = processor::limited(&cell.generator) {
        said.push(limited);
    }
    if cell.is_dropping {
        let why =
            "the server dropped what was above a client's limits, so that the rate is not judged";
        said.push(why.into());
    }
    if cell.done == 0 {
        said.push("nothing was answered".into());
    }
    if let (Some(missing), Some(repeated)) = (cell.missing, cell.repeated)
        && missing + repeated > 0
    {
        let (missing, repeated, due) = (count(missing), count(repeated), count(cell.sent));
        said.push(format!(
            "of {due} deliveries {missing} missing, {repeated} repeated"
        ));
    }
    for (why, many) in &cell.failures {
        said.push(format!("{} failed: {why}", count(*many)));
    }
    let is_expected = |code: &str| cell.dimension == Dimension::Permissions && code == REFUSED;
    for (code, many) in cell.told.iter().filter(|(code, _)| !is_expected(code)) {
        said.push(format!("the server said {code} {} times", count(*many)));
    }
    said
}

fn rate(cell: &Cell) -> Field {
    let warning = |text: String| Field {
        text,
        look: Look::Warning,
    };
    match (cell.rate, cell.verdict) {
        (Some(rate), Some(verdict)) => {
            let text = format!("{} {}", count(rate.round() as u64), verdict.word());
            Field::judged(text, verdict)
        }
        (Some(rate), None) => warning(format!("{} dropped", count(rate.round() as u64))),
        (None, _) if cell.is_limited => warning("generator".into()),
        (None, _) => Field::plain("-"),
    }
}

fn p99(cell: Option<&Cell>) -> Field {
    let micros = cell.and_then(|it| it.latency.as_ref()?.by_name("p99"));
    Field::plain(micros.map_or_else(|| "-".to_owned(), |it| format!("{:.2}", it / 1_000.0)))
}

fn saved(percent: Option<f64>) -> Field {
    Field::plain(percent.map_or_else(|| "-".to_owned(), |it| format!("{it:.0} %")))
}

impl Field {
    fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            look: Look::Plain,
        }
    }

    fn judged(text: String, verdict: Verdict) -> Self {
        Self {
            text,
            look: Look::Judged(verdict),
        }
    }
}

impl Table {
    /// Without how it looks.
    pub(super) fn texts(&self) -> Vec<Vec<String>> {
        let text = |row: &Vec<Field>| row.iter().map(|it| it.text.clone()).collect();
        self.rows.iter().map(text).collect()
    }
}
