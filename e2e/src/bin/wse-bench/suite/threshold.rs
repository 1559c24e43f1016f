//! What a figure may not be: `[TEST.]FIGURE>VALUE`.

use std::str::FromStr;

use clap::ValueEnum;

use super::figures::Figures;
use super::test::Test;

/// A bound that a run fails beyond.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    text: String,
    test: Option<Test>,
    figure: Figure,
    is_failure: Compare,
    value: f64,
}

type Compare = fn(&f64, &f64) -> bool;

/// A latency is in microseconds.
#[derive(Clone, Copy, Debug)]
enum Figure {
    Latency(&'static str),
    Rate,
    Failed,
    Missing,
    Repeated,
    Unanswered,
}

/// What is to be said of a threshold.
pub(super) enum Verdict {
    Holds,
    /// With what it is.
    Fails(String),
    /// No figure was told that it is about.
    Unknown,
}

const LATENCIES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "max", "mean"];

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("{text:?} is no FIGURE>VALUE, such as p99>5ms or throughput.rate<1000");
        let at = text.find(['<', '>']).ok_or_else(bad)?;
        let (left, right) = text.split_at(at);
        let signs: [(&str, Compare); 4] = [
            (">=", f64::ge),
            ("<=", f64::le),
            (">", f64::gt),
            ("<", f64::lt),
        ];
        let found = signs.into_iter().find_map(|(sign, is_failure)| {
            let value = right.strip_prefix(sign)?;
            Some((value.trim(), is_failure))
        });
        let (value, is_failure) = found.ok_or_else(bad)?;
        let left = left.trim();
        let named = left.split_once('.').and_then(|(test, figure)| {
            let test = Test::from_str(test, false).ok()?;
            Some((test, figure))
        });
        let (test, name) = named.map_or((None, left), |(test, figure)| (Some(test), figure));
        let latency = LATENCIES.into_iter().find(|it| *it == name);
        let figure = match (name, latency) {
            (_, Some(latency)) => Figure::Latency(latency),
            ("rate", _) => Figure::Rate,
            ("failed", _) => Figure::Failed,
            ("missing", _) => Figure::Missing,
            ("repeated", _) => Figure::Repeated,
            ("unanswered", _) => Figure::Unanswered,
            _ => return Err(format!("no figure and no test is called {name:?}")),
        };
        let units = [("us", 1.0), ("ms", 1_000.0), ("s", 1_000_000.0)];
        let with_unit = units.into_iter().find_map(|(unit, micros)| {
            let number = value.strip_suffix(unit)?;
            Some(number.trim().parse::<f64>().ok()? * micros)
        });
        let value = match (figure, with_unit) {
            (Figure::Latency(_), Some(micros)) => micros,
            (Figure::Latency(_), None) => return Err(format!("{value:?} needs us, ms or s")),
            _ => value.parse().map_err(|_| bad())?,
        };
        Ok(Self {
            text: text.to_owned(),
            test,
            figure,
            is_failure,
            value,
        })
    }
}

impl Threshold {
    /// Whether it is about these figures at all.
    fn concerns(&self, figures: &Figures) -> bool {
        self.test.is_none_or(|test| test == figures.test)
    }

    fn value_in(&self, figures: &Figures) -> Option<f64> {
        let latency = figures.latency.as_ref();
        Some(match self.figure {
            Figure::Latency(name) => latency?.by_name(name)?,
            Figure::Rate => figures.rate?,
            Figure::Failed => figures.failed() as f64,
            Figure::Missing => figures.missing? as f64,
            Figure::Repeated => figures.repeated? as f64,
            Figure::Unanswered => figures.unanswered? as f64,
        })
    }

    /// A figure that is withheld, because the generator was the limit, cannot be judged: that is no
    /// success.
    pub(super) fn judge(&self, all: &[Figures]) -> Verdict {
        let mut is_known = false;
        for figures in all.iter().filter(|it| self.concerns(it)) {
            match self.value_in(figures) {
                Some(value) if (self.is_failure)(&value, &self.value) => {
                    let (test, tier) = (figures.test.name(), figures.tier);
                    let value = match self.figure {
                        Figure::Latency(_) => format!("{:.3} ms", value / 1_000.0),
                        _ => format!("{value:.0}"),
                    };
                    return Verdict::Fails(format!("{test} with {tier} connections: {value}"));
                }
                Some(_) => is_known = true,
                None if figures.is_limited => return Verdict::Unknown,
                None => {}
            }
        }
        match is_known {
            true => Verdict::Holds,
            false => Verdict::Unknown,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_read_with_its_unit_and_its_test() {
        let cases = [
            ("p99>5ms", None, 5_000.0),
            ("p99.9 >= 1.5s", None, 1_500_000.0),
            ("ping-latency.p99>250us", Some(Test::PingLatency), 250.0),
            ("ping-latency.p99.9>5ms", Some(Test::PingLatency), 5_000.0),
            (
                "throughput.rate<1000000",
                Some(Test::Throughput),
                1_000_000.0,
            ),
            ("missing>0", None, 0.0),
        ];
        for (text, test, value) in cases {
            let threshold: Threshold = text.parse().unwrap();
            assert_eq!((threshold.test, threshold.value), (test, value), "{text}");
        }
        for text in [
            "",
            "p99",
            "p99>5",
            "p98>5ms",
            "pong.p99>5ms",
            "rate<fast",
            "p99=5ms",
        ] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }
}
