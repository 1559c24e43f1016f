//! Kernel settings that a kubelet may forbid.

use http::Method;
use serde_json::{Value, json};

use super::paths;
use super::server::Call;
use super::world::World;

const ACCEPT: &str = "net.core.somaxconn";
const PREFLIGHT: &str = "chat-preflight";

/// A settled cluster that is asked for an unsafe setting from now on.
async fn asked() -> World {
    let mut world = World::new().await;
    world.know_nodes();
    world.pass().await.unwrap();
    for name in ["chat-a", "chat-b"] {
        world.add_pod(name);
    }
    for _ in 0..2 {
        world.pass().await.unwrap();
    }
    world.server.calls();
    world.edit_cluster(|cluster| {
        cluster["spec"]["kernel"] = json!({
            "sysctls": [{"name": ACCEPT, "value": "8192"}], "unsafeSysctls": "Require",
        });
    });
    world
}

/// The same, with a pod that tries it.
async fn trying() -> World {
    let mut world = asked().await;
    world.pass().await.unwrap();
    assert!(preflight(&world).is_some());
    world
}

fn preflight(world: &World) -> Option<Value> {
    let path = format!("pods/{PREFLIGHT}");
    world.server.with(|state| state.objects.get(&path).cloned())
}

fn forbidden() -> Value {
    let message = format!("forbidden sysctl: \"{ACCEPT}\" not allowlisted");
    json!({"phase": "Failed", "reason": "SysctlForbidden", "message": message})
}

fn ran() -> Value {
    json!({"phase": "Succeeded", "containerStatuses": [{
        "name": "preflight", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0}},
    }]})
}

fn of_pods(writes: &[Call]) -> Vec<(&Method, &str)> {
    let calls = writes.iter().map(|call| (&call.method, call.path.as_str()));
    calls.filter(|(_, path)| path.starts_with("pods")).collect()
}

