//! What the fleet carries beside what a pod can carry, in each dimension.

use wse_sidecar::config::Config;

use super::{Load, Observation, Pod, PodState, configuration};
use crate::api::WseClusterSpec;
use crate::capacity::{BYTES_PER_POD, MESSAGES_PER_MILLICORE};
use crate::tier::Tier;

/// What can be full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dimension {
    Bytes,
    Connections,
    Memory,
    Messages,
    Processor,
}

impl Dimension {
    /// In a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Messages => "messages",
            Self::Processor => "processor time",
        }
    }
}

/// What is used of a dimension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) dimension: Dimension,
    /// By all pods.
    pub(super) used: u64,
    /// By the pod that uses most of what it has.
    pub(super) worst: u64,
    /// What one pod has; at least 1.
    pub(super) capacity: u64,
}

/// All dimensions, as far as pods say what they carry. The first is connections.
pub(super) fn of(
    spec: &WseClusterSpec,
    tier: Tier,
    config: &Config,
    observation: &Observation,
) -> Vec<Demand> {
    let loads: Vec<&Load> = observation.pods.iter().filter_map(Pod::known).collect();
    let demand = |dimension, capacity: u64, used: fn(&Load) -> u64| {
        let used = || loads.iter().map(|load| used(load));
        Demand {
            dimension,
            used: used().fold(0, u64::saturating_add),
            worst: used().max().unwrap_or_default(),
            capacity: capacity.max(1),
        }
    };
    let cpu = u64::from(configuration::millicores(spec, tier));
    let mut all = vec![
        demand(
            Dimension::Connections,
            connections(tier, config, observation),
            |load| load.sessions.into(),
        ),
        demand(Dimension::Messages, cpu * MESSAGES_PER_MILLICORE, |load| {
            load.messages_per_second
        }),
        demand(Dimension::Bytes, BYTES_PER_POD, |load| {
            load.bytes_per_second
        }),
        demand(Dimension::Processor, cpu, |load| load.cpu_millicores),
    ];
    if let Some(limit) = loads
        .iter()
        .filter_map(|load| load.memory_limit_bytes)
        .min()
    {
        all.push(demand(Dimension::Memory, limit, |load| {
            load.memory_bytes.unwrap_or_default()
        }));
    }
    all
}

/// Connections that one pod can carry: what the tier's pods are made for, or what pods that are there
/// have room for if that is less, such as under a low limit of open files.
pub(super) fn connections(tier: Tier, config: &Config, observation: &Observation) -> u64 {
    let made_for = configuration::connections_per_pod(&config.limits, tier);
    let known = observation.pods.iter().filter_map(Pod::known);
    let least = known.filter_map(|load| load.capacity).min();
    least
        .map_or(made_for, |least| least.min(made_for))
        .max(1)
        .into()
}

/// Pods that are there and do not say what they carry, and all that are there.
pub(super) fn silent(observation: &Observation) -> (usize, usize) {
    let there = observation
        .pods
        .iter()
        .filter(|pod| !matches!(pod.state, PodState::Down | PodState::Leave));
    let (silent, told): (Vec<&Pod>, Vec<&Pod>) = there.partition(|pod| pod.known().is_none());
    (silent.len(), silent.len() + told.len())
}
