//! What the backplane counts.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::Error;

/// The backplane's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) absent: IntCounter,
    pub(super) connected: IntGauge,
    pub(super) control_requests: IntCounterVec,
    pub(super) duplicates: IntCounter,
    pub(super) gaps_filled: IntCounter,
    pub(super) held_bytes: IntGauge,
    pub(super) inbox_bytes: IntGauge,
    pub(super) inbox_overflows: IntCounter,
    pub(super) lost: IntCounter,
    pub(super) malformed: IntCounter,
    pub(super) publish_seconds: Histogram,
    pub(super) publishes: IntCounterVec,
    pub(super) reconnects: IntCounter,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When one is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let labelled = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let publish_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "wse_backplane_publish_seconds",
                "Time from a publish's arrival to its answer.",
            )
            .buckets(vec![
                0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
                15.0,
            ]),
        )?;
        registry.register(Box::new(publish_seconds.clone()))?;
        Ok(Self {
            absent: counter(
                "wse_backplane_absent_total",
                "Pods that publishes were waiting for after an outage and that did not come back in \
                 time. What they missed they find in the history, as far as that goes.",
            )?,
            connected: gauge(
                "wse_backplane_connected",
                "1 while this pod publishes to and receives from the fleet, 0 while Redis is away.",
            )?,
            control_requests: labelled(
                "wse_backplane_control_requests_total",
                "Control requests: sent to other pods, answered for them, or dropped because too \
                 many waited, they came too late, or they could not be read.",
                "outcome",
            )?,
            duplicates: counter(
                "wse_backplane_duplicates_total",
                "Publications that arrived again and were dropped; with a pattern and a topic that \
                 it matches both subscribed, every publication of the topic arrives twice.",
            )?,
            gaps_filled: counter(
                "wse_backplane_gap_publications_total",
                "Publications that did not arrive live and were read from the history.",
            )?,
            held_bytes: gauge(
                "wse_backplane_held_bytes",
                "Bytes of publishes that wait for Redis to come back.",
            )?,
            inbox_bytes: gauge(
                "wse_backplane_inbox_bytes",
                "Bytes received from Redis that wait for room in this pod.",
            )?,
            inbox_overflows: counter(
                "wse_backplane_inbox_overflows_total",
                "Times that more arrived than may wait; what was dropped is read from the history.",
            )?,
            lost: counter(
                "wse_backplane_lost_total",
                "Publications that this pod did not receive and that the history no longer had. \
                 At least: for a topic known only by a pattern one stands for any number.",
            )?,
            malformed: counter(
                "wse_backplane_malformed_total",
                "Messages on this fleet's channels that no gateway could have sent.",
            )?,
            publish_seconds,
            publishes: labelled(
                "wse_backplane_publishes_total",
                "Publishes by outcome.",
                "outcome",
            )?,
            reconnects: counter(
                "wse_backplane_reconnects_total",
                "Attempts to connect to Redis after the first.",
            )?,
        })
    }

    /// Counts a publish's end.
    pub(super) fn published(&self, outcome: Result<&'static str, &Error>, seconds: f64) {
        let outcome = outcome.unwrap_or_else(Error::reason);
        self.publishes.with_label_values(&[outcome]).inc();
        self.publish_seconds.observe(seconds);
    }

    /// Counts control requests.
    pub(super) fn control(&self, outcome: &'static str) {
        self.control_requests.with_label_values(&[outcome]).inc();
    }
}
