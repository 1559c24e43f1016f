//! What the protocol counts. Each reactor counts by itself and adds to the shared counters once a
//! turn, so that cores do not fight for a cache line at every message.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::reactor::Closed;

use super::code;

/// What became of a client's message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The protocol's own, and answered or noted.
    Handled,
    /// Not understood; the client was told, unless it was told within the last second.
    Malformed,
    /// An application's message, dropped: no backend takes them.
    NoBackend,
    /// Dropped because the client sends too much.
    RateLimited,
    /// An encoding that was not agreed on.
    Unsupported,
}

const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Handled, "handled"),
    (Outcome::Malformed, "malformed"),
    (Outcome::NoBackend, "no_backend"),
    (Outcome::RateLimited, "rate_limited"),
    (Outcome::Unsupported, "unsupported"),
];

/// Counters of all reactors together.
#[derive(Clone, Debug)]
pub struct Metrics {
    inbound: Vec<IntCounter>,
    inbound_bytes: IntCounter,
    opened: IntCounter,
    refused: IntCounter,
    closed: IntCounterVec,
    shed: IntCounter,
    slow: IntCounter,
    warnings: IntCounter,
}

/// What one reactor has counted in this turn.
#[derive(Debug)]
pub(super) struct Tally {
    shared: Metrics,
    inbound: [u64; OUTCOMES.len()],
    inbound_bytes: u64,
    is_changed: bool,
}

impl Metrics {
    /// Registers the protocol's metrics.
    ///
    /// # Panics
    /// When they are registered twice.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("the name is valid");
            register(registry, counter)
        };
        let counters = |name: &str, help: &str, label: &str| {
            let counters =
                IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is valid");
            register(registry, counters)
        };
        let inbound = counters(
            "wse_inbound_messages_total",
            "Messages from clients, by what became of them",
            "outcome",
        );
        Self {
            inbound: OUTCOMES
                .iter()
                .map(|(_, label)| inbound.with_label_values(&[label]))
                .collect(),
            inbound_bytes: counter("wse_inbound_bytes_total", "Payload bytes from clients"),
            opened: counter("wse_sessions_opened_total", "Sessions begun"),
            refused: counter(
                "wse_sessions_refused_total",
                "Clients told after the upgrade that their token is missing or not valid",
            ),
            closed: counters(
                "wse_sessions_closed_total",
                "Sessions ended, by the close code and `lost` for none",
                "code",
            ),
            shed: counter(
                "wse_shed_sessions_total",
                "Sessions asked to leave by a shed, whatever became of them",
            ),
            slow: counter(
                "wse_slow_consumer_drops_total",
                "Messages not queued, or replaced before they were sent, because a client did not read",
            ),
            warnings: counter(
                "wse_rate_limit_warnings_total",
                "Warnings sent to clients that soon send too much",
            ),
        }
    }
}

impl Tally {
    pub(super) fn new(shared: Metrics) -> Self {
        Self {
            shared,
            inbound: [0; OUTCOMES.len()],
            inbound_bytes: 0,
            is_changed: false,
        }
    }

    pub(super) fn inbound(&mut self, outcome: Outcome) {
        self.inbound[outcome as usize] += 1;
        self.is_changed = true;
    }

    pub(super) fn inbound_bytes(&mut self, bytes: usize) {
        self.inbound_bytes += bytes as u64;
    }

    pub(super) fn opened(&self) {
        self.shared.opened.inc();
    }

    pub(super) fn refused(&self) {
        self.shared.refused.inc();
    }

    pub(super) fn warned(&self) {
        self.shared.warnings.inc();
    }

    pub(super) fn closed(&self, closed: Closed) {
        let label = match closed {
            Closed::ByClient(code) | Closed::ByServer(code) => code::label(code),
            Closed::Lost => "lost",
        };
        self.shared.closed.with_label_values(&[label]).inc();
    }

    pub(super) fn shed(&self, sessions: usize) {
        self.shared.shed.inc_by(sessions as u64);
    }

    pub(super) fn slow_dropped(&self, messages: u32) {
        self.shared.slow.inc_by(messages.into());
    }

    /// Adds what was counted to the shared counters.
    pub(super) fn flush(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        for (counter, count) in self.shared.inbound.iter().zip(&mut self.inbound) {
            if *count > 0 {
                counter.inc_by(std::mem::take(count));
            }
        }
        let bytes = std::mem::take(&mut self.inbound_bytes);
        self.shared.inbound_bytes.inc_by(bytes);
    }
}

/// Registers a metric and hands it back.
fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> C {
    registry
        .register(Box::new(metric.clone()))
        .expect("each metric is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_in_the_order_of_their_labels() {
        for (index, (outcome, label)) in OUTCOMES.iter().enumerate() {
            assert_eq!(*outcome as usize, index, "{label}");
        }
    }
}
