//! Counts drawn at random: how many of ten thousand clients leave takes one draw, not one for each.
//!
//! Only sums, products and square roots, which every machine rounds alike: a seed gives the same day
//! everywhere.

/// Up to so many are drawn one by one.
const FEW: u32 = 32;

/// Where chance comes from.
#[derive(Clone, Debug)]
pub(super) struct Chance(fastrand::Rng);

impl Chance {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Whether what happens with this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.0.f64() < probability
    }

    pub(super) fn seconds(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    /// From -1 to 1.
    pub(super) fn swing(&mut self) -> f64 {
        2.0 * self.0.f64() - 1.0
    }

    /// How many of `count` do what each does with this probability: a binomial distribution, beyond
    /// small counts by the normal one beside it.
    pub(super) fn of(&mut self, count: u32, probability: f64) -> u32 {
        if probability <= 0.0 || count == 0 {
            return 0;
        }
        if probability >= 1.0 {
            return count;
        }
        if count <= FEW {
            return (0..count).filter(|_| self.happens(probability)).count() as u32;
        }
        let mean = f64::from(count) * probability;
        if mean < 6.0 {
            // Fewer and likelier tries with the same mean.
            let tries = ((mean * 8.0) as u32 + 1).min(count);
            let each = mean / f64::from(tries);
            return (0..tries).filter(|_| self.happens(each)).count() as u32;
        }
        let deviation = (mean * (1.0 - probability)).sqrt();
        let drawn = mean + deviation * self.normal() + 0.5;
        (drawn.max(0.0) as u32).min(count)
    }

    /// Shares `count` out, each with the same chance to come to any of `places`.
    pub(super) fn share(&mut self, count: u32, places: usize, mut give: impl FnMut(usize, u32)) {
        let mut left = count;
        for place in 0..places {
            let share = match places - place {
                1 => left,
                rest => self.of(left, 1.0 / rest as f64),
            };
            left -= share;
            if share > 0 {
                give(place, share);
            }
        }
    }

    /// About normal, with mean 0 and deviation 1: the sum of four uniform numbers.
    fn normal(&mut self) -> f64 {
        let bits = self.0.u64(..);
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
        // Four uniform numbers below 65,536 have the mean 131,070 and the deviation 65,536 / sqrt(3).
        (sum as f64 - 131_070.0) / 37_837.2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_the_spread_of_single_draws() {
        let mut chance = Chance::seeded(1);
        for (count, probability) in [(20, 0.3), (1_000, 0.003), (10_000, 0.25), (14_000, 0.9)] {
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..4_000 {
                let drawn = f64::from(chance.of(count, probability));
                sum += drawn;
                squares += drawn * drawn;
            }
            let mean = sum / 4_000.0;
            let variance = squares / 4_000.0 - mean * mean;
            let (right, spread) = (
                f64::from(count) * probability,
                f64::from(count) * probability * (1.0 - probability),
            );
            assert!((mean / right - 1.0).abs() < 0.03, "{count}: {mean}");
            assert!(
                (variance / spread - 1.0).abs() < 0.15,
                "{count}: {variance}"
            );
        }
    }

    #[test]
    fn shares_are_all_there_is() {
        let mut chance = Chance::seeded(2);
        let mut places = [0; 7];
        chance.share(1_000_000, 7, |place, share| places[place] += share);
        assert_eq!(places.iter().sum::<u32>(), 1_000_000);
        assert!(
            places.iter().all(|it| (141_000..145_000).contains(it)),
            "{places:?}"
        );
    }
}
