//! Tables of single passes, and properties over simulated fleets.

use std::path::Path;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn spec(replicas: u32) -> WseClusterSpec {
    serde_json::from_value(json!({
        "capacity": {"expectedConnections": 100},
        "scaling": {"replicas": replicas},
        "auth": {"keys": [{"algorithm": "HS256", "secretKeyRef": {"name": "jwt", "key": "secret"}}]},
        "backplane": {"type": "Redis", "redis": {"url": "redis://r:6379"}},
        "api": {"keys": [{"secretKeyRef": {"name": "api", "key": "key"}}]},
    }))
    .unwrap()
}

fn subject(spec: &WseClusterSpec) -> Subject<'_> {
    Subject {
        cluster: "default/chat",
        spec,
        secrets: Path::new("/secrets"),
        admin_token: Path::new("/admin/token"),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

/// A memory that holds nothing back at `at(0)`.
fn watched() -> Memory {
    Memory {
        since: Some(at(0) - SCALE_IN_WINDOW),
        tier: None,
    }
}

fn wanted(spec: &WseClusterSpec) -> String {
    let (plan, _) = plan(&subject(spec), &Observation::default(), &watched(), at(0));
    plan.revisions[0].id.clone()
}

fn pod(name: &str, revision: &str, state: PodState, sessions: Option<u32>) -> Pod {
    Pod {
        name: name.into(),
        revision: revision.into(),
        state,
        asked_to_drain: false,
        load: sessions.map(|sessions| Load {
            sessions,
            ..Load::default()
        }),
    }
}

fn drained(name: &str, revision: &str, sessions: u32) -> Pod {
    let mut pod = pod(name, revision, PodState::Unready, Some(sessions));
    pod.asked_to_drain = true;
    pod.load.as_mut().unwrap().refuses = true;
    pod
}

fn pass(replicas: u32, memory: Memory, pods: impl Fn(&str) -> Vec<Pod>) -> Plan {
    let spec = spec(replicas);
    let pods = pods(&wanted(&spec));
    plan(&subject(&spec), &Observation { pods }, &memory, at(0)).0
}

fn counts(plan: &Plan) -> Vec<u32> {
    plan.revisions
        .iter()
        .map(|revision| revision.replicas)
        .collect()
}

fn settled(plan: &Plan) -> &'static str {
    let of_it = |condition: &&Condition| condition.r#type == ConditionType::Settled;
    plan.conditions.iter().find(of_it).unwrap().reason
}

fn drain(pod: &str) -> Action {
    Action::Drain { pod: pod.into() }
}

fn undrain(pod: &str) -> Action {
    Action::Undrain { pod: pod.into() }
}

/// What it shows, wanted replicas, pods of the wanted revision given its id; then counts by revision,
/// actions, and what the fleet is said to do.
type Case<'a> = (
    &'a str,
    u32,
    fn(&str) -> Vec<Pod>,
    &'a [u32],
    &'a [Action],
    &'a str,
);

