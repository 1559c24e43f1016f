//! What became of connections that come back whenever they are closed: how often each was asked to
//! move, when, where it is now, and what it missed meanwhile.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::numbers::Numbers;

/// A gateway that drains or sheds closes with it: come back now.
const MOVE: u16 = 4300;
/// After these the published clients do not come back (wse-protocol 1.11).
const FINAL: [u16; 5] = [1000, 1001, 1008, 4401, 4403];
/// Stands for a connection that broke without a Close frame (RFC 6455 section 7.1.5).
pub(crate) const LOST: u16 = 1006;

/// What one worker's connections went through, or all of them together.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Moves {
    /// Connections by how often they moved: were closed with 4300, and connected again.
    connections: BTreeMap<u32, u64>,
    /// How connections were closed, by code.
    closes: BTreeMap<u16, u64>,
    /// What happened, by the tenth of a second since the start.
    tenths: BTreeMap<u64, Moment>,
    /// Microseconds from the start to the first close with 4300, and to the last.
    span_us: Option<(u64, u64)>,
    /// Connections at the end, by node.
    nodes: BTreeMap<String, u64>,
    /// Numbered messages that a connection did not receive, although it did receive some before and
    /// after them.
    missing: u64,
    /// Of those, the ones between two that it received without moving. Exact if they are published
    /// in order.
    lost: u64,
    /// Numbered messages that a connection received again.
    repeated: u64,
}

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// Connections that came in, be it again.
    pub(crate) came: u64,
    /// Those of them that came back, after whatever end.
    pub(crate) returned: u64,
    /// Connections that ended, be it as they were meant to.
    pub(crate) went: u64,
    /// Closes with 4300.
    pub(crate) asked: u64,
    /// Attempts to connect that came to nothing; why is in the report's failures.
    pub(crate) failed_attempts: u64,
    /// Messages that arrived.
    pub(crate) delivered: u64,
}

/// One connection, through all its moves.
#[derive(Debug, Default)]
pub(crate) struct Track {
    /// Whether it ever came to a node.
    has_come: bool,
    /// The node that it is on. None: it is away.
    pub(crate) node: Option<String>,
    /// How often it was asked to move and has come back.
    pub(crate) moves: u32,
    numbers: Numbers,
    /// Those since it came to its node.
    stay: Numbers,
    /// What it missed in the stays before.
    lost: u64,
}

impl Moves {
    /// Notes a close so long after the start. Whether it asked the connection to move.
    pub(crate) fn close(&mut self, code: u16, after_us: u64) -> bool {
        *self.closes.entry(code).or_default() += 1;
        if code == MOVE {
            self.moment(after_us).asked += 1;
            self.widen((after_us, after_us));
        }
        code == MOVE
    }

    /// The stretch in which something happens so long after the start.
    pub(crate) fn moment(&mut self, after_us: u64) -> &mut Moment {
        self.tenths.entry(after_us / 100_000).or_default()
    }

    /// Adds where one connection is at the end, and what it went through. One that never came went
    /// through nothing.
    pub(crate) fn add(&mut self, track: &Track) {
        if !track.has_come {
            return;
        }
        *self.connections.entry(track.moves).or_default() += 1;
        if let Some(node) = &track.node {
            *self.nodes.entry(node.clone()).or_default() += 1;
        }
        self.missing += track.numbers.missing();
        self.lost += track.lost + track.stay.missing();
        self.repeated += track.numbers.repeated;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        merge(&mut self.connections, &other.connections);
        merge(&mut self.closes, &other.closes);
        for (&tenth, moment) in &other.tenths {
            self.tenths.entry(tenth).or_default().add(moment);
        }
        merge(&mut self.nodes, &other.nodes);
        self.missing += other.missing;
        self.lost += other.lost;
        self.repeated += other.repeated;
        if let Some(span) = other.span_us {
            self.widen(span);
        }
    }

    /// What happened in each second from the start to the last in which something did.
    pub(crate) fn seconds(&self) -> Vec<Moment> {
        let last = self.tenths.keys().next_back();
        let seconds = last.map_or(0, |last| last / 10 + 1);
        let mut all = vec![Moment::default(); usize::try_from(seconds).unwrap_or(0)];
        for (tenth, moment) in &self.tenths {
            all[usize::try_from(tenth / 10).unwrap_or(0)].add(moment);
        }
        all
    }

    /// All that happened.
    pub(crate) fn total(&self) -> Moment {
        let mut total = Moment::default();
        self.tenths.values().for_each(|moment| total.add(moment));
        total
    }

