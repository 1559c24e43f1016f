//! Properties of any pass, and of fleets that passes are carried out on.

use proptest::prelude::*;

use super::*;

/// Pods as processes would be: they start, empty themselves when asked, and go by count.
#[derive(Clone, Debug, Default)]
struct World {
    pods: Vec<Pod>,
    made: u32,
}

impl World {
    fn carry_out(&mut self, plan: &Plan) {
        for action in &plan.actions {
            let (Action::Drain { pod: name } | Action::Undrain { pod: name }) = action;
            let pod = self.pods.iter_mut().find(|pod| pod.name == *name).unwrap();
            pod.asked_to_drain = matches!(action, Action::Drain { .. });
        }
        for revision in &plan.revisions {
            self.fit(revision);
        }
    }

    /// Like a ReplicaSet: makes what is missing, removes what is not ready before what is.
    fn fit(&mut self, revision: &Revision) {
        let have = self
            .pods
            .iter()
            .filter(|pod| pod.revision == revision.id)
            .count() as u32;
        for _ in have..revision.replicas {
            self.made += 1;
            let name = format!("pod-{}", self.made);
            self.pods
                .push(pod(&name, &revision.id, PodState::Unready, None));
        }
        for _ in revision.replicas..have {
            let of_it = self
                .pods
                .iter()
                .enumerate()
                .filter(|(_, pod)| pod.revision == revision.id);
            let first = of_it.min_by_key(|(_, pod)| pod.state == PodState::Ready);
            let (index, gone) = first.unwrap();
            let sessions = gone.load.map_or(0, |load| load.sessions);
            assert_eq!(sessions, 0, "{} went with clients in it", gone.name);
            self.pods.remove(index);
        }
    }

    fn pass_time(&mut self) {
        for pod in &mut self.pods {
            let load = pod.load.get_or_insert_default();
            load.refuses = pod.asked_to_drain;
            if pod.asked_to_drain {
                load.sessions /= 2;
            }
            pod.state = if pod.asked_to_drain {
                PodState::Unready
            } else {
                PodState::Ready
            };
        }
    }
}

fn any_pod(revisions: &'static [&'static str]) -> impl Strategy<Value = Pod> {
    use PodState::{Down, Leave, Ready, Unready};
    let state =
        prop_oneof![4 => Just(Ready), 2 => Just(Unready), 1 => Just(Down), 1 => Just(Leave)];
    let load = proptest::option::weighted(0.8, (0..50u32, any::<bool>()));
    (prop::sample::select(revisions), state, any::<bool>(), load).prop_map(
        |(revision, state, asked_to_drain, load)| Pod {
            name: String::new(),
            revision: revision.into(),
            state,
            asked_to_drain,
            load: load.map(|(sessions, refuses)| Load {
                sessions,
                refuses,
                ..Load::default()
            }),
        },
    )
}

fn any_fleet() -> impl Strategy<Value = Vec<Pod>> {
    proptest::collection::vec(any_pod(&["wanted", "old", "older"]), 0..8).prop_map(|mut pods| {
        for (index, pod) in pods.iter_mut().enumerate() {
            pod.name = format!("given-{index}");
        }
        pods
    })
}

fn observe(pods: &[Pod], wanted: &str) -> Observation {
    let mut pods = pods.to_vec();
    for pod in pods.iter_mut().filter(|pod| pod.revision == "wanted") {
        pod.revision = wanted.to_owned();
    }
    observing(pods)
}

proptest! {
    #[test]
    fn any_pass_is_safe(pods in any_fleet(), replicas in 1..6u32, age in 0..30u64) {
        let spec = spec(replicas);
        let observation = observe(&pods, &wanted(&spec));
        let memory = Memory { since: Some(at(0) - Duration::from_secs(age)), tier: None };
        let (plan, next) = plan(&subject(&spec), &observation, &memory, at(0));
        prop_assert_eq!(&super::plan(&subject(&spec), &observation, &memory, at(0)), &(plan.clone(), next));

        prop_assert!(plan.revisions[0].replicas >= replicas, "never below what is wanted");
        let wanted = &plan.revisions[0].id;
        let current = |name: &str| observation.pods.iter().any(|pod| pod.name == name && pod.revision == *wanted);
        let victims = plan.actions.iter().filter(|action| matches!(action, Action::Drain { pod } if current(pod))).count();
        let emptying = observation.pods.iter().filter(|pod| pod.revision == *wanted && pod.asked_to_drain && pod.state != PodState::Leave).count();
        prop_assert!(victims == 0 || (victims == 1 && emptying == 0), "never two victims");
        if age < SCALE_IN_WINDOW.as_secs() {
            prop_assert_eq!(victims, 0, "a young memory holds");
        }
        let unknown = observation.pods.iter().any(|pod| pod.revision == *wanted && pod.load.is_none() && matches!(pod.state, PodState::Ready | PodState::Unready));
        prop_assert!(!unknown || victims == 0, "what is not known holds");
        for revision in &plan.revisions {
            let pods = observation.pods.iter().filter(|pod| pod.revision == revision.id && pod.state != PodState::Leave);
            let (free, kept): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.state == PodState::Down || (pod.asked_to_drain && pod.load.is_some_and(|load| load.refuses && load.sessions == 0)));
            let gone = (free.len() + kept.len()).saturating_sub(revision.replicas as usize);
            prop_assert!(gone <= free.len(), "only what is empty goes");
        }
    }

    #[test]
    fn any_fleet_ends_as_wanted_and_nobody_is_cut_off(pods in any_fleet(), replicas in 1..6u32) {
        let spec = spec(replicas);
        let wanted = wanted(&spec);
        let mut world = World { pods: observe(&pods, &wanted).pods, made: 0 };
        world.pods.retain(|pod| !matches!(pod.state, PodState::Leave | PodState::Down));
        let mut memory = Memory::default();
        for seconds in 0..120 {
            world.pass_time();
            let observation = observing(world.pods.clone());
            let (plan, next) = plan(&subject(&spec), &observation, &memory, at(seconds));
            world.carry_out(&plan);
            memory = next;
        }
        let (plan, _) = plan(&subject(&spec), &observing(world.pods.clone()), &memory, at(120));
        prop_assert_eq!(settled(&plan), "Stable");
        prop_assert_eq!(world.pods.len(), replicas as usize);
        prop_assert!(world.pods.iter().all(|pod| pod.revision == wanted && !pod.asked_to_drain));
    }
}