#[test]
fn single_passes() {
    use PodState::{Down, Leave, Ready, Unready};
    let cases: &[Case<'_>] = &[
        (
            "an empty fleet grows at once",
            3,
            |_| vec![],
            &[3],
            &[],
            "Growing",
        ),
        (
            "a starting fleet is left alone",
            2,
            |r| vec![pod("a", r, Unready, None), pod("b", r, Ready, Some(1))],
            &[2],
            &[],
            "Growing",
        ),
        (
            "a fleet that is right is left alone",
            1,
            |r| vec![pod("a", r, Ready, Some(9))],
            &[1],
            &[],
            "Stable",
        ),
        (
            "a pod that leaves is not counted",
            1,
            |r| vec![pod("a", r, Leave, Some(9))],
            &[1],
            &[],
            "Growing",
        ),
        (
            "the pod with the fewest clients goes",
            2,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    pod("b", r, Ready, Some(2)),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[3],
            &[drain("b")],
            "ScalingIn",
        ),
        (
            "among equals the last name goes",
            1,
            |r| vec![pod("a", r, Ready, Some(1)), pod("b", r, Ready, Some(1))],
            &[2],
            &[drain("b")],
            "ScalingIn",
        ),
        (
            "one at a time",
            1,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 2),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[3],
            &[],
            "ScalingIn",
        ),
        (
            "an emptied pod may go",
            1,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 0),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[2],
            &[],
            "ScalingIn",
        ),
        (
            "not while another pod is not ready",
            1,
            |r| {
                vec![
                    pod("a", r, Unready, Some(5)),
                    drained("b", r, 0),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[3],
            &[],
            "ScalingIn",
        ),
        (
            "a pod that still accepts is not empty",
            1,
            |r| {
                let mut b = drained("b", r, 0);
                b.load.as_mut().unwrap().refuses = false;
                vec![pod("a", r, Ready, Some(5)), b]
            },
            &[2],
            &[],
            "ScalingIn",
        ),
        (
            "what is not known holds",
            1,
            |r| vec![pod("a", r, Ready, Some(5)), pod("b", r, Ready, None)],
            &[2],
            &[],
            "ScaleInHeld",
        ),
        (
            "a pod that is not ready holds",
            1,
            |r| vec![pod("a", r, Ready, Some(5)), pod("b", r, Unready, Some(0))],
            &[2],
            &[],
            "ScaleInHeld",
        ),
        (
            "a pod that is down goes first, without a drain",
            1,
            |r| vec![pod("a", r, Ready, Some(5)), pod("b", r, Down, None)],
            &[1],
            &[],
            "ScaleInHeld",
        ),
        (
            "a drain is taken back when the pod is wanted again",
            2,
            |r| vec![pod("a", r, Ready, Some(5)), drained("b", r, 1)],
            &[2],
            &[undrain("b")],
            "Growing",
        ),
        (
            "the fullest comes back first",
            2,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 1),
                    drained("c", r, 7),
                ]
            },
            &[3],
            &[undrain("c")],
            "ScalingIn",
        ),
        (
            "new pods come before old ones leave",
            2,
            |r| {
                vec![
                    pod("n", r, Unready, None),
                    pod("o", "old", Ready, Some(4)),
                    pod("p", "old", Ready, Some(4)),
                ]
            },
            &[2, 2],
            &[],
            "RollingOut",
        ),
        (
            "then all old ones leave",
            1,
            |r| {
                vec![
                    pod("n", r, Ready, Some(0)),
                    pod("o", "old", Ready, Some(4)),
                    pod("p", "old", Ready, None),
                ]
            },
            &[1, 2],
            &[drain("o"), drain("p")],
            "RollingOut",
        ),
        (
            "old ones stay until the last is empty",
            1,
            |r| {
                vec![
                    pod("n", r, Ready, Some(0)),
                    drained("o", "old", 0),
                    drained("p", "old", 3),
                ]
            },
            &[1, 2],
            &[],
            "RollingOut",
        ),
        (
            "and then go together",
            1,
            |r| {
                vec![
                    pod("n", r, Ready, Some(0)),
                    drained("o", "old", 0),
                    pod("p", "old", Down, None),
                ]
            },
            &[1, 0],
            &[],
            "RollingOut",
        ),
        (
            "a roll comes before a scale-in",
            1,
            |r| {
                vec![
                    pod("a", r, Ready, Some(0)),
                    pod("b", r, Ready, Some(0)),
                    drained("o", "old", 3),
                ]
            },
            &[2, 1],
            &[],
            "RollingOut",
        ),
    ];
    for (what, replicas, pods, expected, actions, reason) in cases {
        let plan = pass(*replicas, watched(), pods);
        assert_eq!(counts(&plan), *expected, "{what}");
        assert_eq!(plan.actions, *actions, "{what}");
        assert_eq!(settled(&plan), *reason, "{what}");
    }
}

