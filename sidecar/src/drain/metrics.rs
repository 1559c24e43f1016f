//! What a drain shows.

use prometheus::{IntGauge, Registry};

/// Gauges of the drain.
#[derive(Clone)]
pub struct Metrics {
    pub(super) draining: IntGauge,
    pub(super) sessions_left: IntGauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            draining: IntGauge::new("wse_draining", "1 from the announcement of a drain on.")?,
            sessions_left: IntGauge::new(
                "wse_drain_sessions_left",
                "Sessions that a drain still waits for; 0 without a drain.",
            )?,
        };
        registry.register(Box::new(metrics.draining.clone()))?;
        registry.register(Box::new(metrics.sessions_left.clone()))?;
        Ok(metrics)
    }
}
