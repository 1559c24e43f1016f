//! A gateway, from the first socket to the exit.

use std::net::TcpListener as StdListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use prometheus::Registry;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::doors::Doors;
use super::logs::Logs;
use super::metrics::Metrics;
use super::parts::Parts;
use super::pulse::Pulse;
use super::reactors::{self, Figures};
use super::serve::{self, Stage};
use super::settings::{self, Settings, Watched};
use super::signals::Signals;
use super::{one, reload};
use crate::admin::{Admin, ProcessCollector, Sampler};
use crate::api::{self, Api, Unfit};
use crate::auth;
use crate::backplane::{self, Backplane, NodeId};
use crate::config::Config;
use crate::drain::{self, Controls, Driver};
use crate::edge::{Edge, EdgeControl, Listener};
use crate::hub::{self, Fleet, Router};
use crate::protocol::{
    self,
    envelope::{self, EnvelopeError},
};

/// How often totals are sampled for rates.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long calls under way may still take at the end.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// How long ending the publishes that wait, and giving up the lease, may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the answers to those publishes may take.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Everything that was built, before anything is served.
pub(super) struct Running {
    in_force: InForce,
    signals: Signals,
    driver: Driver<Doors>,
    edge: Edge,
    api: TcpListener,
    admin: TcpListener,
    sampler: Arc<Sampler>,
}

/// The parts that a reload changes.
struct InForce {
    pulse: Arc<Pulse>,
    auth_metrics: Arc<auth::Metrics>,
    gateway: Arc<protocol::Gateway>,
    edge: EdgeControl,
    api: Arc<Api>,
    admin: Arc<Admin>,
    drain: Controls,
    logs: Logs,
}

impl Running {
    /// Builds all rooms and opens the ports, the public one last.
    ///
    /// # Errors
    /// Everything that is wrong, one line each.
    pub(super) async fn build(
        settings: Settings,
        inherited: Option<StdListener>,
        registry: &Registry,
        logs: Logs,
    ) -> Result<Self, Vec<String>> {
        // From here on a signal drains: one that came during the start must not be lost.
        let signals = Signals::catch().map_err(one)?;
        let auth_metrics = Arc::new(auth::Metrics::new(registry).map_err(one)?);
        let parts = Parts::compile(settings, None, auth_metrics.clone()).await?;
        let config = &parts.config;
        let node = node(config);
        tracing::info!(%node, version = env!("CARGO_PKG_VERSION"), "starting");

        let admin_port = serve::bind(config.listen.admin, config.listen.backlog).map_err(one)?;
        let api_port = serve::bind(config.listen.api, config.listen.backlog).map_err(one)?;

        let hub_metrics = hub::Metrics::new(registry);
        let router = Router::new(node.clone(), parts.hub.clone(), hub_metrics.clone());
        let sink = Arc::new(router.clone());
        let backplane_metrics = backplane::Metrics::new(registry).map_err(one)?;
        let (joined, cluster) = (&config.backplane, &config.cluster);
        let backplane = Backplane::join(joined, cluster, node.clone(), sink, backplane_metrics);
        let backplane = backplane.await.map_err(one)?;
        let protocol_metrics = protocol::Metrics::new(registry);
        let count = reactors::count(config);
        let gateway = protocol::start(&router, count, &hub_metrics, &protocol_metrics);
        let gateway = Arc::new(gateway.map_err(one)?);
        let fleet = Fleet::new(router, backplane.clone());

        let sessions = fleet.clone();
        let edge = Edge::new(
            Listener::open(&config.listen, inherited).map_err(one)?,
            parts.policy,
            move || sessions.sessions(),
            gateway.clone(),
            registry,
        )
        .map_err(one)?;
        let edge_control = edge.control();

        let counters = reactors::sum(gateway.clone());
        registry
            .register(Box::new(Figures::new(counters.clone()).map_err(one)?))
            .map_err(one)?;
        registry
            .register(Box::new(ProcessCollector::new().map_err(one)?))
            .map_err(one)?;
        let pulse = Arc::new(Pulse {
            node: node.to_string(),
            reactors: gateway.reactors().len(),
            fleet: fleet.clone(),
            backplane,
            counters,
            config: ArcSwap::from_pointee(parts.config),
            verifier: ArcSwap::new(parts.verifier),
            listening: AtomicBool::new(false),
        });
        let doors = Doors {
            edge: edge_control.clone(),
            fleet: fleet.clone(),
        };
        let drain_metrics = drain::Metrics::new(registry).map_err(one)?;
        let (driver, drain) = Driver::new(doors, parts.schedule, drain_metrics);
        let api = Api::new(
            &node,
            Arc::new(fleet),
            prepare,
            api::Metrics::new(registry).map_err(one)?,
            parts.api,
        );
        let sampler = Arc::new(Sampler::default());
        let admin = Admin::new(
            pulse.clone(),
            drain.clone(),
            registry.clone(),
            sampler.clone(),
            parts.admin_token,
        );
        Ok(Self {
            in_force: InForce {
                pulse,
                auth_metrics,
                gateway,
                edge: edge_control,
                api,
                admin,
                drain,
                logs,
            },
            signals,
            driver,
            edge,
            api: api_port,
            admin: admin_port,
            sampler,
        })
    }