    /// The same with times in seconds.
    pub(crate) fn summary(&self) -> Summary<'_> {
        let asked = self.tenths.iter().map(|(&tenth, it)| (tenth, it.asked));
        let seconds = |us: u64| us as f64 / 1_000_000.0;
        Summary {
            connections: &self.connections,
            closes: &self.closes,
            failed_attempts: self.total().failed_attempts,
            first_seconds: self.span_us.map(|(first, _)| seconds(first)),
            last_seconds: self.span_us.map(|(_, last)| seconds(last)),
            tenths: asked.filter(|(_, asked)| *asked > 0).collect(),
            nodes: &self.nodes,
            missing: self.missing,
            lost: self.lost,
            repeated: self.repeated,
        }
    }

    fn widen(&mut self, (first, last): (u64, u64)) {
        let (from, to) = self.span_us.unwrap_or((first, last));
        self.span_us = Some((from.min(first), to.max(last)));
    }
}

impl Moment {
    fn add(&mut self, other: &Self) {
        self.came += other.came;
        self.returned += other.returned;
        self.went += other.went;
        self.asked += other.asked;
        self.failed_attempts += other.failed_attempts;
        self.delivered += other.delivered;
    }
}

/// [`Moves`] for a report.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) connections: &'a BTreeMap<u32, u64>,
    pub(crate) closes: &'a BTreeMap<u16, u64>,
    failed_attempts: u64,
    first_seconds: Option<f64>,
    last_seconds: Option<f64>,
    /// Closes with 4300 by the tenth of a second since the start.
    tenths: BTreeMap<u64, u64>,
    nodes: &'a BTreeMap<String, u64>,
    pub(crate) missing: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (times, connections) in &self.connections {
            writeln!(f, "moved      {connections} connections {times} times")?;
        }
        if let Some((first, last)) = self.span_us {
            let seconds = |us: u64| us as f64 / 1_000_000.0;
            let (first, last) = (seconds(first), seconds(last));
            writeln!(
                f,
                "asked      from {first:.2} s to {last:.2} s after the start"
            )?;
        }
        for (code, count) in &self.closes {
            writeln!(f, "closed     {count} with {code}")?;
        }
        for (node, connections) in &self.nodes {
            writeln!(f, "now        {connections} on {node}")?;
        }
        let failed = self.total().failed_attempts;
        writeln!(f, "attempts   {failed} came to nothing")?;
        let (missing, lost, repeated) = (self.missing, self.lost, self.repeated);
        writeln!(
            f,
            "numbered   {missing} missing, {lost} of them while connected, {repeated} repeated"
        )
    }
}

impl Track {
    /// Notes a numbered message.
    pub(crate) fn number(&mut self, number: u64) {
        self.numbers.add(number);
        self.stay.add(number);
    }

    /// It has come to a node, or is away.
    pub(crate) fn goes_to(&mut self, node: Option<String>) {
        self.has_come |= node.is_some();
        self.node = node;
        self.lost += std::mem::take(&mut self.stay).missing();
    }
}

/// Whether the published clients come back after a close with this code.
pub(crate) fn comes_back(code: u16) -> bool {
    !FINAL.contains(&code)
}

/// Adds counts to those of the same things.
pub(crate) fn merge<K: Clone + Ord>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key.clone()).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_while_away_is_not_lost() {
        let mut track = Track::default();
        for number in [3, 4, 7] {
            track.number(number);
        }
        track.goes_to(None);
        track.goes_to(Some("b".into()));
        for number in [12, 15, 13] {
            track.number(number);
        }
        let mut moves = Moves::default();
        moves.add(&track);
        assert_eq!((moves.missing, moves.lost), (2 + 4 + 1, 2 + 1));
    }

    #[test]
    fn what_workers_saw_adds_up() {
        let mut all = Moves::default();
        for (after_us, moves, node) in [(250_000, 1, "b"), (120_000, 1, "b"), (130_000, 2, "c")] {
            let mut one = Moves::default();
            assert!(one.close(MOVE, after_us));
            assert!(!one.close(LOST, 5));
            one.moment(after_us).failed_attempts += 1;
            let mut track = Track::default();
            one.add(&track);
            track.goes_to(Some(node.into()));
            track.moves = moves;
            one.add(&track);
            all.merge(&one);
        }
        assert_eq!(all.connections, BTreeMap::from([(1, 2), (2, 1)]));
        assert_eq!(all.closes, BTreeMap::from([(LOST, 3), (MOVE, 3)]));
        assert_eq!(all.summary().tenths, BTreeMap::from([(1, 2), (2, 1)]));
        all.moment(2_050_000).came += 7;
        let asked: Vec<u64> = all.seconds().iter().map(|it| it.asked).collect();
        assert_eq!((asked, all.total().came), (vec![3, 0, 0], 7));
        assert_eq!(all.span_us, Some((120_000, 250_000)));
        assert_eq!(
            all.nodes,
            BTreeMap::from([("b".into(), 2), ("c".into(), 1)])
        );
        assert_eq!(all.total().failed_attempts, 3);
    }
}
