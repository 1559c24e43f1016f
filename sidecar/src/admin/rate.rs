//! Totals become rates: a window of samples.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::vitals::Traffic;

/// A rate is over about this long: short enough to see a ramp, long enough to be steady.
const WINDOW: Duration = Duration::from_secs(10);

/// Recent totals. Fed about once a second.
#[derive(Debug, Default)]
pub struct Sampler {
    samples: Mutex<VecDeque<(Instant, Traffic)>>,
}

impl Sampler {
    /// Takes the totals of this moment.
    pub fn sample(&self, now: Instant, totals: Traffic) {
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
    pub(super) fn per_second(
        &self,
        now: Instant,
        totals: &Traffic,
        field: impl Fn(&Traffic) -> u64,
    ) -> f64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, before)) = samples.front() else {
            return 0.0;
        };
        let elapsed = now.duration_since(*since).as_secs_f64();
        if elapsed <= 0.0 {
            return 0.0;
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "a rate needs no more than 53 bits"
        )]
        let grown = field(totals).saturating_sub(field(before)) as f64;
        grown / elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(handshakes: u64) -> Traffic {
        Traffic {
            handshakes,
            ..Traffic::default()
        }
    }

    #[test]
    fn a_rate_is_over_the_last_ten_seconds() {
        let (start, sampler) = (Instant::now(), Sampler::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let rate = |seconds, total| {
            sampler.per_second(at(seconds), &totals(total), |traffic| traffic.handshakes)
        };
        assert!(rate(0, 9).abs() < 1e-9);
        for second in 0..=20 {
            sampler.sample(at(second), totals(second * 5));
        }
        assert!((rate(20, 100) - 5.0).abs() < 1e-9);
        for second in 21..=40 {
            sampler.sample(at(second), totals(100));
        }
        assert!(rate(40, 100).abs() < 1e-9);
    }
}
