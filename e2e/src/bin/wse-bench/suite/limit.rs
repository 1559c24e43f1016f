//! How many connections the server takes: twice as many again and again until some fail, then half the
//! distance again and again.

use tokio::time::sleep;

use super::figures::{Figures, Limit};
use super::run::{PAUSE, Suite};
use super::test::Test;

/// Part of the connections of which more may not fail.
const FAILED: f64 = 0.05;

/// What is known so far.
#[derive(Clone, Copy, Debug)]
struct Search {
    first: usize,
    most: usize,
    stable: usize,
    failing: Option<usize>,
}

pub(super) async fn search(
    suite: &Suite<'_>,
    tiers: &[usize],
    rounds: &mut Vec<Figures>,
) -> Result<(), String> {
    let most = suite.arguments.max_connections.max(1);
    let mut search = Search {
        first: tiers.first().copied().unwrap_or(1).min(most),
        most,
        stable: 0,
        failing: None,
    };
    while let Some(tier) = search.next() {
        let work = suite.work(Test::ConnectionLimit, None, tier);
        let figures = suite.round(Test::ConnectionLimit, None, tier, work).await?;
        let failed = figures.failed() as f64;
        rounds.push(figures);
        if suite.interrupt.has_come() {
            break;
        }
        search.learn(tier, failed / (tier as f64) < FAILED);
        sleep(PAUSE).await;
    }
    if let Some(last) = rounds.last_mut() {
        last.limit = Some(Limit {
            stable: search.stable,
            failing: search.failing,
        });
    }
    Ok(())
}

impl Search {
    /// What to try next. None: it is known as exactly as half of the first try.
    fn next(&self) -> Option<usize> {
        let Some(failing) = self.failing else {
            let next = if self.stable == 0 {
                self.first
            } else {
                self.stable * 2
            };
            return (self.stable < self.most).then_some(next.min(self.most));
        };
        let step = (self.first / 2).max(1);
        let middle = (self.stable + failing) / 2 / step * step;
        (failing - self.stable > self.first && middle > self.stable).then_some(middle)
    }

    fn learn(&mut self, tier: usize, is_stable: bool) {
        match is_stable {
            true => self.stable = tier,
            false => self.failing = Some(tier),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_found_within_the_first_try() {
        for (limit, most) in [
            (0, 150_000),
            (999, 150_000),
            (1_000, 150_000),
            (17_300, 150_000),
            (50_000, 20_000),
        ] {
            let mut search = Search {
                first: 1_000,
                most,
                stable: 0,
                failing: None,
            };
            let mut tries = 0;
            while let Some(tier) = search.next() {
                search.learn(tier, tier <= limit);
                tries += 1;
                assert!(tries < 30, "{limit}: {search:?}");
            }
            assert!(search.stable <= limit);
            match search.failing {
                Some(failing) => assert!(failing > limit && failing - search.stable <= 1_000),
                None => assert_eq!(search.stable, most),
            }
        }
    }
}
