//! How many pods there should be, and why.
//!
//! In the modes `Fixed` and `External` the spec says so. In `Autoscale` each dimension asks for as many
//! pods as keep it at the target; the largest wins. As in Kubernetes' own autoscaler, a load near the
//! target changes nothing, more pods come at once and in bounded steps, fewer only after a window in
//! which fewer would always have done, and what is not known never takes a pod away.

use std::time::{Duration, SystemTime};

use wse_sidecar::config::Config;

use super::Observation;
use super::demand::{self, Demand, Dimension};
use super::history::History;
use crate::api::{Autoscale, Scaling, ScalingMode, WseClusterSpec};
use crate::tier::Tier;

/// How full the fullest pod may be before another one comes, in percent of what it has.
const WORST_PERCENT: u64 = 90;

/// The number of pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) replicas: u32,
    /// With how many the fleet counts as ready. More may be on their way.
    pub(super) enough: u32,
    /// What one pod can carry.
    pub(super) connections_per_pod: u64,
    /// None: the spec says it.
    pub(super) choice: Option<Choice>,
}

/// How the number came about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// How many the load asks for, whatever bounds there are.
    pub(super) asked: u32,
    pub(super) reason: Reason,
    pub(super) bound: Bound,
    /// What holds pods that the load does not ask for.
    pub(super) hold: Option<Hold>,
}

/// What asks for the number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// Not more than the least.
    Floor,
    /// So many remain when one is lost.
    Headroom,
    Load(Dimension),
    /// One pod is full although the others are not.
    Worst(Dimension),
}

/// What stands against it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound {
    /// `maxReplicas`.
    Most,
    Nothing,
    /// So many pods are added within a period.
    Pace,
}

/// Why pods that seem too many stay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hold {
    /// So many of all pods do not say what they carry.
    Silent { silent: usize, all: usize },
    /// More were needed within the window.
    Window { seconds: u32 },
    /// The operator has just begun to look.
    Young { seconds: u32 },
}

/// What the number is chosen from.
#[derive(Clone, Copy)]
pub(super) struct Basis<'a> {
    pub(super) spec: &'a WseClusterSpec,
    pub(super) tier: Tier,
    pub(super) config: &'a Config,
    pub(super) observation: &'a Observation,
    /// How long the fleet has been watched.
    pub(super) age: Duration,
    /// Whether rebalancing brings a full pod's clients to others.
    pub(super) spreads: bool,
}

