//! The decision: `(spec, observation, memory, now) -> (Plan, memory)`. In come what a person wants
//! and what is; out go the revisions that should exist with their counts and configuration, the steps
//! to take now, and what to tell the person. Pure: the same input gives the same output, and nothing
//! is remembered but [`Memory`]. It knows no Kubernetes object and no process: pods are named, and
//! whoever carries the plan out knows what a pod is there.
//!
//! Every pass decides from scratch. What a pass began and a later one must know (a drain that was
//! asked for) is recorded beside the pod by whoever carries the plan out, and comes back in the
//! [`Observation`].

mod balance;
mod change;
mod conditions;
mod configuration;
mod demand;
mod fleet;
mod history;
mod kernel;
mod memory;
mod moves;
mod pace;
mod pods;
mod revision;
mod rollout;
mod size;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use wse_sidecar::config::Config;

use crate::api::{TierChoice, WseClusterSpec};
use crate::tier::{self, Tier};

pub use self::change::{Change, Warning};
pub use self::conditions::{Condition, ConditionType};
pub use self::configuration::digest;
pub use self::kernel::{
    Astray, Kernel, Outcome, Preflight, Refused, Rejected, Step, Trial, Tuning,
};
pub use self::memory::Memory;

/// How long an empty memory holds scale-in: whoever has just started has not seen enough to send
/// anybody's clients away.
pub const SCALE_IN_WINDOW: Duration = Duration::from_secs(15);

/// Which fleet, and what it should be.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `<namespace>/<name>`.
    pub cluster: &'a str,
    /// What the person wants.
    pub spec: &'a WseClusterSpec,
    /// Folder under which a pod finds the entry `key` of the Secret `name` as the file `name/key`.
    pub secrets: &'a Path,
    /// File in which a pod finds the token of its admin port.
    pub admin_token: &'a Path,
    /// The gateway's image where the spec names none and none was allocated yet.
    pub default_image: &'a str,
}

/// What is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Every pod of the fleet.
    pub pods: Vec<Pod>,
    /// The pods that new clients are sent to now. None: not known, or nothing sends them yet.
    #[serde(default)]
    pub serves: Option<Serves>,
    /// What earlier passes chose for the spec. None: nothing yet.
    #[serde(default)]
    pub allocated: Option<Allocated>,
    /// How many pods earlier passes wanted. None: none did.
    #[serde(default)]
    pub desired: Option<u32>,
    /// The [`digest`] of the configuration that pods were told last. None: they were told none.
    #[serde(default)]
    pub config: Option<String>,
    /// What is known of kernel settings. None: pods have none of their own.
    #[serde(default)]
    pub kernel: Option<Kernel>,
}

/// What an earlier pass chose, and later ones keep.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Allocated {
    /// The image of the wanted revision.
    pub image: String,
    /// The wanted revision's [`Revision::id`].
    pub revision: String,
}

/// The pods that new clients are sent to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum Serves {
    /// Those of every revision.
    All,
    /// Those of one revision.
    Revision(String),
}

/// One pod, as it was seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pod {
    /// Its name, unique in the fleet.
    pub name: String,
    /// The [`Revision::id`] that it was made from.
    #[serde(default)]
    pub revision: String,
    /// How far it is.
    pub state: PodState,
    /// Whether a plan asked it to drain, and none has taken that back.
    #[serde(default)]
    pub asked_to_drain: bool,
    /// What it answered. None: it did not.
    pub load: Option<Load>,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum PodState {
    /// Its process is not there, so neither is a session.
    Down,
    /// It was told to end, and is no longer counted.
    Leave,
    /// It takes clients.
    Ready,
    /// Its process is there but takes no clients: it is starting, or drains.
    Unready,
}

/// What a pod says of itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Load {
    /// Sessions in it.
    pub sessions: u32,
    /// Sessions that fit: what is configured, or what its limit of open files leaves. None: not known.
    pub capacity: Option<u32>,
    /// Messages from and to clients, recently.
    pub messages_per_second: u64,
    /// Bytes from and to clients, recently.
    pub bytes_per_second: u64,
    /// Thousandths of a processor in use, recently.
    pub cpu_millicores: u64,
    /// Memory in use. None: not known.
    pub memory_bytes: Option<u64>,
    /// What it may use. None: as much as there is.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes that wait for clients who read slowly.
    pub outbound_queued_bytes: u64,
    /// Subscribers, in it, of the topic that has most of them.
    pub largest_topic: u32,
    /// Whether it refuses new clients because it drains.
    pub refuses: bool,
    /// Whether it cannot reach the backplane.
    pub degraded: bool,
}

