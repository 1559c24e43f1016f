//! What to tell people about a fleet.

use super::fleet::{Fleet, Progress};
use super::{Observation, PodState};
use crate::api::{BackplaneType, WseClusterSpec};
use crate::tier::Tier;

/// One thing that holds or does not, with its reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// Of what.
    pub r#type: ConditionType,
    /// Whether it holds. For every type that is the good state.
    pub holds: bool,
    /// One word for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConditionType {
    /// Every pod reaches what the pods share. Left out where they share nothing.
    BackplaneReachable,
    /// There are as many pods as wanted, and they take clients.
    Ready,
    /// No pod comes or goes.
    Settled,
    /// The number of pods fits the tier.
    Sized,
}

impl ConditionType {
    /// As in a status.
    pub fn name(self) -> &'static str {
        match self {
            Self::BackplaneReachable => "BackplaneReachable",
            Self::Ready => "Ready",
            Self::Settled => "Settled",
            Self::Sized => "Sized",
        }
    }
}

pub(super) fn tell(
    spec: &WseClusterSpec,
    tier: Tier,
    observation: &Observation,
    fleet: &Fleet,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if spec.backplane.r#type == BackplaneType::Redis {
        conditions.push(backplane_reachable(observation));
    }
    conditions.push(ready(spec.scaling.replicas, observation));
    conditions.push(settled(spec.scaling.replicas, &fleet.progress));
    conditions.push(sized(spec, tier));
    conditions
}

fn backplane_reachable(observation: &Observation) -> Condition {
    // A pod that starts has not reached it yet, which is nothing to be told of.
    let ready = observation.pods.iter();
    let ready = ready.filter(|pod| pod.state == PodState::Ready);
    let loads: Vec<_> = ready.filter_map(|pod| pod.load).collect();
    let away = loads.iter().filter(|load| load.degraded).count();
    let (holds, reason, message) = match (away, loads.len()) {
        (_, 0) => (false, "Unknown", "no pod has answered yet".into()),
        (0, all) => (
            true,
            "Connected",
            format!("{all} of {all} pods reach Redis"),
        ),
        (away, all) => {
            let message = format!("{away} of {all} pods cannot reach Redis; publishes wait");
            (false, "RedisAway", message)
        }
    };
    condition(ConditionType::BackplaneReachable, holds, reason, message)
}

fn ready(replicas: u32, observation: &Observation) -> Condition {
    let pods = observation.pods.iter();
    let ready = pods.filter(|pod| pod.serves()).count();
    let message = format!("{ready} pods take clients, wanted: {replicas}");
    let holds = ready >= replicas as usize;
    let reason = if holds { "FleetReady" } else { "PodsNotReady" };
    condition(ConditionType::Ready, holds, reason, message)
}

fn settled(replicas: u32, progress: &Progress) -> Condition {
    let (reason, message) = match progress {
        Progress::Grow => ("Growing", "pods are starting".into()),
        Progress::Hold(why) => (
            "ScaleInHeld",
            format!("there are more pods than wanted, but {why}"),
        ),
        Progress::Roll { ready, old, once } => {
            let cost = match once {
                true => "each client moves once",
                false => "clients may move more than once",
            };
            let message = format!(
                "new pods replace old ones, {cost}; new pods that take clients: {ready} of {replicas}, old pods left: {old}"
            );
            ("RollingOut", message)
        }
        Progress::ScaleIn { pod } => ("ScalingIn", format!("{pod} is being emptied")),
        Progress::Stable => ("Stable", "no pod comes or goes".into()),
    };
    let holds = *progress == Progress::Stable;
    condition(ConditionType::Settled, holds, reason, message)
}

fn sized(spec: &WseClusterSpec, tier: Tier) -> Condition {
    let figures = tier.figures();
    let (replicas, floor) = (spec.scaling.replicas, figures.replica_floor);
    let carries = u64::from(replicas) * u64::from(figures.connections_per_pod);
    let expected = spec.capacity.expected_connections.unwrap_or_default();
    let (holds, reason, message) = if replicas < floor {
        let message = format!("tier {tier} needs at least {floor} pods, not {replicas}");
        (false, "BelowTier", message)
    } else if carries < expected.into() {
        let message =
            format!("there is room for {carries} connections, and {expected} are expected");
        (false, "BelowExpectation", message)
    } else {
        let message = format!("tier {tier}, with room for {carries} connections");
        (true, "CoversTier", message)
    };
    condition(ConditionType::Sized, holds, reason, message)
}

fn condition(
    r#type: ConditionType,
    holds: bool,
    reason: &'static str,
    message: String,
) -> Condition {
    Condition {
        r#type,
        holds,
        reason,
        message,
    }
}
