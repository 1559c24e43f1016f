//! How many pods of which revision, and which of them are drained.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Action, Observation, Pod, PodState, Revision, Serves};

/// While something is under way.
const BUSY: Duration = Duration::from_secs(1);
/// While nothing is: what no event tells is seen this late.
const IDLE: Duration = Duration::from_secs(10);

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
    /// Old pods leave for new ones; this many of their sessions move.
    Roll { sessions: u32 },
    /// There are too many pods, and this one is being emptied.
    ScaleIn { pod: String },
    /// Nothing to do.
    Stable,
}

pub(super) fn decide(
    wanted: &str,
    replicas: u32,
    observation: &Observation,
    hold: Duration,
) -> Fleet {
    let counted = observation
        .pods
        .iter()
        .filter(|pod| pod.state != PodState::Leave);
    let (current, old): (Vec<&Pod>, Vec<&Pod>) = counted.partition(|pod| pod.revision == wanted);
    let mut actions = Vec::new();

    let undrained = undrain(&current, replicas, &mut actions);
    let ready = current.iter().filter(|pod| serves(pod)).count() as u32;
    let progress = if !old.is_empty() {
        if ready >= replicas {
            let rest = old.iter().filter(|pod| drainable(pod));
            actions.extend(rest.map(|pod| drain(pod)));
        }
        let sessions = old
            .iter()
            .filter_map(|pod| pod.load)
            .map(|load| load.sessions);
        Progress::Roll {
            sessions: sessions.sum(),
        }
    } else if current.len() as u32 > replicas {
        scale_in(&current, replicas, hold, &mut actions)
    } else if ready < replicas || undrained {
        Progress::Grow
    } else {
        Progress::Stable
    };

    let mut revisions = vec![Revision {
        id: wanted.to_owned(),
        replicas: replicas.max(current.len() as u32 - removable(&current, replicas)),
    }];
    revisions.extend(keep_old(&old));
    let wake_after = match progress {
        Progress::Stable => IDLE,
        Progress::Hold(_) => hold.clamp(BUSY, IDLE),
        _ => BUSY,
    };
    Fleet {
        revisions,
        actions,
        progress,
        serves: Serves::All,
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
    actions.extend(back.map(|pod| Action::Undrain {
        pod: pod.name.clone(),
    }));
    missing > 0 && !drains.is_empty()
}

/// Drains at most one pod: the one with the fewest sessions, and only when all is known and well.
fn scale_in(
    current: &[&Pod],
    replicas: u32,
    hold: Duration,
    actions: &mut Vec<Action>,
) -> Progress {
    if let Some(pod) = current.iter().find(|pod| pod.asked_to_drain) {
        return Progress::ScaleIn {
            pod: pod.name.clone(),
        };
    }
    let up: Vec<&&Pod> = current
        .iter()
        .filter(|pod| pod.state != PodState::Down)
        .collect();
    if up.len() <= replicas as usize {
        return Progress::Hold("only pods that are down are too many; they go without a drain");
    }
    if !hold.is_zero() {
        return Progress::Hold("the fleet has not been watched for long enough");
    }
    if up.iter().any(|pod| pod.load.is_none()) {
        return Progress::Hold("a pod does not say what it carries");
    }
    if up.iter().any(|pod| !serves(pod)) {
        return Progress::Hold("a pod is not ready");
    }
    let fewest = up.iter().min_by_key(|pod| {
        // Among equals the last name goes, so that the first ones stay.
        (pod.load.map(|load| load.sessions), Reverse(&pod.name))
    });
    let Some(victim) = fewest else {
        unreachable!("more than `replicas` pods are up")
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
    let goes = current.iter().any(|pod| empty(pod));
    let others_well = current.iter().all(|pod| empty(pod) || serves(pod));
    u32::from(too_many && goes && others_well)
}

/// An old revision keeps its pods until the last is empty, for the same reason: they drain together,
/// so none of them is ready.
fn keep_old(old: &[&Pod]) -> Vec<Revision> {
    let mut ids: Vec<&str> = old.iter().map(|pod| pod.revision.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let keep = |id: &str| {
        let of_it = || old.iter().filter(|pod| pod.revision == id);
        let all_empty = of_it().all(|pod| empty(pod));
        if all_empty { 0 } else { of_it().count() as u32 }
    };
    ids.into_iter()
        .map(|id| Revision {
            id: id.to_owned(),
            replicas: keep(id),
        })
        .collect()
}

fn drain(pod: &Pod) -> Action {
    Action::Drain {
        pod: pod.name.clone(),
    }
}

fn drainable(pod: &Pod) -> bool {
    pod.state != PodState::Down && !pod.asked_to_drain
}

fn serves(pod: &Pod) -> bool {
    pod.state == PodState::Ready && !pod.asked_to_drain
}

/// Whether its going costs nobody anything. A pod that still accepts is not empty, whatever its
/// count.
fn empty(pod: &Pod) -> bool {
    let emptied = |load: super::Load| load.refuses && load.sessions == 0;
    pod.state == PodState::Down || (pod.asked_to_drain && pod.load.is_some_and(emptied))
}