#[test]
fn an_empty_memory_holds_scale_in_for_one_window() {
    let spec = spec(1);
    let revision = wanted(&spec);
    let observation = Observation {
        pods: vec![
            pod("a", &revision, PodState::Ready, Some(1)),
            pod("b", &revision, PodState::Ready, Some(1)),
        ],
    };
    let mut memory = Memory::default();
    for seconds in 0..SCALE_IN_WINDOW.as_secs() {
        let (plan, next) = plan(&subject(&spec), &observation, &memory, at(seconds));
        assert_eq!(plan.actions, [], "after {seconds} s");
        assert_eq!(settled(&plan), "ScaleInHeld");
        let left = SCALE_IN_WINDOW - Duration::from_secs(seconds);
        assert!(plan.wake_after <= left, "wakes when the window ends");
        memory = next;
    }
    let end = at(SCALE_IN_WINDOW.as_secs());
    let (plan, _) = plan(&subject(&spec), &observation, &memory, end);
    assert_eq!(plan.actions, [drain("b")]);
}

#[test]
fn only_what_a_process_cannot_change_makes_another_revision() {
    let change = |pointer: &str, value: serde_json::Value| {
        let mut spec = serde_json::to_value(spec(2)).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[name] = value;
        serde_json::from_value::<WseClusterSpec>(spec).unwrap()
    };
    let before = wanted(&spec(2));
    for (pointer, value) in [
        ("/scaling/replicas", json!(5)),
        ("/capacity/tier", json!("Maximum")),
        ("/auth/issuers", json!(["other"])),
        ("/auth/keys/0/algorithm", json!("HS512")),
        ("/limits/messageBytes", json!(1)),
        (
            "/topics",
            json!([{"pattern": "a.*", "slowConsumer": "DropNewest"}]),
        ),
        ("/drain/windowSeconds", json!(1)),
        ("/api/keys/0/secretKeyRef/key", json!("other")),
        ("/log", json!("debug")),
    ] {
        assert_eq!(wanted(&change(pointer, value)), before, "{pointer}");
    }
    for (pointer, value) in [
        ("/backplane/redis/url", json!("redis://other:6379")),
        ("/backplane", json!({})),
    ] {
        assert_ne!(wanted(&change(pointer, value)), before, "{pointer}");
    }
    // A release that computes another name for the same thing would replace every pod.
    assert_eq!(before, "cfd032a03de78841");
}

#[test]
fn the_configuration_says_what_the_spec_says() {
    let mut spec = spec(1);
    spec.auth.allowed_origins = vec!["*".into()];
    spec.limits = serde_json::from_value(json!({"subscriptions": 3})).unwrap();
    let (plan, _) = plan(&subject(&spec), &Observation::default(), &watched(), at(0));
    let config = plan.config;
    assert_eq!(config.cluster, "default/chat");
    assert_eq!(config.auth.keys[0].file, Path::new("/secrets/jwt/secret"));
    assert_eq!(
        config.auth.allowed_origins,
        wse_sidecar::config::Origins::Any
    );
    assert_eq!(config.api.key_files, [Path::new("/secrets/api/key")]);
    assert_eq!(
        config.admin.token_file.as_deref(),
        Some(Path::new("/admin/token"))
    );
    assert_eq!(config.limits.subscriptions, 3);
    assert_eq!(
        config.limits.pending_handshakes,
        plan.tier.figures().pending_handshakes
    );
    assert_eq!(config.drain.wait_seconds, 7);
    let text = serde_json::to_string(&config).unwrap();
    let read = wse_sidecar::config::parse(&text).unwrap();
    assert_eq!(read.config, config);
    assert_eq!(read.unknown, [] as [String; 0]);
}

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
    Observation { pods }
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
            let observation = Observation { pods: world.pods.clone() };
            let (plan, next) = plan(&subject(&spec), &observation, &memory, at(seconds));
            world.carry_out(&plan);
            memory = next;
        }
        let (plan, _) = plan(&subject(&spec), &Observation { pods: world.pods.clone() }, &memory, at(120));
        prop_assert_eq!(settled(&plan), "Stable");
        prop_assert_eq!(world.pods.len(), replicas as usize);
        prop_assert!(world.pods.iter().all(|pod| pod.revision == wanted && !pod.asked_to_drain));
    }
}
