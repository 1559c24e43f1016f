//! The operator's port: probes, metrics, load, drain and shed. In come HTTP requests from the kubelet, a
//! scraper and the operator; answers are made from [`Vitals`], the process's own `/proc` and the
//! metrics registry. Only `/drain` and `/shed` change anything, and need the cluster's token. Nothing
//! here looks at Redis: a liveness that did would restart the whole fleet with it.

mod cgroup;
mod drain;
mod load;
mod probe;
mod process;
mod rate;
mod refusal;
mod shed;
mod sysctl;
#[cfg(test)]
mod tests;
mod token;
mod vitals;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{get, post};
use prometheus::Registry;

use crate::keyring::KeyRing;

pub use self::load::{Capacity, Load, Memory, Total};
pub use self::process::Collector as ProcessCollector;
pub use self::rate::Sampler;
pub use self::vitals::{Traffic, Vitals};

/// The admin port's state, shared by its requests.
pub struct Admin {
    vitals: Arc<dyn Vitals>,
    drain: crate::drain::Controls,
    registry: Registry,
    sampler: Arc<Sampler>,
    token: ArcSwap<KeyRing>,
    started: Instant,
}

impl Admin {
    /// Serves what `vitals` and `registry` say. `token` is what `/drain` and `/shed` need; empty
    /// refuses them.
    pub fn new(
        vitals: Arc<dyn Vitals>,
        drain: crate::drain::Controls,
        registry: Registry,
        sampler: Arc<Sampler>,
        token: KeyRing,
    ) -> Arc<Self> {
        Arc::new(Self {
            vitals,
            drain,
            registry,
            sampler,
            token: ArcSwap::from_pointee(token),
            started: Instant::now(),
        })
    }

    /// Changes the token for requests that come from now on.
    pub fn configure(&self, token: KeyRing) {
        self.token.store(Arc::new(token));
    }

    /// The HTTP service.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/live", get(async || "live\n"))
            .route("/ready", get(probe::ready))
            .route("/metrics", get(probe::metrics))
            .route("/load", get(load::load))
            .route("/drain", post(drain::begin).delete(drain::cancel))
            .route("/shed", post(shed::shed))
            .with_state(self.clone())
    }
}
