//! Reads what `/metrics` shows (Prometheus text format 0.0.4).

use std::collections::BTreeMap;

use hyper::Method;

use crate::Error;
use crate::http::Http;

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Reads the metrics at a URL.
///
/// # Errors
/// [`Error::Unreachable`], and [`Error::Answered`] with a status that says no.
pub async fn scrape(url: &str) -> Result<Metrics, Error> {
    let text = Http::new().call(Method::GET, url, None, None).await?;
    Ok(Metrics::parse(&text))
}

impl Metrics {
    /// Reads a scrape. Lines that are no sample are left out.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            series: samples.filter_map(Series::parse).collect(),
        }
    }

    /// A metric's values by those of one of its labels, which is empty for series without it.
    pub fn split(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut split = BTreeMap::new();
        for series in self.series.iter().filter(|series| series.name == name) {
            let value = series.labels.iter().find(|(key, _)| key == label);
            let value = value.map_or("", |(_, value)| value.as_str());
            *split.entry(value.to_owned()).or_default() += series.value;
        }
        split
    }

    /// The sum of a metric's series that carry all of these labels. None: there is no such series,
    /// which for a counter with labels also means that it never moved.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let carries = |series: &Series| {
            labels.iter().all(|&(key, value)| {
                let mut own = series.labels.iter();
                own.any(|(k, v)| k == key && v == value)
            })
        };
        let mut found = None;
        for series in &self.series {
            if series.name == name && carries(series) {
                *found.get_or_insert(0.0) += series.value;
            }
        }
        found
    }
}

impl Series {
    fn parse(line: &str) -> Option<Self> {
        let (head, value) = match line.find('}') {
            Some(end) => line.split_at(end + 1),
            None => line.split_at(line.find(' ')?),
        };
        let (name, labels) = match head.split_once('{') {
            Some((name, rest)) => (name, rest.trim_end_matches('}')),
            None => (head, ""),
        };
        let labels = labels.split(',').filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((
                key.trim().to_owned(),
                value.trim().trim_matches('"').to_owned(),
            ))
        });
        Some(Self {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.split_whitespace().next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_series_that_carry_the_labels() {
        let scrape = Metrics::parse(
            "# HELP a_total Things.\n# TYPE a_total counter\n\
             a_total{reason=\"x\",code=\"1\"} 2\na_total{reason=\"x\",code=\"2\"} 3\n\
             a_total{reason=\"y\",code=\"1\"} 5\nb 7.5\n",
        );
        let sum = |name, labels: &[_]| scrape.sum(name, labels);
        assert_eq!(sum("a_total", &[]), Some(10.0));
        assert_eq!(sum("a_total", &[("reason", "x")]), Some(5.0));
        assert_eq!(sum("a_total", &[("reason", "x"), ("code", "2")]), Some(3.0));
        assert_eq!(sum("a_total", &[("reason", "z")]), None);
        assert_eq!(sum("b", &[]), Some(7.5));
        assert_eq!(sum("c", &[]), None);
        let by_reason = [("x".to_owned(), 5.0), ("y".to_owned(), 5.0)];
        assert_eq!(scrape.split("a_total", "reason"), BTreeMap::from(by_reason));
        assert_eq!(scrape.split("b", "reason")[""], 7.5);
    }
}
