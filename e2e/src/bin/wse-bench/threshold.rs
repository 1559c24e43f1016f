//! What a figure may not be: `[TEST.]FIGURE>VALUE`.

use std::fmt::Write;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;

use crate::output::{GREEN, Paint, RED, YELLOW};

/// Exit code, which the help tells.
pub(crate) const BEYOND: u8 = 3;

/// What came of one round.
pub(crate) trait Measured {
    /// What there are rounds of.
    type Kind: Clone + PartialEq + ValueEnum;

    /// Those that can be asked for beside latencies.
    const FIGURES: &'static [&'static str];

    fn kind(&self) -> Self::Kind;

    fn connections(&self) -> usize;

    /// By its name; a latency is in microseconds. None: it was not told.
    fn figure(&self, name: &str) -> Option<f64>;

    /// Whether figures are withheld because the generator was the limit.
    fn is_limited(&self) -> bool;
}

/// A bound that a run fails beyond.
#[derive(Clone, Debug)]
pub(crate) struct Threshold<M: Measured> {
    text: String,
    kind: Option<M::Kind>,
    figure: &'static str,
    is_failure: Compare,
    value: f64,
}

type Compare = fn(&f64, &f64) -> bool;

/// A `--fail-if` after the run.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    threshold: String,
    /// None: no figure was told that it is about.
    failed: Option<bool>,
    why: String,
}

/// What is to be said of a threshold.
enum Verdict {
    Holds,
    /// With what it is.
    Fails(String),
    /// No figure was told that it is about.
    Unknown,
}

const LATENCIES: [&str; 6] = ["p50", "p90", "p99", "p99.9", "max", "mean"];

impl<M: Measured> FromStr for Threshold<M> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no FIGURE>VALUE, such as p99>5ms or messages.rate<1000");
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
        let named = left.split_once('.').and_then(|(kind, figure)| {
            let kind = M::Kind::from_str(kind, false).ok()?;
            Some((kind, figure))
        });
        let (kind, name) = named.map_or((None, left), |(kind, figure)| (Some(kind), figure));
        let mut figures = LATENCIES.iter().chain(M::FIGURES);
        let figure = figures.find(|it| **it == name);
        let figure = *figure.ok_or_else(|| format!("no figure and no test is called {name:?}"))?;
        let units = [("us", 1.0), ("ms", 1_000.0), ("s", 1_000_000.0)];
        let with_unit = units.into_iter().find_map(|(unit, micros)| {
            let number = value.strip_suffix(unit)?;
            Some(number.trim().parse::<f64>().ok()? * micros)
        });
        let value = match (is_latency(figure), with_unit) {
            (true, Some(micros)) => micros,
            (true, None) => return Err(format!("{value:?} needs us, ms or s")),
            (false, _) => value.parse().map_err(|_| bad())?,
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
            figure,
            is_failure,
            value,
        })
    }
}

impl<M: Measured> Threshold<M> {
    /// What became of it in a run.
    pub(crate) fn judged(&self, all: &[M]) -> Judged {
        let (failed, why) = match self.judge(all) {
            Verdict::Holds => (Some(false), String::new()),
            Verdict::Fails(why) => (Some(true), why),
            Verdict::Unknown => (None, "no such figure was told".to_owned()),
        };
        Judged {
            threshold: self.text.clone(),
            failed,
            why,
        }
    }

    /// A figure that is withheld, because the generator was the limit, cannot be judged: that is no
    /// success.
    fn judge(&self, all: &[M]) -> Verdict {
        let concerns = |it: &&M| self.kind.as_ref().is_none_or(|kind| *kind == it.kind());
        let mut is_known = false;
        for measured in all.iter().filter(concerns) {
            match measured.figure(self.figure) {
                Some(value) if (self.is_failure)(&value, &self.value) => {
                    let (kind, connections) = (name(&measured.kind()), measured.connections());
                    let value = match is_latency(self.figure) {
                        true => format!("{:.3} ms", value / 1_000.0),
                        false => format!("{value:.0}"),
                    };
                    return Verdict::Fails(format!(
                        "{kind} with {connections} connections: {value}"
                    ));
                }
                Some(_) => is_known = true,
                None if measured.is_limited() => return Verdict::Unknown,
                None => {}
            }
        }
        match is_known {
            true => Verdict::Holds,
            false => Verdict::Unknown,
        }
    }
}

impl Judged {
    /// Whether it is known that the figure is not so.
    pub(crate) fn holds(&self) -> bool {
        self.failed == Some(false)
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let text = &self.threshold;
        match self.failed {
            Some(false) => format!("fail if {text}: it is not"),
            Some(true) => format!("fail if {text}: it is, {}", self.why),
            None => format!("fail if {text}: {}", self.why),
        }
    }
}

/// As the user writes it.
pub(crate) fn name(kind: &impl ValueEnum) -> String {
    let value = kind.to_possible_value().expect("none is left out");
    value.get_name().to_owned()
}

/// Says on stderr which do not hold; whether all do.
pub(crate) fn all_hold(judged: &[Judged]) -> bool {
    for it in judged.iter().filter(|it| !it.holds()) {
        eprintln!("wse-bench: --fail-if {}: {}", it.threshold, it.why);
    }
    judged.iter().all(Judged::holds)
}

fn is_latency(figure: &str) -> bool {
    LATENCIES.contains(&figure)
}

/// What a terminal's report ends with: the thresholds, and whether it was ended early.
pub(crate) fn verdicts(all: &[Judged], interrupted: bool, paint: Paint) -> String {
    let mut out = String::new();
    if !all.is_empty() {
        out.push('\n');
    }
    for judged in all {
        let colour = if judged.holds() { GREEN } else { RED };
        let _ = writeln!(out, "{}", paint.paint(colour, &judged.words()));
    }
    if interrupted {
        let ended = "ended before its time: these are the figures so far";
        let _ = writeln!(out, "\n{}", paint.paint(YELLOW, ended));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Figures, Test};

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
            let threshold: Threshold<Figures> = text.parse().unwrap();
            assert_eq!((threshold.kind, threshold.value), (test, value), "{text}");
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
            assert!(text.parse::<Threshold<Figures>>().is_err(), "{text}");
        }
    }
}