    /// Serves until a drain ends in exit.
    ///
    /// # Errors
    /// When a part that the gateway cannot do without has ended.
    pub(super) async fn run(
        self,
        file: PathBuf,
        watched: Watched,
        metrics: &Metrics,
    ) -> Result<(), Vec<String>> {
        let in_force = &self.in_force;
        let pulse = in_force.pulse.clone();
        let reload_now = Arc::new(Notify::new());

        // These end when the stage is Closing.
        let (stage, staged) = watch::channel(Stage::Serving);
        let mut ports = JoinSet::new();
        let (admin, api) = (in_force.admin.router(), in_force.api.router());
        ports.spawn(serve::serve(
            self.admin,
            admin,
            serve::ADMIN,
            staged.clone(),
        ));
        ports.spawn(serve::serve(self.api, api, serve::API, staged));
        // None of these ever ends.
        let mut essential = JoinSet::new();
        essential.spawn(sample(self.sampler, pulse.clone()));
        let drain = in_force.drain.clone();
        let signals = self.signals;
        essential.spawn(signals.obey(drain, stage.clone(), reload_now.clone()));
        essential.spawn(self.edge.run());
        pulse.listening.store(true, Ordering::Release);
        tracing::info!("serving");

        let apply = |settings| in_force.reload(settings);
        let ended = tokio::select! {
            () = self.driver.run() => Ok(()),
            _ = essential.join_next() => Err(one("a task that the gateway cannot do without has ended")),
            _ = ports.join_next() => Err(one("a port is no longer served")),
            () = reload::follow(file, watched, &reload_now, metrics, apply) => {
                Err(one("nobody follows the configuration any more"))
            }
        };
        pulse.listening.store(false, Ordering::Release);
        stage.send_replace(Stage::Closing);
        let answered = timeout(LAST_CALLS, all(&mut ports)).await;
        let farewell = timeout(FAREWELL, pulse.backplane.leave());
        if farewell.await.is_err() {
            tracing::warn!("the backplane's lease could not be given up and will expire");
        }
        if answered.is_err() && timeout(LAST_ANSWERS, all(&mut ports)).await.is_err() {
            tracing::warn!("calls that take too long are cut off");
        }
        in_force.gateway.stop();
        tracing::info!("exiting");
        ended
    }
}

impl InForce {
    /// Puts a configuration in force, but for what needs a restart.
    ///
    /// # Errors
    /// Everything that is wrong, one line each; nothing has changed then.
    async fn reload(&self, mut settings: Settings) -> Result<(), Vec<String>> {
        let old = self.pulse.config.load_full();
        for field in settings::frozen(&old, &settings.config) {
            tracing::warn!(field, "this change of the configuration needs a restart");
        }
        settings.config = settings::effective(&old, settings.config);
        let verifier = self.pulse.verifier.load_full();
        let parts = Parts::compile(settings, Some(&verifier), self.auth_metrics.clone()).await?;
        self.logs.change(&parts.config.log).map_err(one)?;
        self.gateway.reload(parts.hub);
        self.edge.reload(parts.policy);
        self.api.configure(parts.api);
        self.admin.configure(parts.admin_token);
        self.drain.reschedule(parts.schedule);
        self.pulse.verifier.store(parts.verifier);
        self.pulse.config.store(Arc::new(parts.config));
        Ok(())
    }
}

/// The configured name, or the host's with a suffix that makes a restarted process another node.
fn node(config: &Config) -> NodeId {
    if !config.node.is_empty() {
        return NodeId::new(&config.node);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "node",
        host => host,
    };
    NodeId::new(&format!("{host}-{:08x}", fastrand::u32(..)))
}

fn prepare(message: &RawValue, max_depth: u16) -> Result<Bytes, Unfit> {
    envelope::prepare(message.get(), max_depth).map_err(|error| match error {
        EnvelopeError::TooLarge => Unfit::TooLarge(error.to_string()),
        _ => Unfit::Malformed(error.to_string()),
    })
}

async fn all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn sample(sampler: Arc<Sampler>, pulse: Arc<Pulse>) {
    let mut ticks = tokio::time::interval(SAMPLE);
    loop {
        ticks.tick().await;
        sampler.sample(Instant::now(), &*pulse);
    }
}
