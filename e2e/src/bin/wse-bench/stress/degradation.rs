//! How rates change from level to level. For broadcasts too, what is compared is deliveries: a publication for
//! more subscribers is more work, so that publications a second would fall on any server, but a delivery is
//! not, and what a publication costs by itself is shared by more of them.

use serde::Serialize;

use super::cell::Cell;
use super::dimension::Dimension;
use super::verdict::Verdict;
use crate::output::count;

/// A rate that is lower by more percent than this has degraded.
const DEGRADED_PERCENT: f64 = 30.0;

/// From the lowest to the highest level that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Degradation {
    pub(super) dimension: Dimension,
    pub(super) lowest: Place,
    pub(super) highest: Place,
    /// Times that the rate of the lowest level is that of the highest.
    pub(super) factor: f64,
    /// Of the rate of the lowest; less than 0: it is better.
    pub(super) percent: f64,
    pub(super) verdict: Verdict,
}

/// The first fall by more than 30 % below the best level before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct First {
    pub(super) dimension: Dimension,
    #[serde(flatten)]
    pub(super) at: Place,
    pub(super) best: Place,
    pub(super) percent: f64,
}

impl First {
    pub(super) fn words(&self) -> String {
        format!(
            "{} is the first to degrade: at {} ({} connections) it is {:.0} % below {}",
            self.dimension.name(),
            self.at.level,
            count(self.at.connections as u64),
            self.percent,
            self.best.level
        )
    }
}

/// A level, and its rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) level: &'static str,
    pub(super) connections: usize,
    pub(super) rate: f64,
}

/// One for each dimension that has rates at two levels.
pub(super) fn degradations(cells: &[Cell]) -> Vec<Degradation> {
    let mut dimensions: Vec<Dimension> = cells.iter().map(|it| it.dimension).collect();
    dimensions.sort();
    dimensions.dedup();
    let degradation = |dimension| {
        let places = places(cells, dimension);
        let (lowest, highest) = (*places.first()?, *places.last()?);
        if lowest.connections == highest.connections {
            return None;
        }
        let percent = fall_percent(lowest.rate, highest.rate);
        Some(Degradation {
            dimension,
            lowest,
            highest,
            factor: lowest.rate / highest.rate,
            percent,
            verdict: Verdict::of_fall(percent),
        })
    };
    dimensions.into_iter().filter_map(degradation).collect()
}

/// At the lowest level at which a dimension has degraded, the one that has most. None: none has.
pub(super) fn first(cells: &[Cell]) -> Option<First> {
    let falls = cells.iter().filter_map(|cell| {
        let percent = cell
            .degradation_percent
            .filter(|it| *it > DEGRADED_PERCENT)?;
        let best = best_before(cells, cell)?;
        Some(First {
            dimension: cell.dimension,
            at: place(cell)?,
            best,
            percent,
        })
    });
    falls.min_by(|a, b| {
        let by_level = a.at.connections.cmp(&b.at.connections);
        by_level.then(b.percent.total_cmp(&a.percent))
    })
}

/// Notes in a cell how far its rate is below the best of those before.
pub(super) fn note(before: &[Cell], cell: &mut Cell) {
    let rate = cell.comparable();
    let best = best_before(before, cell);
    let both = best.zip(rate);
    cell.degradation_percent = both.map(|(best, rate)| fall_percent(best.rate, rate));
}

fn best_before(cells: &[Cell], cell: &Cell) -> Option<Place> {
    let places = places(cells, cell.dimension).into_iter();
    let before = places.filter(|it| it.connections < cell.connections);
    before.max_by(|a, b| a.rate.total_cmp(&b.rate))
}

/// The levels of a dimension that can be compared, from the lowest on.
fn places(cells: &[Cell], dimension: Dimension) -> Vec<Place> {
    let of_it = cells.iter().filter(|it| it.dimension == dimension);
    of_it.filter_map(place).collect()
}

fn place(cell: &Cell) -> Option<Place> {
    Some(Place {
        level: cell.level,
        connections: cell.connections,
        rate: cell.comparable()?,
    })
}

fn fall_percent(from: f64, to: f64) -> f64 {
    (1.0 - to / from) * 100.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{Report, Seen};
    use crate::stress::level::levels;

    /// A cell of the level with so many connections.
    pub(in crate::stress) fn cell(dimension: Dimension, connections: usize, rate: f64) -> Cell {
        let level = *levels(connections).last().unwrap();
        let mut seen = Seen {
            opened: connections as u64,
            held: connections as u64,
            ..Seen::default()
        };
        (seen.deeds.done, seen.deeds.seconds) = (rate as u64, 1.0);
        let report = Report {
            connections: connections as u64,
            open_seconds: 1.0,
            seconds: 1.0,
            seen,
            published: None,
        };
        Cell::new(&level, dimension, report, None, None)
    }

    /// Cells of one dimension, with what is noted of them.
    pub(in crate::stress) fn row(dimension: Dimension, rates: &[(usize, f64)]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &(connections, rate) in rates {
            let mut cell = cell(dimension, connections, rate);
            note(&cells, &mut cell);
            cells.push(cell);
        }
        cells
    }

    #[test]
    fn degradation_is_from_the_lowest_to_the_highest_level_that_has_a_rate() {
        let mut cells = row(
            Dimension::Messages,
            &[(10, 0.0), (100, 1_000.0), (500, 4_000.0), (1_000, 500.0)],
        );
        cells.extend(row(Dimension::Broadcast, &[(10, 100.0), (100, 150.0)]));
        cells.extend(row(Dimension::Permissions, &[(10, 100.0)]));
        let [messages, broadcast] = degradations(&cells).try_into().unwrap();
        assert_eq!(messages.lowest.level, "Light");
        assert_eq!(messages.highest.level, "Medium");
        assert_eq!((messages.factor, messages.percent), (2.0, 50.0));
        assert_eq!(messages.verdict, Verdict::Poor);
        assert_eq!(broadcast.percent, -50.0);
        assert_eq!(broadcast.verdict, Verdict::Good);
    }

    #[test]
    fn the_first_to_degrade_falls_below_the_best_before_and_not_below_the_lowest() {
        let mut cells = row(
            Dimension::Messages,
            &[(10, 1_000.0), (100, 4_000.0), (500, 2_000.0)],
        );
        assert_eq!(cells[0].degradation_percent, None);
        assert_eq!(cells[1].degradation_percent, Some(-300.0));
        let first_of = |cells: &[Cell]| first(cells).map(|it| (it.dimension, it.at.level));
        assert_eq!(first_of(&cells), Some((Dimension::Messages, "Low")));
        assert_eq!(first(&cells).unwrap().best.level, "Light");
        assert_eq!(first(&cells).unwrap().percent, 50.0);

        // At the same level another falls further.
        let rates = [(10, 1_000.0), (100, 800.0), (500, 100.0)];
        cells.extend(row(Dimension::Broadcast, &rates));
        assert_eq!(first_of(&cells), Some((Dimension::Broadcast, "Low")));

        // At a lower one, less far.
        cells.extend(row(Dimension::Connections, &[(10, 1_000.0), (100, 690.0)]));
        assert_eq!(first_of(&cells), Some((Dimension::Connections, "Light")));
    }

    #[test]
    fn a_rate_of_the_server_s_own_limits_is_held_against_nothing() {
        let mut cells = row(Dimension::Messages, &[(10, 1_000.0)]);
        let mut limited = cell(Dimension::Messages, 100, 10.0);
        limited.is_dropping = true;
        note(&cells, &mut limited);
        cells.push(limited);
        assert!(first(&cells).is_none() && degradations(&cells).is_empty());
    }
}
