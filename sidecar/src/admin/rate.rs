//! Totals become rates: a window of samples.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::process;
use super::vitals::{Traffic, Vitals};

/// A rate is over about this long: short enough to see a ramp, long enough to be steady.
const WINDOW: Duration = Duration::from_secs(10);

/// Recent totals. Fed about once a second.
#[derive(Debug, Default)]
pub struct Sampler {
    samples: Mutex<VecDeque<(Instant, Totals)>>,
}

/// Everything that only grows, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) traffic: Traffic,
    /// Processor time that the process has used.
    pub(super) cpu: Duration,
}

impl Totals {
    /// Those of this moment.
    pub(super) fn read(vitals: &dyn Vitals) -> Self {
        Self {
            traffic: vitals.traffic(),
            cpu: process::cpu_time(),
        }
    }
}

impl Sampler {
    /// Takes the totals of this moment.
    pub fn sample(&self, now: Instant, vitals: &dyn Vitals) {
        self.take(now, Totals::read(vitals));
    }

    fn take(&self, now: Instant, totals: Totals) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back((now, totals));
        while samples
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW)
        {
            samples.pop_front();
        }
    }

    /// How much `field` grew a second, over the window that ends now.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate needs no more than 53 bits"
    )]
    pub(super) fn per_second(
        &self,
        now: Instant,
        totals: &Totals,
        field: impl Fn(&Traffic) -> u64,
    ) -> f64 {
        self.rate(now, |before| {
            field(&totals.traffic).saturating_sub(field(&before.traffic)) as f64
        })
    }

    /// Processor seconds used a second, over the window that ends now: how many cores were busy.
    pub(super) fn cores(&self, now: Instant, totals: &Totals) -> f64 {
        self.rate(now, |before| {
            totals.cpu.saturating_sub(before.cpu).as_secs_f64()
        })
    }

    /// What has grown since the beginning of the window that ends now, a second.
    fn rate(&self, now: Instant, grown: impl FnOnce(&Totals) -> f64) -> f64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, before)) = samples.front() else {
            return 0.0;
        };
        let elapsed = now.duration_since(*since).as_secs_f64();
        if elapsed <= 0.0 {
            return 0.0;
        }
        grown(before) / elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(handshakes: u64) -> Totals {
        let traffic = Traffic {
            handshakes,
            ..Traffic::default()
        };
        Totals {
            traffic,
            // A tenth of a second for each.
            cpu: Duration::from_millis(100 * handshakes),
        }
    }

    #[test]
    fn a_rate_is_over_the_last_ten_seconds() {
        let (start, sampler) = (Instant::now(), Sampler::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let assert_rate = |seconds, total, expected: f64| {
            let (now, totals) = (at(seconds), totals(total));
            let rate = sampler.per_second(now, &totals, |traffic| traffic.handshakes);
            assert!((rate - expected).abs() < 1e-9, "{rate}");
            let cores = sampler.cores(now, &totals);
            assert!((cores - expected / 10.0).abs() < 1e-9, "{cores}");
        };
        assert_rate(0, 9, 0.0);
        for second in 0..=20 {
            sampler.take(at(second), totals(second * 5));
        }
        assert_rate(20, 100, 5.0);
        for second in 21..=40 {
            sampler.take(at(second), totals(100));
        }
        assert_rate(40, 100, 0.0);
    }
}