/// What should be, and what to do about it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The load tier that the fleet is sized for.
    pub tier: Tier,
    /// The pods that should exist, by revision; the first is the wanted one.
    pub revisions: Vec<Revision>,
    /// The pods that new clients should be sent to.
    pub serves: Serves,
    /// The image of the wanted revision.
    pub image: String,
    /// How many pods there should be once what is under way has ended.
    pub desired: u32,
    /// What the spec's newest edit does to clients.
    pub change: Change,
    /// What a pod asks of its node.
    pub resources: tier::Resources,
    /// Kernel settings of new pods.
    pub tuning: Tuning,
    /// How often clients will have to move until only the wanted revision is left, as expected: those
    /// of pods that drain spread evenly over the others. 0 when nothing is replaced.
    pub moves: u64,
    /// What every pod should be told. A pod takes all of it while it runs, except what is part of
    /// its revision: a difference there makes another revision.
    pub config: Config,
    /// Steps to take now.
    pub actions: Vec<Action>,
    /// What to tell people.
    pub conditions: Vec<Condition>,
    /// What may surprise people, told once for each edit.
    pub warnings: Vec<Warning>,
    /// When to look again, at the latest.
    pub wake_after: Duration,
}

/// Pods that are made alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revision {
    /// Says what its processes were started with; the same in every release.
    pub id: String,
    /// How many there should be. When there are more, those that are down or emptied go.
    pub replicas: u32,
}

/// A step to take now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Ask the pod to empty itself, and record that it was asked.
    Drain {
        /// Its name.
        pod: String,
    },
    /// Ask some of its clients to find another pod. It takes new ones as before.
    Shed {
        /// Its name.
        pod: String,
        /// How many are asked.
        sessions: u32,
    },
    /// Take a drain back.
    Undrain {
        /// Its name.
        pod: String,
    },
}

/// Over how many seconds an [`Action::Shed`] asks.
pub const SHED_WINDOW_SECONDS: u32 = 10;

/// Decides.
pub fn plan(
    subject: &Subject<'_>,
    observation: &Observation,
    memory: &Memory,
    now: SystemTime,
) -> (Plan, Memory) {
    let spec = subject.spec;
    let mut memory = memory.clone();
    let age = memory.age(now);
    let tier = choose_tier(spec, observation, memory.tier);
    memory.tier = Some(tier);
    let config = configuration::render(subject, tier);
    let basis = size::Basis {
        spec,
        tier,
        config: &config,
        observation,
        age,
    };
    let size = size::decide(basis, &mut memory.history, now);

    let kernel = kernel::decide(&kernel::Question {
        spec,
        tier,
        known: observation.kernel.as_ref(),
        image: revision::image(subject, observation.allocated.as_ref()),
    });
    let made_of = &kernel.made_of;
    let (wanted, image) = revision::choose(subject, made_of, observation.allocated.as_ref());
    let wanted = fleet::Wanted {
        revision: &wanted,
        replicas: size.replicas,
        surge: spec.rollout.surge_of(size.replicas),
        room: pace::room(&config, spec.drain.reconnects_per_second),
        capacity: size.connections_per_pod,
    };
    let watched = SCALE_IN_WINDOW.saturating_sub(age);
    let hold = watched.max(memory.balance.busy(now));
    let mut fleet = fleet::decide(&wanted, observation, hold);
    let balance = balance::decide(spec, &fleet, observation, watched, &mut memory.balance, now);
    fleet.actions.extend(balance.actions);
    let mut conditions = conditions::tell(&conditions::Story {
        spec,
        tier,
        observation,
        fleet: &fleet,
        size: &size,
        balance: balance.verdict,
    });
    conditions.extend(kernel.condition);
    let plan = Plan {
        tier,
        desired: size.replicas,
        change: change::of(observation, &fleet, &config),
        resources: tier.figures().resources(),
        tuning: kernel.tuning,
        revisions: fleet.revisions,
        serves: fleet.serves,
        image,
        moves: fleet.moves,
        actions: fleet.actions,
        conditions,
        warnings: change::warnings(&config),
        config,
        wake_after: fleet.wake_after,
    };
    (plan, memory)
}

fn choose_tier(spec: &WseClusterSpec, observation: &Observation, previous: Option<Tier>) -> Tier {
    match spec.capacity.tier {
        TierChoice::Auto => {
            let known = || observation.pods.iter().filter_map(Pod::known);
            let expected = spec.capacity.expected_connections.unwrap_or_default();
            let connections = known().map(|load| u64::from(load.sessions)).sum::<u64>();
            let load = tier::Load {
                connections: connections.max(expected.into()),
                // At most: each pod's largest topic may be another one.
                largest_topic: known().map(|load| u64::from(load.largest_topic)).sum(),
            };
            let tier = Tier::classify(load, previous);
            // A pod that does not say what it carries may carry what made it the higher one.
            let (silent, _) = demand::silent(observation);
            previous
                .filter(|_| silent > 0)
                .map_or(tier, |it| tier.max(it))
        }
        TierChoice::Extreme => Tier::Extreme,
        TierChoice::High => Tier::High,
        TierChoice::Light => Tier::Light,
        TierChoice::Low => Tier::Low,
        TierChoice::Maximum => Tier::Maximum,
        TierChoice::Medium => Tier::Medium,
        TierChoice::Minimal => Tier::Minimal,
        TierChoice::VeryHigh => Tier::VeryHigh,
    }
}
