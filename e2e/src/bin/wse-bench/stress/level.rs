//! The load levels: those of the eight tiers of a WseCluster.

/// How much there is at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) name: &'static str,
    pub(super) connections: usize,
    /// Of one topic.
    pub(super) subscribers: usize,
}

/// Operations of a level for each of its connections.
pub(super) const OPERATIONS_EACH: u64 = 100;

/// The largest.
pub(super) const MOST: usize = 99_000;

const LEVELS: [Level; 8] = [
    Level::new("Minimal", 10, 5),
    Level::new("Light", 100, 20),
    Level::new("Low", 500, 50),
    Level::new("Medium", 1_000, 100),
    Level::new("High", 5_000, 200),
    Level::new("VeryHigh", 10_000, 500),
    Level::new("Extreme", 50_000, 1_000),
    Level::new("Maximum", MOST, 5_000),
];

impl Level {
    const fn new(name: &'static str, connections: usize, subscribers: usize) -> Self {
        Self {
            name,
            connections,
            subscribers,
        }
    }

    pub(super) fn operations(&self) -> u64 {
        OPERATIONS_EACH * self.connections as u64
    }
}

/// Those with no more connections than that; where it lies between two, the larger one has so many.
pub(super) fn levels(most: usize) -> Vec<Level> {
    let whole = LEVELS.iter().filter(|it| it.connections <= most).count();
    let mut levels = LEVELS[..whole].to_vec();
    if let Some(next) = LEVELS.get(whole)
        && levels.last().is_none_or(|it| it.connections < most)
    {
        levels.push(Level {
            connections: most,
            subscribers: next.subscribers.min(most),
            ..*next
        });
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_level_has_as_many_as_there_may_be() {
        let cases: [(usize, &[usize]); 6] = [
            (3, &[3]),
            (10, &[10]),
            (11, &[10, 11]),
            (1_000, &[10, 100, 500, 1_000]),
            (3_000, &[10, 100, 500, 1_000, 3_000]),
            (
                99_000,
                &[10, 100, 500, 1_000, 5_000, 10_000, 50_000, 99_000],
            ),
        ];
        for (most, expected) in cases {
            let levels = levels(most);
            let connections: Vec<usize> = levels.iter().map(|it| it.connections).collect();
            assert_eq!(connections, expected);
            assert!(levels.iter().all(|it| it.subscribers <= it.connections));
        }
        assert_eq!(levels(3_000).last().map(|it| it.name), Some("High"));
    }
}