/// The reasons of the events of a few passes.
async fn events(world: &mut World) -> Vec<String> {
    for _ in 0..3 {
        world.pass().await.unwrap();
    }
    let calls = world.server.calls().into_iter();
    let events = calls.filter(|call| call.path == "events");
    events
        .filter_map(|call| call.body["reason"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn one_pod_tries_what_a_kubelet_may_forbid_as_a_pod_of_the_fleet_would_be() {
    let mut world = asked().await;
    let set = world.replica_set();
    let before = world.object(&set);
    let writes = world.writes().await;
    assert_eq!(of_pods(&writes), [(&Method::POST, "pods")]);
    let made = preflight(&world).unwrap();
    assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "1");
    let labels = &made["metadata"]["labels"];
    assert_eq!(
        labels.get("wse.dev/cluster"),
        None,
        "no Service may find it"
    );
    let spec = &made["spec"];
    let fleets = &before["spec"]["template"]["spec"];
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(
        spec["securityContext"]["sysctls"],
        json!([{"name": ACCEPT, "value": "8192"}])
    );
    assert_eq!(
        spec["nodeSelector"],
        json!({"wse.dev/unsafe-sysctls": "allowed"})
    );
    assert_eq!(spec["tolerations"][0]["key"], "wse.dev/unsafe-sysctls");
    let (container, gateway) = (&spec["containers"][0], &fleets["containers"][0]);
    for same in ["image", "securityContext"] {
        assert_eq!(container[same], gateway[same], "{same}");
    }
    assert_eq!(container["args"], json!(["--version"]));
    assert!(spec.get("volumes").is_none() && spec["containers"].as_array().unwrap().len() == 1);

    assert_eq!(world.replica_set(), set, "the fleet stays as it is");
    assert_eq!(world.condition("KernelTuned")["reason"], "PreflightPending");
    for _ in 0..20 {
        assert_eq!(world.writes().await, [], "told and tried once");
    }
}

#[tokio::test]
async fn a_cache_that_lags_makes_no_second_one() {
    let mut world = trying().await;
    let seen = preflight(&world).unwrap();
    // Not in the cache, which takes what is labelled.
    world.server.edit("pods/chat-preflight", |pod| {
        pod["metadata"]["labels"] = json!({});
    });
    world.pass().await.unwrap();
    assert_eq!(
        preflight(&world).unwrap()["metadata"]["uid"],
        seen["metadata"]["uid"]
    );
    assert_eq!(world.condition("KernelTuned")["reason"], "PreflightPending");
}

#[tokio::test]
async fn a_forbidden_setting_leaves_one_failed_pod_and_an_unharmed_fleet() {
    let mut world = trying().await;
    let set = world.replica_set();
    world.report(PREFLIGHT, forbidden());
    assert_eq!(paths(&world.writes().await), ["wseclusters/chat/status"]);
    let told = world.condition("KernelTuned");
    assert_eq!(
        (&told["status"], &told["reason"]),
        (&json!("False"), &json!("SysctlForbidden"))
    );
    let message = told["message"].as_str().unwrap();
    for part in [
        "node allows",
        "allowedUnsafeSysctls",
        PREFLIGHT,
        "delete the pod",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(world.condition("Ready")["status"], "True");
    for _ in 0..20 {
        assert_eq!(world.writes().await, []);
    }
    // Also for whoever takes over.
    world.memory = Default::default();
    world.pass().await.unwrap();
    assert!(of_pods(&world.writes().await).is_empty());
    assert_eq!(world.replica_set(), set);
    assert_eq!(
        world.object(&set)["spec"]["template"]["spec"].get("securityContext"),
        None
    );

    // A hand deletes it: that asks for another try.
    world
        .server
        .with(|state| state.objects.remove("pods/chat-preflight"));
    assert_eq!(of_pods(&world.writes().await), [(&Method::POST, "pods")]);
}

#[tokio::test]
async fn what_was_shown_is_written_down_before_the_pod_goes_and_new_pods_get_it() {
    let mut world = trying().await;
    let old = world.replica_set();
    world.report(PREFLIGHT, ran());
    let writes = world.writes().await;
    let all = paths(&writes);
    let written = all
        .iter()
        .position(|path| *path == "wseclusters/chat/status");
    let deleted = writes.iter().position(|call| call.method == Method::DELETE);
    assert!(written.unwrap() < deleted.unwrap(), "{all:?}");
    assert_eq!(writes[deleted.unwrap()].path, "pods/chat-preflight");
    assert_eq!(preflight(&world), None);

    let new = world.replica_set();
    assert_ne!(new, old);
    let set = world.object(&new);
    let spec = &set["spec"]["template"]["spec"];
    assert_eq!(
        spec["securityContext"]["sysctls"],
        json!([{"name": ACCEPT, "value": "8192"}])
    );
    assert_eq!(
        spec["nodeSelector"],
        json!({"wse.dev/unsafe-sysctls": "allowed"})
    );
    let status = &world.object("wseclusters/chat")["status"]["kernel"];
    assert_eq!(status["allowedUnsafeSysctls"], json!([ACCEPT]));
    assert_eq!(status["appliedSysctls"][0]["name"], ACCEPT);
    assert_eq!(world.condition("KernelTuned")["status"], "True");

    // A successor tries nothing again.
    world.memory = Default::default();
    world.pass().await.unwrap();
    assert_eq!((preflight(&world), world.replica_set()), (None, new));
}

#[tokio::test]
async fn a_successor_knows_what_was_shown_whenever_it_takes_over() {
    let mut world = trying().await;
    world.report(PREFLIGHT, ran());
    // The first one ends when it has removed the pod, before it has told of anything else.
    world
        .server
        .with(|state| state.fails_after = Some("pods/chat-preflight"));
    world.pass().await.unwrap_err();
    assert_eq!(preflight(&world), None);
    world.server.with(|state| state.fails_after = None);
    world.succeed("gateway:1");
    assert!(!of_pods(&world.writes().await).contains(&(&Method::POST, "pods")));
    assert_eq!(world.condition("KernelTuned")["status"], "True");
}

#[tokio::test]
async fn pods_that_are_turned_away_go_and_take_the_setting_along() {
    let mut world = trying().await;
    let good = world.replica_set();
    world.report(PREFLIGHT, ran());
    world.pass().await.unwrap();
    let bad = world.replica_set();
    world.add_pod("chat-c");
    world.server.edit("pods/chat-c", |pod| {
        pod["spec"] = json!({"containers": [], "securityContext": {"sysctls": [{"name": ACCEPT, "value": "8192"}]}});
    });
    world.report("chat-c", forbidden());
    let writes = world.writes().await;
    let all = paths(&writes);
    let written = all
        .iter()
        .position(|path| *path == "wseclusters/chat/status");
    let deleted = writes
        .iter()
        .position(|call| call.method == Method::DELETE && call.path == "pods/chat-c");
    assert!(written.unwrap() < deleted.expect("it goes"), "{all:?}");
    assert_eq!(world.replica_set(), good);
    let status = &world.object("wseclusters/chat")["status"]["kernel"];
    assert_eq!(status.get("allowedUnsafeSysctls"), None);
    assert_eq!(
        status["refusedSysctls"],
        json!([{"name": ACCEPT, "node": "allows"}])
    );
    assert_eq!(world.condition("KernelTuned")["reason"], "SysctlForbidden");
    for _ in 0..20 {
        world.pass().await.unwrap();
        assert_eq!(world.replica_set(), good);
        assert_eq!(
            preflight(&world),
            None,
            "nothing is tried while that node says what it does not do"
        );
    }
    let left = world.server.with(|state| {
        state
            .objects
            .get(&bad)
            .map(|it| it["spec"]["replicas"].clone())
    });
    assert!(left.is_none_or(|replicas| replicas == 0));
}

#[tokio::test]
async fn a_pod_that_may_not_be_made_is_told_of_and_harms_nothing() {
    let mut world = asked().await;
    world.server.with(|state| state.refuses.push("pods"));
    world.pass().await.unwrap();
    world.pass().await.unwrap();
    let told = world.condition("KernelTuned");
    assert_eq!(told["reason"], "PreflightDenied");
    assert!(
        told["message"].as_str().unwrap().contains("this cannot be"),
        "{told}"
    );
    assert_eq!(world.condition("Ready")["status"], "True");
    world.server.calls();
    for _ in 0..20 {
        assert_eq!(world.writes().await, [], "not asked again at once");
    }
}

#[tokio::test]
async fn what_comes_of_a_trial_is_told_once() {
    let mut world = asked().await;
    assert_eq!(
        events(&mut world).await,
        ["ChangeAnnounced", "PreflightStarted"]
    );
    world.report(PREFLIGHT, forbidden());
    assert_eq!(events(&mut world).await, ["SysctlForbidden"]);
    world
        .server
        .with(|state| state.objects.remove("pods/chat-preflight"));
    assert_eq!(events(&mut world).await, ["PreflightStarted"]);
    world.report(PREFLIGHT, ran());
    assert_eq!(events(&mut world).await, ["RolloutStarted", "KernelTuned"]);
}

#[tokio::test]
async fn a_gateway_that_sees_other_values_is_told_of() {
    let mut world = World::settled().await;
    for (value, holds) in [("4096\t1 2", "True"), ("9", "False")] {
        world.server.edit("pods/chat-a", |pod| {
            let sysctls =
                json!([{"name": "net.ipv4.tcp_rmem", "value": value}, {"name": "x", "value": "1"}]);
            pod["spec"] = json!({"containers": [], "securityContext": {"sysctls": sysctls}});
        });
        world.pass().await.unwrap();
        let told = world.condition("KernelTuned");
        assert_eq!(told["status"], holds, "{told}");
    }
    assert_eq!(world.condition("KernelTuned")["reason"], "NotInForce");
}

#[tokio::test]
async fn a_namespace_that_forbids_a_tiers_setting_gets_pods_without_it() {
    let mut world = World::new().await;
    world.know_nodes();
    world.edit_cluster(|cluster| cluster["spec"]["capacity"] = json!({"tier": "High"}));
    world.pass().await.unwrap();
    let set = world.replica_set();
    let names = |world: &World| {
        let template = &world.object(&set)["spec"]["template"];
        let list = template["spec"]["securityContext"]["sysctls"]
            .as_array()
            .unwrap()
            .clone();
        list.into_iter()
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let forbidden = "net.ipv4.tcp_fin_timeout".to_owned();
    assert!(names(&world).contains(&forbidden));
    let message = format!(
        "pods is forbidden: violates PodSecurity \"baseline:v1.28\": forbidden sysctls ({forbidden})"
    );
    let condition = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
    world.server.edit(&set, |set| {
        set["status"] = json!({"replicas": 0, "conditions": [condition]});
    });
    world.pass().await.unwrap();
    assert!(!names(&world).contains(&forbidden));
    // Its pods are made, and it is not tried again.
    world
        .server
        .edit(&set, |set| set["status"] = json!({"replicas": 2}));
    for _ in 0..5 {
        world.pass().await.unwrap();
        assert!(!names(&world).contains(&forbidden));
    }
    assert!(
        world.condition("KernelTuned")["message"]
            .as_str()
            .unwrap()
            .contains("pod security level")
    );
}
