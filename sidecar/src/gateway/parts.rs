//! What the rooms make of a configuration. All of it is made before any of it is put in force, so that
//! a bad one changes nothing.

use std::sync::Arc;

use super::one;
use super::settings::Settings;
use crate::api;
use crate::auth::{self, Verifier};
use crate::config::Config;
use crate::drain::Schedule;
use crate::edge::{self, Certificate};
use crate::hub;
use crate::keyring::KeyRing;

/// A configuration, compiled.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) verifier: Arc<Verifier>,
    pub(super) policy: edge::Policy,
    pub(super) hub: Arc<hub::Settings>,
    pub(super) api: api::Settings,
    pub(super) admin_token: KeyRing,
    pub(super) schedule: Schedule,
}

impl Parts {
    /// Compiles; reads the verification keys and the certificate. `previous` hands on key sets that it fetched.
    ///
    /// # Errors
    /// Everything that is wrong, one line each.
    pub(super) async fn compile(
        settings: Settings,
        previous: Option<&Verifier>,
        metrics: Arc<auth::Metrics>,
    ) -> Result<Self, Vec<String>> {
        let config = settings.config;
        let hub = hub::Settings::new(&config);
        let verifier = Verifier::load(&config.auth, previous, metrics).await;
        let certificate = config.listen.tls.as_ref().map(Certificate::load);
        let certificate = certificate.transpose();
        let (hub, verifier, certificate) = match (hub, verifier, certificate) {
            (Ok(hub), Ok(verifier), Ok(certificate)) => (hub, Arc::new(verifier), certificate),
            (hub, verifier, certificate) => {
                let verifier = verifier.err().map(|error| error.to_string());
                let certificate = certificate.err().map(|error| error.to_string());
                let errors = hub.err().into_iter().chain(verifier).chain(certificate);
                return Err(errors.collect());
            }
        };
        let origins = &config.auth.allowed_origins;
        let policy = edge::Policy::new(&config.limits, origins, verifier.clone(), certificate)
            .map_err(one)?
            .compressing(&config.compression);
        Ok(Self {
            verifier,
            policy,
            hub: Arc::new(hub),
            api: api::Settings {
                keys: settings.api_keys,
                max_body_bytes: config.api.max_body_bytes,
                topic_bytes: config.limits.topic_bytes.into(),
                json_depth: config.limits.json_depth,
            },
            admin_token: settings.admin_token,
            schedule: Schedule::from(&config.drain),
            config,
        })
    }
}
