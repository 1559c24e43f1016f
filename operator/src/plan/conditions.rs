//! What to tell people about a fleet.

use super::balance::Verdict;
use super::fleet::{Fleet, Progress};
use super::size::{Bound, Choice, Hold, Reason, Size};
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
    /// Clients are spread evenly over the pods.
    Balanced,
    /// New pods get every kernel setting that is wanted. Left out where pods have none of their own.
    KernelTuned,
    /// There are enough pods, and they take clients.
    Ready,
    /// The operator can choose the number of pods by their load. Left out where the spec says it.
    ScalingActive,
    /// No pod comes or goes.
    Settled,
    /// The number of pods fits the tier and the load.
    Sized,
}

impl ConditionType {
    /// As in a status.
    pub fn name(self) -> &'static str {
        match self {
            Self::BackplaneReachable => "BackplaneReachable",
            Self::Balanced => "Balanced",
            Self::KernelTuned => "KernelTuned",
            Self::Ready => "Ready",
            Self::ScalingActive => "ScalingActive",
            Self::Settled => "Settled",
            Self::Sized => "Sized",
        }
    }
}

/// What there is to tell.
pub(super) struct Story<'a> {
    pub(super) spec: &'a WseClusterSpec,
    pub(super) tier: Tier,
    pub(super) observation: &'a Observation,
    pub(super) fleet: &'a Fleet,
    pub(super) size: &'a Size,
    pub(super) balance: Verdict,
}

/// No text has a number in it that changes from pass to pass: each change is a write.
pub(super) fn tell(story: &Story<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if story.spec.backplane.r#type == BackplaneType::Redis {
        conditions.push(backplane_reachable(story.observation));
    }
    conditions.push(balanced(story.balance));
    conditions.push(ready(story.size, story.observation));
    if let Some(choice) = &story.size.choice {
        conditions.push(scaling_active(story.size, choice));
    }
    conditions.push(settled(story.size.replicas, &story.fleet.progress));
    conditions.push(sized(story));
    conditions
}

fn balanced(verdict: Verdict) -> Condition {
    let (holds, reason, message) = match verdict {
        Verdict::Even => (true, "Even", "clients are spread evenly over the pods"),
        Verdict::Later => (
            true,
            "NotJudged",
            "not judged while pods come or go, or do not say what they carry",
        ),
        Verdict::Off => (
            false,
            "RebalanceNever",
            "some pods have many more clients than others; `drain.rebalance: OnImbalance` spreads them",
        ),
        Verdict::Shedding => (
            false,
            "Rebalancing",
            "clients of fuller pods are asked, a few at a time, to find others",
        ),
        Verdict::Stuck => (
            false,
            "ClientsReturn",
            "clients who were asked to leave fuller pods came back to them; look for what holds clients to a pod, such as a load balancer with session affinity",
        ),
    };
    condition(ConditionType::Balanced, holds, reason, message.into())
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

fn ready(size: &Size, observation: &Observation) -> Condition {
    let pods = observation.pods.iter();
    let ready = pods.filter(|pod| pod.serves()).count();
    let wanted = match size.replicas {
        replicas if replicas == size.enough => replicas.to_string(),
        replicas => format!("{replicas}, at least {}", size.enough),
    };
    let message = format!("{ready} pods take clients, wanted: {wanted}");
    let holds = ready >= size.enough as usize;
    let reason = if holds { "FleetReady" } else { "PodsNotReady" };
    condition(ConditionType::Ready, holds, reason, message)
}

fn scaling_active(size: &Size, choice: &Choice) -> Condition {
    let (replicas, asked) = (size.replicas, choice.asked);
    let why = match choice.reason {
        Reason::Floor => "no load asks for more than the least number of pods".into(),
        Reason::Headroom => {
            format!("{asked} pods can lose one and still carry all connections")
        }
        Reason::Load(dimension) => format!(
            "the load asks for {asked} pods, by its {}",
            dimension.name()
        ),
        Reason::Worst(dimension) => format!(
            "one pod is nearly full by its {}, which asks for {asked} pods",
            dimension.name()
        ),
    };
    let (holds, reason, message) = match choice.hold {
        None => (true, "LoadMeasured", why),
        Some(Hold::Silent { silent, all }) => (
            false,
            "LoadMissing",
            format!(
                "{silent} of {all} pods do not say what they carry, or what cannot be: until they do, none of {replicas} goes, and none comes for what they carry"
            ),
        ),
        Some(Hold::Window { seconds }) => (
            true,
            "ScaleInStabilizing",
            format!("{why}; {replicas} stay until fewer have been enough for {seconds} s"),
        ),
        Some(Hold::Young { seconds }) => (
            true,
            "ScaleInStabilizing",
            format!("{why}; {replicas} stay until the operator has looked on for {seconds} s"),
        ),
    };
    condition(ConditionType::ScalingActive, holds, reason, message)
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

fn sized(story: &Story<'_>) -> Condition {
    let tier = story.tier;
    let (replicas, floor) = (story.size.replicas, tier.figures().replica_floor);
    let carries = u64::from(replicas) * story.size.connections_per_pod;
    let expected = story.spec.capacity.expected_connections.unwrap_or_default();
    let bound = story.size.choice.map(|choice| (choice.bound, choice.asked));
    let (holds, reason, message) = match bound {
        Some((Bound::Most, asked)) => {
            let message = format!(
                "{asked} pods are asked for, and `scaling.maxReplicas` allows {replicas}: raise it"
            );
            (false, "AtMaxReplicas", message)
        }
        Some((Bound::Pace, asked)) => {
            let message = format!(
                "{asked} pods are asked for; as many at once as `scaling.autoscale.scaleUp` allows, {replicas} by now"
            );
            (false, "GrowthPaced", message)
        }
        _ if replicas < floor => {
            let message = format!("tier {tier} needs at least {floor} pods, not {replicas}");
            (false, "BelowTier", message)
        }
        // Who scales by load adds pods when the expected come.
        None if carries < expected.into() => {
            let message =
                format!("there is room for {carries} connections, and {expected} are expected");
            (false, "BelowExpectation", message)
        }
        _ => {
            let message = format!("tier {tier}, with room for {carries} connections");
            (true, "CoversTier", message)
        }
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
