//! What there is to say of a run: the matrix, how rates change, and remarks on single cells.

use crate::output::count;
use crate::processor;
use crate::server;
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
        heads.extend(match dimension {
            Dimension::Connections => Some("p99 ms".to_owned()),
            Dimension::Compression => Some("saved".to_owned()),
            _ => None,
        });
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
            row.extend(match dimension {
                Dimension::Connections => Some(p99(cell)),
                Dimension::Compression => Some(saved(cell)),
                _ => None,
            });
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

/// What the matrix does not tell, and whether it makes figures doubtful.
pub(super) fn remarks(report: &Report) -> Vec<(bool, String)> {
    let mut all: Vec<(bool, String)> = Vec::new();
    for cell in &report.cells {
        if let Some(why) = &cell.skipped {
            // It is the same at every level.
            let remark = (true, format!("{}: {why}", cell.dimension.name()));
            if !all.contains(&remark) {
                all.push(remark);
            }
            continue;
        }
        let place = format!("{} {}", cell.level, cell.dimension.name());
        for (is_doubtful, remark) in of_cell(cell) {
            all.push((is_doubtful, format!("{place}: {remark}")));
        }
    }
    all.extend(report.notes.iter().map(|note| (true, note.clone())));
    all
}

pub(super) fn dimensions(report: &Report) -> Vec<Dimension> {
    let mut all: Vec<Dimension> = report.cells.iter().map(|it| it.dimension).collect();
    all.sort();
    all.dedup();
    all
}

fn of_cell(cell: &Cell) -> Vec<(bool, String)> {
    let mut said: Vec<(bool, String)> = Vec::new();
    let generator = processor::remarks(&cell.generator);
    said.extend(generator.into_iter().map(|it| (cell.is_limited, it)));
    if cell.is_dropping {
        let why =
            "the server dropped what was above a client's limits, so that the rate is not judged";
        said.push((true, why.into()));
    }
    if cell.done == 0 {
        said.push((true, "nothing was answered".into()));
    }
    if let (Some(missing), Some(repeated)) = (cell.missing, cell.repeated)
        && missing + repeated > 0
    {
        let (missing, repeated, due) = (count(missing), count(repeated), count(cell.sent));
        said.push((
            true,
            format!("of {due} deliveries {missing} missing, {repeated} repeated"),
        ));
    }
    if let Some(percent) = cell.broadcast_saved_percent {
        said.push((
            false,
            format!("the server's own compression saves {percent:.0} % of broadcasts"),
        ));
    }
    for (why, many) in &cell.failures {
        said.push((true, format!("{} failed: {why}", count(*many))));
    }
    let is_expected = |code: &str| cell.dimension == Dimension::Permissions && code == REFUSED;
    for (code, many) in cell.told.iter().filter(|(code, _)| !is_expected(code)) {
        said.push((
            true,
            format!("the server said {code} {} times", count(*many)),
        ));
    }
    let counted = cell.server.as_deref().and_then(server::words);
    said.extend(counted.map(|it| (false, it)));
    said.extend(cell.notes.iter().map(|it| (false, it.clone())));
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

fn saved(cell: Option<&Cell>) -> Field {
    let percent = cell.and_then(|it| it.saved_percent);
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
