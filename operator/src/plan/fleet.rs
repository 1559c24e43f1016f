//! How many pods of which revision, and which of them are drained.

use std::cmp::Reverse;
use std::time::Duration;

use super::rollout::{Rollout, split};
use super::{Action, Observation, Pod, PodState, Revision, Serves, moves, pace};

/// While something is under way.
const BUSY: Duration = Duration::from_secs(1);
/// While nothing is: what no event tells is seen this late.
const IDLE: Duration = Duration::from_secs(10);

/// What the spec asks for.
pub(super) struct Wanted<'a> {
    pub(super) revision: &'a str,
    pub(super) replicas: u32,
    pub(super) surge: u32,
    /// Clients that pods which drain together may have.
    pub(super) room: u64,
    /// Clients that one pod can carry.
    pub(super) capacity: u64,
}

/// What was decided, and what stands in its way.
pub(super) struct Fleet {
    pub(super) revisions: Vec<Revision>,
    pub(super) actions: Vec<Action>,
    pub(super) progress: Progress,
    pub(super) serves: Serves,
    pub(super) moves: u64,
    pub(super) wake_after: Duration,
}

/// What the fleet is doing, for people.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// Pods are missing or not ready yet.
    Grow,
    /// There are too many pods, and none may go yet.
    Hold(&'static str),
    /// Old pods leave for new ones.
    Roll {
        /// New ones that take clients.
        ready: usize,
        /// Old ones that are still there.
        old: usize,
        /// Whether each client moves only once.
        once: bool,
    },
    /// There are too many pods, and this one is being emptied.
    ScaleIn { pod: String },
    /// Nothing to do.
    Stable,
}

pub(super) fn decide(wanted: &Wanted<'_>, observation: &Observation, hold: Duration) -> Fleet {
    let mut fleet = step(wanted, &observation.pods, observation.serves.as_ref(), hold);
    if matches!(fleet.progress, Progress::Roll { .. }) {
        fleet.moves = moves::expect(wanted, observation);
    }
    fleet
}

/// One pass, without a look ahead.
pub(super) fn step(
    wanted: &Wanted<'_>,
    pods: &[Pod],
    selected: Option<&Serves>,
    hold: Duration,
) -> Fleet {
    let replicas = wanted.replicas;
    let (current, old) = split(pods, wanted.revision);
    let mut actions = Vec::new();
    let undrained = undrain(&current, replicas, &mut actions);
    let rollout = Rollout {
        wanted: wanted.revision,
        replicas: replicas as usize,
        surge: wanted.surge as usize,
        selected,
        current,
        old,
    };
    let leaving = pace::admit(rollout.leaving(), &rollout.old, wanted.room);
    let current = &rollout.current;
    let progress = if !rollout.old.is_empty() {
        let up = leaving.iter().filter(|pod| pod.state != PodState::Down);
        actions.extend(up.map(|pod| drain(pod)));
        actions.extend(rollout.returning().into_iter().map(undrain_one));
        Progress::Roll {
            ready: rollout.ready(),
            old: rollout.old.len(),
            once: rollout.is_whole(),
        }
    } else if current.len() as u32 > replicas {
        scale_in(current, wanted.capacity, hold, &mut actions)
    } else if rollout.ready() < replicas as usize || undrained {
        Progress::Grow
    } else {
        Progress::Stable
    };

    // A pod whose drain is taken back is not ready yet, and would be the one to go.
    let goes = if undrained {
        0
    } else {
        removable(current, replicas)
    };
    let mut revisions = vec![Revision {
        id: wanted.revision.to_owned(),
        replicas: rollout.grown() as u32 - goes,
    }];
    revisions.extend(rollout.kept(&leaving));
    let wake_after = match progress {
        Progress::Stable => IDLE,
        Progress::Hold(_) => hold.clamp(BUSY, IDLE),
        _ => BUSY,
    };
    Fleet {
        revisions,
        actions,
        progress,
        serves: rollout.serves(&leaving),
        moves: 0,
        wake_after,
    }
}

/// Takes drains back while pods are missing: a pod that is still there is worth more than one that
/// must start. The fullest come first, because most clients are spared.
fn undrain(current: &[&Pod], replicas: u32, actions: &mut Vec<Action>) -> bool {
    let (mut drains, stays): (Vec<&&Pod>, Vec<&&Pod>) =
        current.iter().partition(|pod| pod.asked_to_drain);
    let missing = (replicas as usize).saturating_sub(stays.len());
    drains.sort_by_key(|pod| (Reverse(pod.load.map(|load| load.sessions)), &pod.name));
    let back = drains.iter().take(missing);
    actions.extend(back.map(|pod| undrain_one(pod)));
    missing > 0 && !drains.is_empty()
}

/// Drains at most one pod: the one with the fewest sessions, and only when all is known and well.
fn scale_in(
    current: &[&Pod],
    capacity: u64,
    hold: Duration,
    actions: &mut Vec<Action>,
) -> Progress {
    if let Some(pod) = current.iter().find(|pod| pod.asked_to_drain) {
        return Progress::ScaleIn {
            pod: pod.name.clone(),
        };
    }
    if current.iter().any(|pod| pod.state == PodState::Down) {
        return Progress::Hold("a pod that is down goes first, without a drain");
    }
    if !hold.is_zero() {
        return Progress::Hold("the fleet has not been at rest for long enough");
    }
    if current.iter().any(|pod| pod.known().is_none()) {
        return Progress::Hold("a pod does not say what it carries");
    }
    if current.iter().any(|pod| !pod.serves()) {
        return Progress::Hold("a pod is not ready");
    }
    let sessions = current.iter().filter_map(|pod| pod.sessions());
    let sessions = sessions.map(u64::from).sum::<u64>();
    if sessions > capacity * (current.len() as u64 - 1) {
        return Progress::Hold("the others have no room for its clients");
    }
    let fewest = current.iter().min_by_key(|pod| {
        // Among equals the last name goes, so that the first ones stay.
        (pod.load.map(|load| load.sessions), Reverse(&pod.name))
    });
    let Some(victim) = fewest else {
        unreachable!("there are more than `replicas` pods, which is at least 1")
    };
    actions.push(drain(victim));
    Progress::ScaleIn {
        pod: victim.name.clone(),
    }
}

/// One pod a pass may go, and only when all others are ready or empty too: whoever removes pods by
/// count takes those that are not ready first, so that it cannot be one with clients.
fn removable(current: &[&Pod], replicas: u32) -> u32 {
    let too_many = current.len() as u32 > replicas;
    let goes = current.iter().any(|pod| pod.is_empty());
    let others_well = current.iter().all(|pod| pod.is_empty() || pod.serves());
    u32::from(too_many && goes && others_well)
}

fn undrain_one(pod: &Pod) -> Action {
    Action::Undrain {
        pod: pod.name.clone(),
    }
}

fn drain(pod: &Pod) -> Action {
    Action::Drain {
        pod: pod.name.clone(),
    }
}
