//! Counters of authentication.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::refusal::REASONS;

/// Counters of authentication; one for the process, kept over reloads.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Clients refused, by reason.
    pub(super) refusals: IntCounterVec,
    /// Valid tokens whose `wse_topics` claim could not be read, so that it grants nothing.
    pub(super) malformed_grants: IntCounter,
    /// Fetches of the key set, by outcome.
    pub(super) fetches: IntCounterVec,
    /// Keys of the set in use.
    pub(super) fetched_keys: IntGauge,
    /// Clients sent away to come back, because the key set could not be fetched.
    pub(super) keys_unavailable: IntCounter,
}

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            refusals: IntCounterVec::new(
                Opts::new(
                    "wse_auth_refusals_total",
                    "Clients told that their token is missing or not valid, by reason",
                ),
                &["reason"],
            )?,
            malformed_grants: IntCounter::new(
                "wse_auth_malformed_grants_total",
                "Valid tokens with a malformed wse_topics claim, which grants nothing",
            )?,
            fetches: IntCounterVec::new(
                Opts::new(
                    "wse_jwks_fetches_total",
                    "Fetches of the JSON Web Key Set, by outcome",
                ),
                &["outcome"],
            )?,
            fetched_keys: IntGauge::new(
                "wse_jwks_keys",
                "Usable keys of the JSON Web Key Set fetched last",
            )?,
            keys_unavailable: IntCounter::new(
                "wse_auth_keys_unavailable_total",
                "Clients told to come back because the JSON Web Key Set could not be fetched",
            )?,
        };
        for reason in REASONS {
            metrics.refusals.with_label_values(&[reason]);
        }
        for outcome in [super::remote::OK, super::remote::FAILED] {
            metrics.fetches.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.refusals.clone()))?;
        registry.register(Box::new(metrics.malformed_grants.clone()))?;
        registry.register(Box::new(metrics.fetches.clone()))?;
        registry.register(Box::new(metrics.fetched_keys.clone()))?;
        registry.register(Box::new(metrics.keys_unavailable.clone()))?;
        Ok(metrics)
    }
}
