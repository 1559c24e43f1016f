//! Tables of single passes, and properties over simulated fleets.

mod balance;
mod kernel;
mod passes;
mod revisions;
mod rollouts;
mod simulated;
mod sizes;
mod world;

use std::path::Path;
use std::time::UNIX_EPOCH;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::*;
use crate::api::{Rebalance, Scaling};

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
        default_image: "",
    }
}

fn observing(pods: Vec<Pod>) -> Observation {
    Observation {
        pods,
        ..Observation::default()
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

/// A memory that holds nothing back at `at(0)`.
fn watched() -> Memory {
    Memory::since(at(0) - SCALE_IN_WINDOW)
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
    plan(&subject(&spec), &observing(pods), &memory, at(0)).0
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

#[test]
fn an_empty_memory_holds_scale_in_for_one_window() {
    let spec = spec(1);
    let revision = wanted(&spec);
    let observation = observing(vec![
        pod("a", &revision, PodState::Ready, Some(1)),
        pod("b", &revision, PodState::Ready, Some(1)),
    ]);
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
fn only_pods_that_take_clients_say_whether_redis_is_reached() {
    use PodState::{Ready, Unready};
    for (states, reason) in [
        (&[(Ready, false), (Unready, true)][..], "Connected"),
        (&[(Ready, true), (Ready, false)], "RedisAway"),
        (&[(Unready, true)], "Unknown"),
        (&[], "Unknown"),
    ] {
        let plan = pass(2, watched(), |revision| {
            let one = |&(state, degraded)| {
                let mut pod = pod("a", revision, state, Some(1));
                pod.load.as_mut().unwrap().degraded = degraded;
                pod
            };
            states.iter().map(one).collect()
        });
        let of_it = |it: &&Condition| it.r#type == ConditionType::BackplaneReachable;
        let found = plan.conditions.iter().find(of_it).unwrap();
        assert_eq!(found.reason, reason, "{states:?}");
    }
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
