//! Latencies, in microseconds to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A histogram that can be merged, sent to another process and summed up.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

/// What a histogram says, for a report.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    count: u64,
    mean_us: f64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

impl Latency {
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The longest, and zero for none.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// Parts of all, and the microseconds within which they came: from the half on, each point halving
    /// what is left, as far as there are values.
    pub(crate) fn curve(&self) -> Vec<(f64, u64)> {
        let quantiles = self.0.iter_quantiles(2);
        let points = quantiles.map(|it| (it.quantile(), it.value_iterated_to()));
        points.collect()
    }

    /// None when nothing was recorded.
    pub(crate) fn summary(&self) -> Option<Summary> {
        if self.0.is_empty() {
            return None;
        }
        Some(Summary {
            count: self.0.len(),
            mean_us: self.0.mean(),
            p50_us: self.0.value_at_quantile(0.5),
            p90_us: self.0.value_at_quantile(0.9),
            p99_us: self.0.value_at_quantile(0.99),
            p999_us: self.0.value_at_quantile(0.999),
            max_us: self.0.max(),
        })
    }
}

impl Default for Latency {
    fn default() -> Self {
        // One microsecond to ten minutes.
        let bounds = Histogram::new_with_bounds(1, 600_000_000, 3);
        Self(bounds.expect("the bounds are in order and three digits are allowed"))
    }
}

impl Summary {
    /// In microseconds: p50, p90, p99, p99.9, max or mean.
    pub(crate) fn by_name(&self, name: &str) -> Option<f64> {
        match name {
            "mean" => Some(self.mean_us),
            "p50" => Some(self.p50_us as f64),
            "p90" => Some(self.p90_us as f64),
            "p99" => Some(self.p99_us as f64),
            "p99.9" => Some(self.p999_us as f64),
            "max" => Some(self.max_us as f64),
            _ => None,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |us: u64| us as f64 / 1_000.0;
        write!(
            f,
            "p50 {:.2} ms  p90 {:.2} ms  p99 {:.2} ms  p99.9 {:.2} ms  max {:.2} ms",
            ms(self.p50_us),
            ms(self.p90_us),
            ms(self.p99_us),
            ms(self.p999_us),
            ms(self.max_us)
        )
    }
}

impl Serialize for Latency {
    /// As the pairs (value, count) of the buckets that hold something.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets = self.0.iter_recorded();
        serializer.collect_seq(buckets.map(|b| (b.value_iterated_to(), b.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let buckets = Vec::<(u64, u64)>::deserialize(deserializer)?;
        let mut latency = Self::default();
        for (value, count) in buckets {
            latency.0.saturating_record_n(value, count);
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_to_another_process_and_merges() {
        let (mut low, mut high) = (Latency::default(), Latency::default());
        for micros in 1..=1_000 {
            low.record(Duration::from_micros(micros));
            high.record(Duration::from_millis(micros));
        }
        let text = serde_json::to_string(&high).unwrap();
        low.merge(&serde_json::from_str(&text).unwrap());
        let summary = low.summary().unwrap();
        assert_eq!(summary.count, 2_000);
        assert_eq!(summary.p50_us, 1_000);
        // Three digits: within a thousandth.
        assert!((999_000..=1_001_000).contains(&summary.max_us), "{summary}");
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert!(Latency::default().summary().is_none());
    }
}
