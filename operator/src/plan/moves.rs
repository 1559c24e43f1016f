//! What a rollout costs: how often clients will have to move until it ends.

use std::time::Duration;

use super::fleet::{Fleet, Wanted, step};
use super::{Action, Load, Observation, Pod, PodState, Serves};

/// The moves to expect, found by carrying out the rules themselves on a fleet in which all goes well:
/// pods that start are ready by the next pass, pods that drain are empty by then, and their clients
/// have spread evenly over the pods that serve.
pub(super) fn expect(wanted: &Wanted<'_>, observation: &Observation) -> u64 {
    let mut world = World::new(observation);
    let mut moves = 0;
    // Each pod takes a few passes to come or go; the bound is for a rule that would not end.
    let passes = 8 * (world.pods.len() + wanted.replicas as usize + 1);
    for _ in 0..passes {
        moves += world.pass_time();
        if world.pods.iter().all(|pod| pod.revision == wanted.revision) {
            break;
        }
        let fleet = step(wanted, &world.pods, world.serves.as_ref(), Duration::ZERO);
        world.carry_out(fleet);
    }
    moves
}

struct World {
    pods: Vec<Pod>,
    serves: Option<Serves>,
    made: usize,
}

impl World {
    fn new(observation: &Observation) -> Self {
        let counted = |pod: &&Pod| pod.state != PodState::Leave;
        let well = |pod: &Pod| Pod {
            load: Some(Load {
                sessions: pod.sessions().unwrap_or_default(),
                ..Load::default()
            }),
            ..pod.clone()
        };
        let pods = observation.pods.iter().filter(counted).map(well);
        Self {
            pods: pods.collect(),
            serves: observation.serves.clone(),
            made: 0,
        }
    }

    /// Makes pods ready, or empties them. Returns how many clients moved.
    fn pass_time(&mut self) -> u64 {
        let mut moved = 0;
        for pod in &mut self.pods {
            let load = pod.load.get_or_insert_default();
            load.refuses = pod.asked_to_drain;
            pod.state = PodState::Ready;
            if pod.asked_to_drain {
                pod.state = PodState::Unready;
                moved += u64::from(std::mem::take(&mut load.sessions));
            }
        }
        self.spread(moved);
        moved
    }

    fn spread(&mut self, sessions: u64) {
        let selected = |pod: &Pod| match &self.serves {
            Some(Serves::Revision(id)) => pod.revision == *id,
            Some(Serves::All) | None => true,
        };
        let takes = |pod: &&mut Pod| pod.serves() && selected(pod);
        let mut takers: Vec<&mut Pod> = self.pods.iter_mut().filter(takes).collect();
        let count = takers.len() as u64;
        for (index, pod) in (0..).zip(&mut takers) {
            let share = sessions / count + u64::from(index < sessions % count);
            let load = pod.load.get_or_insert_default();
            let sum = u64::from(load.sessions) + share;
            load.sessions = u32::try_from(sum).unwrap_or(u32::MAX);
        }
    }

    fn carry_out(&mut self, fleet: Fleet) {
        for action in &fleet.actions {
            let (Action::Drain { pod: name } | Action::Undrain { pod: name }) = action else {
                continue;
            };
            let of_it = |pod: &&mut Pod| pod.name == *name;
            if let Some(pod) = self.pods.iter_mut().find(of_it) {
                pod.asked_to_drain = matches!(action, Action::Drain { .. });
            }
        }
        for revision in &fleet.revisions {
            let of_it = |pod: &Pod| pod.revision == revision.id;
            let have = self.pods.iter().filter(|pod| of_it(pod)).count();
            let mut too_many = have.saturating_sub(revision.replicas as usize);
            self.pods.retain(|pod| {
                let goes = too_many > 0 && of_it(pod) && pod.is_empty();
                too_many -= usize::from(goes);
                !goes
            });
            for _ in have..revision.replicas as usize {
                self.made += 1;
                self.pods.push(Pod {
                    // No pod of Kubernetes or of this machine can be called so.
                    name: format!("+{}", self.made),
                    revision: revision.id.clone(),
                    state: PodState::Unready,
                    asked_to_drain: false,
                    load: None,
                });
            }
        }
        self.serves = Some(fleet.serves);
    }
}
