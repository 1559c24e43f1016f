//! Figures of two reports, in pairs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::read::{Better, Document, Entry, Figure};

/// Of the JSON. Fields may be added; a change of one that is there makes another number.
const SCHEMA: &str = "wse-compare/1";

#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    schema: &'static str,
    pub(super) old: Source,
    pub(super) new: Source,
    pub(super) worse_than_percent: f64,
    /// How many figures have regressed.
    pub(super) regressions: usize,
    /// What at least one of the two tells of what is in both.
    pub(super) figures: Vec<Compared>,
    /// Rounds or cells.
    pub(super) only_in_old: Vec<String>,
    pub(super) only_in_new: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) server: String,
    version: String,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Compared {
    /// The round or the cell.
    pub(super) of: String,
    pub(super) figure: &'static str,
    /// None: this one does not tell it.
    pub(super) old: Option<f64>,
    pub(super) new: Option<f64>,
    /// Of the old one. None: there is none, or it is 0.
    pub(super) change_percent: Option<f64>,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Better,
    Same,
    /// One of the two does not tell it.
    Untold,
    /// It has regressed.
    Worse,
}

impl Comparison {
    /// # Errors
    /// When the two are of different kinds.
    pub(super) fn new(old: Document, new: Document, worse_than: f64) -> Result<Self, String> {
        if old.schema != new.schema {
            return Err(format!(
                "{} is a {} and {} is a {}: only reports of the same kind can be compared",
                old.file, old.schema, new.file, new.schema
            ));
        }
        let names = |of: &Document, other: &Document| {
            let has = |name: &str| other.entries.iter().any(|it| it.name == name);
            let names = of.entries.iter().map(|it| it.name.clone());
            names.filter(|name| !has(name)).collect::<Vec<_>>()
        };
        let (only_in_old, only_in_new) = (names(&old, &new), names(&new, &old));
        let by_name = |entry: &Entry| (entry.name.clone(), entry.figures.clone());
        let of_new: BTreeMap<_, _> = new.entries.iter().map(by_name).collect();
        let mut figures = Vec::new();
        for entry in &old.entries {
            let Some(others) = of_new.get(&entry.name) else {
                continue;
            };
            let pairs = entry.figures.iter().zip(others);
            figures.extend(pairs.filter_map(|(&(figure, old), &(_, new))| {
                let of = entry.name.clone();
                Compared::new(of, figure, old, new, worse_than)
            }));
        }
        let is_worse = |it: &&Compared| it.verdict == Verdict::Worse;
        Ok(Self {
            schema: SCHEMA,
            regressions: figures.iter().filter(is_worse).count(),
            old: old.source(),
            new: new.source(),
            worse_than_percent: worse_than,
            figures,
            only_in_old,
            only_in_new,
        })
    }
}

impl Compared {
    /// None: neither tells it.
    fn new(
        of: String,
        figure: Figure,
        old: Option<f64>,
        new: Option<f64>,
        worse_than: f64,
    ) -> Option<Self> {
        if old.is_none() && new.is_none() {
            return None;
        }
        let both = old.zip(new);
        let change = both.and_then(|(old, new)| {
            let percent = (new / old - 1.0) * 100.0;
            percent.is_finite().then_some(percent)
        });
        let by = change.unwrap_or(0.0);
        let verdict = match (both, figure.better) {
            (None, _) => Verdict::Untold,
            (Some((old, new)), Better::None) if new > old => Verdict::Worse,
            (Some((old, new)), Better::None) if new < old => Verdict::Better,
            (_, Better::Higher) if by < -worse_than => Verdict::Worse,
            (_, Better::Higher) if by > worse_than => Verdict::Better,
            (_, Better::Lower) if by > worse_than => Verdict::Worse,
            (_, Better::Lower) if by < -worse_than => Verdict::Better,
            _ => Verdict::Same,
        };
        Some(Self {
            of,
            figure: figure.name,
            old,
            new,
            change_percent: change,
            verdict,
        })
    }
}

impl Document {
    fn source(self) -> Source {
        Source {
            file: self.file,
            server: self.server,
            version: self.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::document;
    use super::*;

    fn cell(level: &str, rate: &str, p99: u64, held: u64, missing: u64) -> String {
        format!(
            r#"{{"level":"{level}","connections":100,"dimension":"broadcast","held":{held},"rate":{rate},
            "latency":{{"p50_us":1,"p99_us":{p99},"p999_us":9}},"missing":{missing},"repeated":0}}"#
        )
    }

    fn stress(cells: &[String]) -> Document {
        let cells = cells.join(",");
        document(&format!(r#"{{"schema":"wse-stress/1","cells":[{cells}]}}"#))
    }

    fn verdicts(old: String, new: String) -> Vec<(&'static str, Verdict)> {
        let comparison = Comparison::new(stress(&[old]), stress(&[new]), 10.0).unwrap();
        let verdicts = comparison.figures.iter().map(|it| (it.figure, it.verdict));
        verdicts.filter(|it| it.1 != Verdict::Same).collect()
    }

    #[test]
    fn rates_that_fall_and_latencies_and_losses_that_grow_have_regressed() {
        let old = || cell("Light", "1000", 500, 100, 2);
        let of =
            |rate, p99, held, missing| verdicts(old(), cell("Light", rate, p99, held, missing));
        assert_eq!(of("1000", 500, 100, 2), []);
        assert_eq!(of("901", 549, 100, 2), []);
        assert_eq!(of("899", 500, 100, 2), [("rate", Verdict::Worse)]);
        assert_eq!(of("1101", 500, 100, 2), [("rate", Verdict::Better)]);
        assert_eq!(of("1000", 551, 100, 2), [("p99_us", Verdict::Worse)]);
        assert_eq!(of("1000", 400, 100, 2), [("p99_us", Verdict::Better)]);
        assert_eq!(of("1000", 500, 99, 2), [("failed", Verdict::Worse)]);
        assert_eq!(of("1000", 500, 100, 3), [("missing", Verdict::Worse)]);
        assert_eq!(of("1000", 500, 100, 0), [("missing", Verdict::Better)]);
        assert_eq!(of("null", 500, 100, 2), [("rate", Verdict::Untold)]);
    }

    #[test]
    fn what_is_in_only_one_is_named_and_counts_for_nothing() {
        let both = cell("Light", "1000", 500, 100, 0);
        let old = stress(&[both.clone(), cell("Low", "1", 1, 100, 0)]);
        let new = stress(&[cell("High", "1", 1, 100, 9), both]);
        let comparison = Comparison::new(old, new, 10.0).unwrap();
        assert_eq!(comparison.only_in_old, ["Low 100 broadcast"]);
        assert_eq!(comparison.only_in_new, ["High 100 broadcast"]);
        assert_eq!(comparison.regressions, 0);
        assert!(
            comparison
                .figures
                .iter()
                .all(|it| it.of == "Light 100 broadcast")
        );
    }

    #[test]
    fn reports_of_two_kinds_are_not_compared() {
        let tests = document(r#"{"schema":"wse-bench/1","rounds":[]}"#);
        let why = Comparison::new(tests, stress(&[]), 10.0).unwrap_err();
        assert!(why.contains("same kind"), "{why}");
    }
}
