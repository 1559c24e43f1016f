//! What the assembly counts.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) reloads: IntCounterVec,
    pub(super) unknown_fields: IntGauge,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let build = IntGaugeVec::new(
            Opts::new("wse_build_info", "1, with this gateway's version."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let metrics = Self {
            reloads: IntCounterVec::new(
                Opts::new(
                    "wse_config_reloads_total",
                    "Changes of the configuration or a secret that were applied or refused.",
                ),
                &["outcome"],
            )?,
            unknown_fields: IntGauge::new(
                "wse_config_unknown_fields",
                "Fields of the configuration in force that this version does not know.",
            )?,
        };
        for outcome in ["applied", "refused"] {
            metrics.reloads.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.reloads.clone()))?;
        registry.register(Box::new(metrics.unknown_fields.clone()))?;
        Ok(metrics)
    }
}
