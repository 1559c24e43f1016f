//! Figures of a report, whatever kind it is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::output::count;
use crate::{stress, suite};

/// What is compared of a report.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) schema: String,
    pub(super) server: String,
    pub(super) version: String,
    /// In the order of the report.
    pub(super) entries: Vec<Entry>,
}

/// A round of a test, or a cell of a stress run.
#[derive(Debug)]
pub(super) struct Entry {
    /// The same in two reports for what is the same.
    pub(super) name: String,
    /// None: it was not told.
    pub(super) figures: Vec<(Figure, Option<f64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) better: Better,
}

/// What is better of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Better {
    Higher,
    Lower,
    /// It counts what should not be: any more is worse.
    None,
}

/// The head of any report.
#[derive(Deserialize)]
struct Head {
    schema: Option<String>,
    #[serde(default)]
    server: String,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct OfTests {
    rounds: Vec<Round>,
}

#[derive(Deserialize)]
struct Round {
    test: String,
    tier: u64,
    size_bytes: Option<u64>,
    held: u64,
    rate: Option<f64>,
    latency: Option<Percentiles>,
    missing: Option<f64>,
    repeated: Option<f64>,
    unanswered: Option<f64>,
}

#[derive(Deserialize)]
struct OfStress {
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    level: String,
    connections: u64,
    dimension: String,
    skipped: Option<String>,
    held: u64,
    rate: Option<f64>,
    latency: Option<Percentiles>,
    missing: Option<f64>,
    repeated: Option<f64>,
    saved_percent: Option<f64>,
    broadcast_saved_percent: Option<f64>,
}

#[derive(Deserialize)]
struct Percentiles {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

/// # Errors
/// Why the file is no report.
pub(super) fn read(path: &Path) -> Result<Document, String> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    parse(file, &text)
}

fn parse(file: String, text: &str) -> Result<Document, String> {
    let head: Head = from(&file, text)?;
    let schema = head.schema.unwrap_or_default();
    let mut entries: Vec<Entry> = match schema.as_str() {
        suite::SCHEMA => {
            let report: OfTests = from(&file, text)?;
            report.rounds.into_iter().map(Round::entry).collect()
        }
        stress::SCHEMA => {
            let report: OfStress = from(&file, text)?;
            report.cells.into_iter().map(Cell::entry).collect()
        }
        "" => {
            return Err(format!(
                "{file} is no report of wse-bench: it names no schema"
            ));
        }
        other => {
            let known = format!("{} and {}", suite::SCHEMA, stress::SCHEMA);
            return Err(format!(
                "{file} is a {other}: what can be compared is {known}"
            ));
        }
    };
    tell_apart(&mut entries);
    Ok(Document {
        file,
        schema,
        server: head.server,
        version: head.version,
        entries,
    })
}

fn from<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, String> {
    let parsed = serde_json::from_str(text);
    parsed.map_err(|error| format!("{file} is no report of wse-bench: {error}"))
}

/// The second of a name is another: connection-limit may try the same number again.
fn tell_apart(entries: &mut [Entry]) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for entry in entries {
        let times = seen.entry(entry.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            entry.name += &format!(" ({times})");
        }
    }
}

impl Round {
    fn entry(self) -> Entry {
        let size = self.size_bytes.map(|bytes| format!(" of {bytes} B"));
        let failed = self.tier.saturating_sub(self.held) as f64;
        let latency = |of: fn(&Percentiles) -> f64| self.latency.as_ref().map(of);
        Entry {
            name: format!(
                "{} {}{}",
                self.test,
                count(self.tier),
                size.unwrap_or_default()
            ),
            figures: vec![
                (Figure::higher("rate"), self.rate),
                (Figure::lower("p50_us"), latency(|it| it.p50_us)),
                (Figure::lower("p99_us"), latency(|it| it.p99_us)),
                (Figure::lower("p999_us"), latency(|it| it.p999_us)),
                (Figure::none("failed"), Some(failed)),
                (Figure::none("missing"), self.missing),
                (Figure::none("repeated"), self.repeated),
                (Figure::none("unanswered"), self.unanswered),
            ],
        }
    }
}

impl Cell {
    fn entry(self) -> Entry {
        let failed = self.connections.saturating_sub(self.held) as f64;
        let latency = |of: fn(&Percentiles) -> f64| self.latency.as_ref().map(of);
        Entry {
            name: format!(
                "{} {} {}",
                self.level,
                count(self.connections),
                self.dimension
            ),
            figures: vec![
                (Figure::higher("rate"), self.rate),
                (Figure::lower("p50_us"), latency(|it| it.p50_us)),
                (Figure::lower("p99_us"), latency(|it| it.p99_us)),
                (Figure::lower("p999_us"), latency(|it| it.p999_us)),
                (
                    Figure::none("failed"),
                    self.skipped.is_none().then_some(failed),
                ),
                (Figure::none("missing"), self.missing),
                (Figure::none("repeated"), self.repeated),
                (Figure::higher("saved_percent"), self.saved_percent),
                (
                    Figure::higher("broadcast_saved_percent"),
                    self.broadcast_saved_percent,
                ),
            ],
        }
    }
}

impl Figure {
    fn higher(name: &'static str) -> Self {
        let better = Better::Higher;
        Self { name, better }
    }

    fn lower(name: &'static str) -> Self {
        let better = Better::Lower;
        Self { name, better }
    }

    fn none(name: &'static str) -> Self {
        let better = Better::None;
        Self { name, better }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::compare) fn document(text: &str) -> Document {
        parse("a.json".into(), text).unwrap()
    }

    #[test]
    fn what_is_no_report_is_told_in_words() {
        for (text, why) in [
            ("", "EOF"),
            ("[1]", "no report"),
            ("{}", "names no schema"),
            (r#"{"schema":"wse-fleet/9"}"#, "is a wse-fleet/9"),
            (r#"{"schema":"wse-bench/1"}"#, "missing field `rounds`"),
            (r#"{"schema":"wse-stress/1","cells":[{}]}"#, "missing field"),
        ] {
            let said = parse("a.json".into(), text).unwrap_err();
            assert!(
                said.contains(why) && said.starts_with("a.json"),
                "{text}: {said}"
            );
        }
        let said = read(Path::new("/nowhere/a.json")).unwrap_err();
        assert!(said.contains("No such file"), "{said}");
    }

    #[test]
    fn rounds_of_one_name_are_told_apart() {
        let round = r#"{"test":"connection-limit","tier":1000,"held":990}"#;
        let text = format!(r#"{{"schema":"wse-bench/1","rounds":[{round},{round}]}}"#);
        let names = document(&text).entries.into_iter().map(|it| it.name);
        let names: Vec<String> = names.collect();
        assert_eq!(
            names,
            ["connection-limit 1,000", "connection-limit 1,000 (2)"]
        );
    }
}
