//! Counters of the edge.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of the edge.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    /// Connections accepted.
    pub accepted: IntCounter,
    /// Errors of accept itself.
    pub accept_errors: IntCounter,
    /// Connections by what became of them.
    handshakes: IntCounterVec,
    /// From accept to hand-over.
    pub seconds: Histogram,
    /// Connections on which a handshake is under way.
    pub pending: IntGauge,
}

/// What became of an accepted connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The request asks for a WebSocket wrongly, or is no HTTP.
    BadHandshake,
    /// Dropped to make room, because it had not sent its request.
    Evicted,
    /// The connection broke, or the client left.
    Io,
    NotWebSocket,
    RefusedCapacity,
    RefusedDraining,
    RefusedKeys,
    RefusedOrigin,
    RefusedRate,
    Timeout,
    /// The TLS handshake failed: it is none, or the two have nothing in common, or the client does not
    /// trust the certificate.
    Tls,
    TooLarge,
    Upgraded,
}

impl Outcome {
    const ALL: [Self; 13] = [
        Self::BadHandshake,
        Self::Evicted,
        Self::Io,
        Self::NotWebSocket,
        Self::RefusedCapacity,
        Self::RefusedDraining,
        Self::RefusedKeys,
        Self::RefusedOrigin,
        Self::RefusedRate,
        Self::Timeout,
        Self::Tls,
        Self::TooLarge,
        Self::Upgraded,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::BadHandshake => "bad_handshake",
            Self::Evicted => "evicted",
            Self::Io => "io",
            Self::NotWebSocket => "not_websocket",
            Self::RefusedCapacity => "refused_capacity",
            Self::RefusedDraining => "refused_draining",
            Self::RefusedKeys => "refused_keys",
            Self::RefusedOrigin => "refused_origin",
            Self::RefusedRate => "refused_rate",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::TooLarge => "too_large",
            Self::Upgraded => "upgraded",
        }
    }
}

impl Metrics {
    /// Makes and registers them.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            accepted: IntCounter::new(
                "wse_connections_accepted_total",
                "Connections accepted on the public port",
            )?,
            accept_errors: IntCounter::new(
                "wse_accept_errors_total",
                "Connections that could not be accepted, for want of files or memory or because they broke",
            )?,
            handshakes: IntCounterVec::new(
                Opts::new(
                    "wse_handshakes_total",
                    "Accepted connections by what became of them",
                ),
                &["outcome"],
            )?,
            seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "wse_handshake_seconds",
                    "From accept to the hand-over of the upgraded connection",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ]),
            )?,
            pending: IntGauge::new(
                "wse_pending_handshakes",
                "Connections on which a handshake is under way",
            )?,
        };
        for outcome in Outcome::ALL {
            metrics.handshakes.with_label_values(&[outcome.label()]);
        }
        registry.register(Box::new(metrics.accepted.clone()))?;
        registry.register(Box::new(metrics.accept_errors.clone()))?;
        registry.register(Box::new(metrics.handshakes.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        Ok(metrics)
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.handshakes.with_label_values(&[outcome.label()]).inc();
    }
}
