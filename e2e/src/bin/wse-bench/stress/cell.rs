//! What came of one level in one dimension. This is the JSON, too: names and units stay as they are as long
//! as the schema does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::dimension::Dimension;
use super::level::Level;
use super::verdict::{Bounds, Verdict};
use crate::latency::Summary;
use crate::processor::Share;
use crate::report;
use crate::server::Did;
use crate::threshold::Measured;

/// What a server says, and counts, that drops what is too much for a client's limits.
const LIMITED: &str = "RATE_LIMITED";
const LIMITED_COUNTS: [(&str, &str); 2] = [
    ("wse_inbound_messages_total", "rate_limited"),
    ("wse_rate_limited_total", ""),
];

/// One dimension at one level.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cell {
    pub(super) level: &'static str,
    /// That were asked for.
    pub(super) connections: usize,
    pub(super) dimension: Dimension,
    /// Why it was not measured. None: it was.
    pub(super) skipped: Option<String>,
    /// A second, of what [`Dimension::unit`] says. None: the generator was the limit, or nothing was done.
    pub(super) rate: Option<f64>,
    /// Of the rate. None: there is none, or it is that of the server's own limits.
    pub(super) verdict: Option<Verdict>,
    /// How far the rate is below the best of the levels before; less than 0: above. None: not comparable.
    pub(super) degradation_percent: Option<f64>,
    pub(super) opened: u64,
    /// Connections that were there at the end.
    pub(super) held: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) seconds: f64,
    /// What was asked for, and what is known to be done.
    pub(super) sent: u64,
    pub(super) done: u64,
    /// Of connections: from a storm's first moment until a client is in. None: as the rate.
    pub(super) latency: Option<Summary>,
    /// PONGs that the server sent.
    pub(super) pongs: Option<u64>,
    pub(super) subscribers: Option<usize>,
    pub(super) published: Option<u64>,
    /// Deliveries that did not come, and those that came again.
    pub(super) missing: Option<u64>,
    pub(super) repeated: Option<u64>,
    /// What compression saves of the payload of the clients' messages, and of the server's broadcasts.
    pub(super) saved_percent: Option<f64>,
    pub(super) broadcast_saved_percent: Option<f64>,
    /// The server dropped messages that were too much for a client's limits.
    #[serde(rename = "limited_by_server")]
    pub(super) is_dropping: bool,
    #[serde(rename = "limited_by_generator")]
    pub(super) is_limited: bool,
    pub(super) told: BTreeMap<String, u64>,
    pub(super) server: Option<Vec<Did>>,
    pub(super) generator: Vec<Share>,
}

impl Cell {
    /// One that was not measured.
    pub(super) fn skipped(level: &Level, dimension: Dimension, why: String) -> Self {
        let nothing = report::Report {
            connections: level.connections as u64,
            open_seconds: 0.0,
            seconds: 0.0,
            seen: report::Seen::default(),
            published: None,
        };
        Self {
            skipped: Some(why),
            ..Self::new(level, dimension, nothing, None, None)
        }
    }

    /// One that was; its rate is not judged without bounds.
    pub(super) fn new(
        level: &Level,
        dimension: Dimension,
        report: report::Report,
        server: Option<Vec<Did>>,
        bounds: Option<Bounds>,
    ) -> Self {
        let mut seen = report.seen;
        let deeds = std::mem::take(&mut seen.deeds);
        let is_limited = seen.processors.iter().any(|share| share.is_full());
        let is_dropping = deeds.told.contains_key(LIMITED)
            || server
                .iter()
                .flatten()
                .any(|did| LIMITED_COUNTS.contains(&(did.metric, did.label.as_str())));
        let rate =
            (!is_limited && deeds.done > 0).then(|| deeds.done as f64 / deeds.seconds.max(1e-6));
        let judged = rate.filter(|_| !is_dropping).zip(bounds);
        let is = |wanted: Dimension| dimension == wanted;
        let saved = saved_percent(deeds.plain_bytes, deeds.wire_bytes);
        let fan = |count: u64| is(Dimension::Broadcast).then_some(count);
        Self {
            level: level.name,
            connections: level.connections,
            dimension,
            skipped: None,
            rate,
            verdict: judged.map(|(rate, bounds)| bounds.judge(rate)),
            degradation_percent: None,
            opened: seen.opened,
            held: seen.held,
            failures: seen.failures,
            seconds: deeds.seconds,
            sent: deeds.due,
            done: deeds.done,
            latency: deeds
                .latency
                .summary()
                .filter(|_| is(Dimension::Connections) && !is_limited),
            pongs: (deeds.pongs > 0).then_some(deeds.pongs),
            subscribers: is(Dimension::Broadcast).then_some(level.subscribers),
            published: fan(deeds.published),
            missing: fan(deeds.missing),
            repeated: fan(deeds.repeated),
            saved_percent: saved.filter(|_| is(Dimension::Compression)),
            broadcast_saved_percent: None,
            is_dropping,
            is_limited,
            told: deeds.told,
            server,
            generator: seen.processors,
        }
    }

    /// A rate that can be held against that of another level.
    pub(super) fn comparable(&self) -> Option<f64> {
        self.rate.filter(|_| !self.is_dropping)
    }

    /// Connections that did not come in, or were lost.
    pub(super) fn failed(&self) -> u64 {
        match self.skipped {
            Some(_) => 0,
            None => (self.connections as u64).saturating_sub(self.held),
        }
    }
}

/// What is saved of so many bytes by sending others. None: there were none.
pub(super) fn saved_percent(plain_bytes: u64, wire_bytes: u64) -> Option<f64> {
    (plain_bytes > 0).then(|| (1.0 - wire_bytes as f64 / plain_bytes as f64) * 100.0)
}

impl Measured for Cell {
    type Kind = Dimension;

    const FIGURES: &'static [&'static str] = &[
        "rate",
        "poor",
        "degradation",
        "failed",
        "missing",
        "repeated",
    ];

    fn kind(&self) -> Dimension {
        self.dimension
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let count = |it: Option<u64>| it.map(|it| it as f64);
        match name {
            "rate" => self.rate,
            "poor" => self
                .verdict
                .map(|it| f64::from(u8::from(it == Verdict::Poor))),
            "degradation" => self.degradation_percent,
            "failed" => count(self.skipped.is_none().then(|| self.failed())),
            "missing" => count(self.missing),
            "repeated" => count(self.repeated),
            latency => self.latency.as_ref()?.by_name(latency),
        }
    }

    fn is_limited(&self) -> bool {
        self.is_limited
    }
}
