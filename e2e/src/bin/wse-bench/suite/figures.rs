//! What came of a round: one test with one number of connections. This is the JSON, too: names and units
//! stay as they are as long as [`SCHEMA`] does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::test::Test;
use crate::latency::{Latency, Summary};
use crate::moves::merge;
use crate::processor::Share;
use crate::report;
use crate::server::Did;
use crate::threshold::{Judged, Measured};

/// Of the JSON. Fields may be added; a change of one that is there makes another number.
pub(crate) const SCHEMA: &str = "wse-bench/1";

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) schema: &'static str,
    /// Of wse-bench.
    pub(super) version: &'static str,
    /// The server, as the user named it.
    pub(super) server: String,
    /// Of the machine that wse-bench runs on.
    pub(super) cores: usize,
    /// Whether it was ended before its time.
    pub(super) interrupted: bool,
    pub(super) rounds: Vec<Figures>,
    pub(super) thresholds: Vec<Judged>,
}

/// One round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(super) test: Test,
    /// Connections that were asked for.
    pub(super) tier: usize,
    /// Of one message.
    pub(super) size_bytes: Option<usize>,
    pub(super) opened: u64,
    /// Connections that were there at the end.
    pub(super) held: u64,
    /// Why connections were not opened or ended early, and how many.
    pub(super) failures: BTreeMap<String, u64>,
    /// How long it was measured.
    pub(super) seconds: f64,
    /// A second, of what [`Test::rate_of`] says. None: the generator was the limit, or there is none.
    pub(super) rate: Option<f64>,
    /// As [`Test::latency_of`] says. None: the generator was the limit, or there is none.
    pub(super) latency: Option<Summary>,
    /// Of the storm and the limit: from a connect to the end of its handshake, however late it was begun.
    pub(super) handshake: Option<Summary>,
    /// Messages that were sent to the server, and those that its PONGs say it has read.
    pub(super) sent: Option<u64>,
    pub(super) read: Option<u64>,
    /// Messages that were published, deliveries that there should have been, and those that were counted
    /// at the receivers.
    pub(super) published: Option<u64>,
    pub(super) expected: Option<u64>,
    pub(super) delivered: Option<u64>,
    /// Deliveries that did not come, and those that came again, by the numbers in the messages.
    pub(super) missing: Option<u64>,
    pub(super) repeated: Option<u64>,
    /// Questions that were due and have no answer.
    pub(super) unanswered: Option<u64>,
    /// Errors that the server sent to clients, by code.
    pub(super) told: BTreeMap<String, u64>,
    /// Counters of the server that grew meanwhile. None: they could not be read.
    pub(super) server: Option<Vec<Did>>,
    /// What each worker took of a processor.
    pub(super) generator: Vec<Share>,
    /// The generator was the limit: its figures would be its own, and are left out.
    #[serde(rename = "limited_by_generator")]
    pub(super) is_limited: bool,
    /// Of connection-limit, with its last round: the most of which fewer than 5 % failed, and the fewest
    /// of which more did, if any did.
    pub(super) limit: Option<Limit>,
    /// Parts of all, and the microseconds within which they came.
    pub(super) curve: Vec<(f64, u64)>,
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limit {
    pub(super) stable: usize,
    pub(super) failing: Option<usize>,
}

