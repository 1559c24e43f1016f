//! What came of it. This is the JSON, too: names and units stay as they are as long as [`SCHEMA`] does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::catalogue::{GATEWAY, Peer};
use super::work::Piece;
use crate::moves::merge;
use crate::report;
use crate::server::{CPU, Did};

/// Of the JSON. Fields may be added; a change of one that is there makes another number.
pub(super) const SCHEMA: &str = "wse-peers/1";

/// All of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    /// Of wse-bench.
    pub(super) version: &'static str,
    pub(super) connections: u32,
    pub(super) size_bytes: usize,
    /// Of each piece of work in a round.
    pub(super) seconds: u64,
    pub(super) rounds: u32,
    pub(super) machine: Machine,
    /// Whether servers and clients had processors of their own.
    pub(super) pinned: bool,
    /// Whether it was ended before its time.
    pub(super) interrupted: bool,
    pub(super) servers: Vec<Peer>,
    /// Those that took no part, and why.
    pub(super) skipped: BTreeMap<&'static str, String>,
    pub(super) work: Vec<Compared>,
}

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    /// As the kernel names it.
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
}

/// One piece of work, done by all.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) piece: Piece,
    pub(super) title: String,
    pub(super) servers: Vec<Figures>,
}

/// One server's medians.
#[derive(Debug, Default, Serialize)]
pub(super) struct Figures {
    pub(super) name: &'static str,
    /// A second, of what the piece counts. None: the generator was the limit.
    pub(super) rate: Option<f64>,
    /// Microseconds of processors that the server took for each.
    pub(super) cpu_us: Option<f64>,
    /// From when a message was due to be published to its arrival.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    /// Resident memory of the server for each connection.
    pub(super) memory_bytes: Option<f64>,
    /// The gateway's figures divided by these.
    pub(super) rate_ratio: Option<f64>,
    pub(super) cpu_ratio: Option<f64>,
    pub(super) memory_ratio: Option<f64>,
    /// Deliveries that did not come.
    pub(super) missing: u64,
    /// Why connections were not opened or ended early, and how many.
    pub(super) failures: BTreeMap<String, u64>,
    /// In how many rounds the generator was the limit.
    pub(super) limited_rounds: usize,
    pub(super) rounds: Vec<Sample>,
}

/// One server in one round.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sample {
    pub(super) rate: Option<f64>,
    pub(super) cpu_us: Option<f64>,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) memory_bytes: Option<f64>,
    #[serde(rename = "limited_by_generator")]
    pub(super) is_limited: bool,
    pub(super) missing: u64,
    #[serde(skip)]
    pub(super) failures: BTreeMap<String, u64>,
}

impl Sample {
    /// Of work that was counted.
    pub(super) fn of_work(report: report::Report, did: Option<&[Did]>) -> Self {
        let (seen, deeds) = (&report.seen, &report.seen.deeds);
        let is_limited = seen.processors.iter().any(|share| share.is_full());
        let done = deeds.done as f64;
        let rate = done / deeds.seconds.max(1e-6);
        let cpu = did.and_then(|did| did.iter().find(|did| did.metric == CPU));
        let latency = deeds.latency.summary().filter(|_| !is_limited);
        let by_name = |name| latency.as_ref()?.by_name(name);
        Self {
            rate: (!is_limited && done > 0.0).then_some(rate),
            cpu_us: cpu.map(|cpu| cpu.count as f64 / done.max(1.0)),
            p50_us: by_name("p50"),
            p99_us: by_name("p99"),
            memory_bytes: None,
            is_limited,
            missing: deeds.missing,
            failures: report.seen.failures,
        }
    }
}

impl Compared {
    /// From the samples of each server, the gateway's first if it took part.
    pub(super) fn new(
        piece: Piece,
        title: String,
        samples: Vec<(&'static str, Vec<Sample>)>,
    ) -> Self {
        let each = samples.into_iter();
        let mut servers: Vec<Figures> = each.map(|(name, all)| Figures::new(name, all)).collect();
        let ours = servers.iter().find(|it| it.name == GATEWAY.name);
        let ours = ours.map(|it| (it.rate, it.cpu_us, it.memory_bytes));
        let (rate, cpu, memory) = ours.unwrap_or_default();
        let ratio =
            |ours: Option<f64>, theirs: Option<f64>| Some(ours? / theirs.filter(|it| *it > 0.0)?);
        for server in &mut servers {
            server.rate_ratio = ratio(rate, server.rate);
            server.cpu_ratio = ratio(cpu, server.cpu_us);
            server.memory_ratio = ratio(memory, server.memory_bytes);
        }
        Self {
            piece,
            title,
            servers,
        }
    }
}

impl Figures {
    fn new(name: &'static str, rounds: Vec<Sample>) -> Self {
        let of = |figure: fn(&Sample) -> Option<f64>| median(rounds.iter().filter_map(figure));
        let limited_rounds = rounds.iter().filter(|it| it.is_limited).count();
        let mut failures = BTreeMap::new();
        for round in &rounds {
            merge(&mut failures, &round.failures);
        }
        Self {
            name,
            // A median of the slower half would be no median.
            rate: of(|it| it.rate).filter(|_| limited_rounds == 0),
            cpu_us: of(|it| it.cpu_us),
            p50_us: of(|it| it.p50_us).filter(|_| limited_rounds == 0),
            p99_us: of(|it| it.p99_us).filter(|_| limited_rounds == 0),
            memory_bytes: of(|it| it.memory_bytes),
            missing: rounds.iter().map(|it| it.missing).sum(),
            failures,
            limited_rounds,
            rounds,
            ..Self::default()
        }
    }
}

/// The mean of the middle two, if there is no middle one.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    match values.len() % 2 {
        0 => Some((upper + values[middle - 1]) / 2.0),
        _ => Some(*upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rate: f64, cpu_us: f64) -> Sample {
        Sample {
            rate: Some(rate),
            cpu_us: Some(cpu_us),
            ..Sample::default()
        }
    }

    #[test]
    fn all_are_compared_with_the_gateway_by_their_medians() {
        let ours = vec![sample(30.0, 1.0), sample(10.0, 3.0), sample(20.0, 2.0)];
        let theirs = vec![sample(5.0, 8.0), sample(15.0, 4.0)];
        let samples = vec![(GATEWAY.name, ours), ("ws", theirs)];
        let compared = Compared::new(Piece::Messages, String::new(), samples);
        let [ours, theirs] = &compared.servers[..] else {
            panic!("there are two");
        };
        assert_eq!((ours.rate, ours.rate_ratio), (Some(20.0), Some(1.0)));
        assert_eq!((theirs.rate, theirs.cpu_us), (Some(10.0), Some(6.0)));
        assert_eq!(theirs.rate_ratio, Some(2.0));
        assert_eq!(theirs.cpu_ratio, Some(2.0 / 6.0));
    }

    #[test]
    fn a_rate_that_was_the_generators_is_not_told() {
        let limited = Sample {
            is_limited: true,
            rate: None,
            ..sample(0.0, 4.0)
        };
        let samples = vec![(GATEWAY.name, vec![sample(9.0, 4.0), limited])];
        let compared = Compared::new(Piece::FanOut, String::new(), samples);
        let ours = &compared.servers[0];
        assert_eq!((ours.rate, ours.limited_rounds), (None, 1));
        assert_eq!(ours.cpu_us, Some(4.0));
    }
}