pub(super) fn decide(basis: Basis<'_>, history: &mut History, now: SystemTime) -> Size {
    let scaling = &basis.spec.scaling;
    let connections_per_pod = demand::connections(basis.tier, basis.config, basis.observation);
    if scaling.mode != ScalingMode::Autoscale {
        let replicas = scaling.replicas.unwrap_or(1);
        return Size {
            replicas,
            enough: replicas,
            connections_per_pod,
            choice: None,
        };
    }
    let default = Autoscale::default();
    let rules = scaling.autoscale.as_ref().unwrap_or(&default);
    let bounds = Bounds::new(scaling, basis.tier);
    let current = basis
        .observation
        .desired
        .map(|desired| bounds.clamp(desired));
    let (asked, reason) = ask(basis, rules, bounds, current);
    let wanted = bounds.clamp(asked);
    let (replicas, pace, hold) = match current {
        None => (wanted, false, None),
        Some(current) => steady(basis, rules, current, wanted, history, now),
    };
    let bound = match (asked > bounds.most, pace) {
        (true, _) => Bound::Most,
        (_, true) => Bound::Pace,
        _ => Bound::Nothing,
    };
    Size {
        replicas,
        enough: bounds.least,
        connections_per_pod,
        choice: Some(Choice {
            asked,
            reason,
            bound,
            hold,
        }),
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    least: u32,
    most: u32,
}

impl Bounds {
    fn new(scaling: &Scaling, tier: Tier) -> Self {
        let most = scaling.most();
        let least = scaling.min_replicas.unwrap_or(1);
        let least = least.max(tier.figures().replica_floor).min(most);
        Self { least, most }
    }

    fn clamp(self, replicas: u32) -> u32 {
        replicas.clamp(self.least, self.most)
    }
}

/// How many pods the load asks for, without an upper bound.
fn ask(basis: Basis<'_>, rules: &Autoscale, bounds: Bounds, current: Option<u32>) -> (u32, Reason) {
    let demands = demand::of(basis.spec, basis.tier, basis.config, basis.observation);
    let mut most = (bounds.least, Reason::Floor);
    let mut more = |replicas: u32, reason| {
        if replicas > most.0 {
            most = (replicas, reason);
        }
    };
    let dimensions = demands.iter().map(|demand| {
        let replicas = for_load(demand, rules, current);
        (replicas, demand)
    });
    let asked: Vec<(u32, &Demand)> = dimensions.collect();
    for (replicas, demand) in &asked {
        more(*replicas, Reason::Load(demand.dimension));
    }
    // Where one pod is enough nobody pays for a second one to lose.
    if let [connections, ..] = demands.as_slice()
        && (bounds.least > 1 || asked.iter().any(|(replicas, _)| *replicas > 1))
        && connections.used > 0
    {
        let survivors = pods(connections.used, connections.capacity);
        more(survivors.saturating_add(1), Reason::Headroom);
    }
    // Where nobody spreads clients, a new pod at least takes those that come next. One is enough: the
    // mean says that there is room. Near the target the load asks for what there is, so that one
    // more than it asks for would be one more again with each look: it is counted from the exact number.
    let full = |demand: &&Demand| demand.worst * 100 > demand.capacity * WORST_PERCENT;
    let mean = asked.iter().map(|(replicas, _)| *replicas).max();
    let mean = mean.unwrap_or_default().max(bounds.least);
    if let Some(demand) = demands.iter().find(full)
        && !basis.spreads
        && current.is_some_and(|current| mean <= current)
    {
        let exact = demands.iter().map(|demand| exact(demand, rules)).max();
        let exact = exact.unwrap_or_default().max(bounds.least);
        more(mean.min(exact) + 1, Reason::Worst(demand.dimension));
    }
    most
}

/// How many pods keep a dimension at the target; as many as there are when it is near it.
fn for_load(demand: &Demand, rules: &Autoscale, current: Option<u32>) -> u32 {
    let Some(current) = current else {
        return exact(demand, rules);
    };
    // In percent of what `current` pods carry at the target.
    let at_target = at_target(demand, rules).saturating_mul(current.into());
    let ratio = demand.used.saturating_mul(10_000) / at_target.max(1);
    let above = u64::from(100 + rules.scale_up.tolerance_percent);
    let below = u64::from(100 - rules.scale_down.tolerance_percent.min(100));
    if (below..=above).contains(&ratio) {
        current
    } else {
        exact(demand, rules)
    }
}

/// How many pods a dimension fills to the target.
fn exact(demand: &Demand, rules: &Autoscale) -> u32 {
    pods(demand.used.saturating_mul(100), at_target(demand, rules))
}

/// A hundred times what one pod carries at the target.
fn at_target(demand: &Demand, rules: &Autoscale) -> u64 {
    demand.capacity * u64::from(rules.target_utilization_percent)
}

fn pods(used: u64, each: u64) -> u32 {
    u32::try_from(used.div_ceil(each.max(1))).unwrap_or(u32::MAX)
}

/// From `current` towards `wanted`: up in steps, down after a window. Also whether a step was cut
/// short, and what holds pods.
fn steady(
    basis: Basis<'_>,
    rules: &Autoscale,
    current: u32,
    wanted: u32,
    history: &mut History,
    now: SystemTime,
) -> (u32, bool, Option<Hold>) {
    let (up, down) = (&rules.scale_up, &rules.scale_down);
    let (up_window, down_window) = (
        seconds(up.stabilization_window_seconds),
        seconds(down.stabilization_window_seconds),
    );
    if !up_window.is_zero() {
        history.begin(now, current);
    }
    let (silent, all) = demand::silent(basis.observation);
    let unknown = silent > 0 || all == 0;
    // What is not known may have been as much as there is room for.
    let noted = if unknown { wanted.max(current) } else { wanted };
    let (lowest, highest) = history.note(now, noted, up_window, down_window);
    if wanted > current {
        let period = seconds(up.period_seconds);
        let grown = history.grown(now, period);
        let before = current.saturating_sub(grown);
        let percent = u64::from(before) * u64::from(up.max_percent) / 100;
        let step = up.max_pods.max(u32::try_from(percent).unwrap_or(u32::MAX));
        // Never less than there are, and never more than the load has asked for all the time.
        let most = before.saturating_add(step).max(current);
        let replicas = lowest.max(current).min(most);
        if replicas > current {
            history.grow(now, replicas - current);
        }
        return (replicas, replicas < wanted, None);
    }
    // Where nothing would change, a pod that is only starting is nothing to be told of.
    let serve = basis.observation.pods.iter().filter(|pod| pod.serves());
    let mute = serve.filter(|pod| pod.known().is_none()).count();
    if wanted < current && unknown || mute > 0 {
        return (current, false, Some(Hold::Silent { silent, all }));
    }
    if wanted == current {
        return (current, false, None);
    }
    if basis.age < down_window {
        let seconds = down.stabilization_window_seconds;
        return (current, false, Some(Hold::Young { seconds }));
    }
    let replicas = highest.min(current);
    let hold = (replicas > wanted).then_some(Hold::Window {
        seconds: down.stabilization_window_seconds,
    });
    (replicas, false, hold)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