impl Figures {
    pub(super) fn new(
        test: Test,
        size_bytes: Option<usize>,
        report: report::Report,
        server: Option<Vec<Did>>,
    ) -> Self {
        let seen = report.seen;
        let deeds = seen.deeds;
        let is_limited = seen.processors.iter().any(|share| share.is_full());
        let unless_limited = |latency: &Latency| latency.summary().filter(|_| !is_limited);
        let (seconds, done, latency) = match test {
            Test::ConnectionStorm | Test::ConnectionLimit => {
                (report.open_seconds, seen.opened, seen.handshake)
            }
            Test::SustainedHold => {
                let answered = seen.ping.count();
                (report.seconds - report.open_seconds, answered, seen.ping)
            }
            _ => (deeds.seconds, deeds.done, deeds.latency),
        };
        let (is_flood, is_fan) = match test {
            Test::Throughput | Test::SizeMatrix => (true, false),
            Test::FanoutBroadcast | Test::FanoutCluster => (false, true),
            _ => (false, false),
        };
        let is_storm = matches!(test, Test::ConnectionStorm | Test::ConnectionLimit);
        let asks = matches!(test, Test::PingLatency | Test::SubscriptionChurn);
        let rate = done as f64 / seconds.max(1e-6);
        Self {
            test,
            tier: report.connections as usize,
            size_bytes,
            opened: seen.opened,
            held: seen.held,
            failures: seen.failures,
            seconds,
            rate: (!is_limited && done > 0).then_some(rate),
            latency: unless_limited(&latency),
            handshake: unless_limited(&seen.attempt).filter(|_| is_storm),
            sent: is_flood.then_some(deeds.due),
            read: is_flood.then_some(deeds.done),
            published: (is_fan && deeds.published > 0).then_some(deeds.published),
            expected: is_fan.then_some(deeds.due),
            delivered: is_fan.then_some(deeds.done),
            missing: is_fan.then_some(deeds.missing),
            repeated: is_fan.then_some(deeds.repeated),
            unanswered: asks.then(|| deeds.due.saturating_sub(deeds.done)),
            told: deeds.told,
            server,
            generator: seen.processors,
            is_limited,
            limit: None,
            curve: if is_limited {
                Vec::new()
            } else {
                latency.curve()
            },
            notes: Vec::new(),
        }
    }

    /// Adds the latency, and what went wrong, of another phase of the same round.
    pub(super) fn with_latency_of(mut self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| a.map(|a| a + b.unwrap_or_default());
        self.latency = other.latency;
        self.curve = other.curve;
        self.published = sum(self.published, other.published);
        self.expected = sum(self.expected, other.expected);
        self.delivered = sum(self.delivered, other.delivered);
        self.missing = sum(self.missing, other.missing);
        self.repeated = sum(self.repeated, other.repeated);
        self.notes.extend(other.notes);
        merge(&mut self.failures, &other.failures);
        for did in other.server.into_iter().flatten() {
            let all = self.server.get_or_insert_default();
            let same = |it: &&mut Did| it.metric == did.metric && it.label == did.label;
            match all.iter_mut().find(same) {
                Some(own) => own.count += did.count,
                None => all.push(did),
            }
        }
        self
    }

    /// Connections that did not come in, or were lost.
    pub(super) fn failed(&self) -> u64 {
        let never = (self.tier as u64).saturating_sub(self.opened);
        never + self.opened.saturating_sub(self.held)
    }
}

impl Measured for Figures {
    type Kind = Test;

    const FIGURES: &'static [&'static str] =
        &["rate", "failed", "missing", "repeated", "unanswered"];

    fn kind(&self) -> Test {
        self.test
    }

    fn connections(&self) -> usize {
        self.tier
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let count = |it: Option<u64>| it.map(|it| it as f64);
        match name {
            "rate" => self.rate,
            "failed" => count(Some(self.failed())),
            "missing" => count(self.missing),
            "repeated" => count(self.repeated),
            "unanswered" => count(self.unanswered),
            latency => self.latency.as_ref()?.by_name(latency),
        }
    }

    fn is_limited(&self) -> bool {
        self.is_limited
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Seen;

    fn round(busy: f64) -> Figures {
        let mut seen = Seen {
            opened: 9,
            held: 8,
            processors: vec![Share { busy, waited: 0.0 }],
            ..Seen::default()
        };
        seen.deeds.seconds = 2.0;
        seen.deeds.due = 11;
        seen.deeds.done = 10;
        seen.deeds.latency.record(Duration::from_millis(3));
        let report = report::Report {
            connections: 10,
            open_seconds: 1.0,
            seconds: 3.0,
            seen,
            published: None,
        };
        Figures::new(Test::PingLatency, None, report, None)
    }

    #[test]
    fn a_generator_that_is_the_limit_tells_what_it_counted_and_no_figure() {
        let (free, full) = (round(0.5), round(0.95));
        assert_eq!(free.rate, Some(5.0));
        assert!(
            free.latency
                .is_some_and(|it| it.by_name("p50") >= Some(3_000.0))
        );
        assert!(full.is_limited && full.rate.is_none() && full.latency.is_none());
        assert!(full.curve.is_empty());
        for figures in [free, full] {
            assert_eq!((figures.failed(), figures.unanswered), (2, Some(1)));
        }
    }
}
