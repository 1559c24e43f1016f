//! Scenarios against an API server that writes down every call.

mod deaths;
mod fleet;
mod gateways;
mod kernel;
mod later;
mod scaling;
mod server;
mod world;

use http::Method;
use serde_json::{Value, json};

use self::server::Call;
use self::world::World;

const APPLIED: &str = "&force=true&fieldManager=wse-operator";

fn paths(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(|call| call.path.as_str()).collect()
}

#[tokio::test]
async fn the_first_pass_makes_everything_in_order_and_then_tells() {
    let mut world = World::new().await;
    let writes = world.writes().await;
    let set = world.replica_set();
    let order = [
        // The chosen image.
        "wseclusters/chat/status",
        "secrets/chat-admin",
        "configmaps/chat-config",
        "serviceaccounts/chat",
        &set,
        "services/chat",
        "services/chat-api",
        "poddisruptionbudgets/chat",
        "networkpolicies/chat",
        "wseclusters/chat/status",
    ];
    assert_eq!(paths(&writes), order);
    let [chosen, made @ .., told] = writes.as_slice() else {
        panic!("{writes:?}")
    };
    assert_eq!(chosen.body["status"]["image"], "gateway:1");
    for call in made {
        assert_eq!(call.method, Method::PATCH);
        assert_eq!(call.query, APPLIED, "{}", call.path);
        assert_eq!(
            call.body["metadata"]["ownerReferences"][0]["uid"], "1",
            "{}",
            call.path
        );
    }
    assert!(
        told.query.ends_with("fieldManager=wse-operator%2Fstatus"),
        "{}",
        told.query
    );
    assert_eq!(world.condition("Ready")["status"], "False");
    assert_eq!(world.object(&set)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn tls_is_mounted_and_proxies_are_told_of_it() {
    let mut world = World::new().await;
    world.edit_cluster(|it| it["spec"]["tls"] = json!({"secretName": "chat-tls"}));
    world.writes().await;
    let pods = world.object(&world.replica_set())["spec"]["template"]["spec"].clone();
    let of = |list: &Value, wanted: &dyn Fn(&Value) -> bool| {
        let found = list.as_array().unwrap().iter().find(|it| wanted(it));
        found.unwrap().clone()
    };
    let volume = of(&pods["volumes"], &|it| {
        it["secret"]["secretName"] == "chat-tls"
    });
    let gateway = of(&pods["containers"], &|it| it["name"] == "gateway");
    let mount = of(&gateway["volumeMounts"], &|it| it["name"] == volume["name"]);
    let told = world.object("configmaps/chat-config")["data"].to_string();
    let file = format!("{}/tls.crt", mount["mountPath"].as_str().unwrap());
    assert!(told.contains(&file), "{told}");
    let port = &world.object("services/chat")["spec"]["ports"][0];
    assert_eq!(port["appProtocol"], "kubernetes.io/wss");
}

#[tokio::test]
async fn two_hundred_passes_over_an_unchanged_cluster_write_nothing() {
    let mut world = World::settled().await;
    for pass in 0..200 {
        assert_eq!(world.writes().await, [], "in pass {pass}");
    }
    assert_eq!(world.condition("Ready")["status"], "True");
}

#[tokio::test]
async fn a_new_process_applies_once_what_is_there_already() {
    let mut world = World::settled().await;
    let before = world.object("secrets/chat-admin")["data"].clone();
    world.memory = Default::default();
    let writes = world.writes().await;
    assert!(
        !paths(&writes).contains(&"wseclusters/chat/status"),
        "the status is the same"
    );
    assert_eq!(
        world.object("secrets/chat-admin")["data"],
        before,
        "the token is kept"
    );
    assert_eq!(world.writes().await, []);
}

#[tokio::test]
async fn a_hand_edit_is_put_back_and_what_others_added_stays() {
    let mut world = World::settled().await;
    world.server.edit("services/chat", |service| {
        service["spec"]["selector"] = json!({"app": "somebody"});
        service["metadata"]["annotations"] = json!({"example.com/note": "mine"});
    });
    let writes = world.writes().await;
    assert_eq!(paths(&writes), ["services/chat"]);
    assert_eq!(
        writes[0].body["metadata"].get("annotations"),
        None,
        "not ours, so not applied"
    );
    let service = world.object("services/chat");
    assert_eq!(service["spec"]["selector"]["wse.dev/cluster"], "chat");
    assert_eq!(
        service["metadata"]["annotations"]["example.com/note"],
        "mine"
    );
    assert_eq!(world.writes().await, []);

    world
        .server
        .with(|state| state.objects.remove("networkpolicies/chat"));
    assert_eq!(paths(&world.writes().await), ["networkpolicies/chat"]);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone_and_the_rest_is_made() {
    let mut world = World::new().await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "chat", "namespace": "a", "resourceVersion": "1"}, "spec": {"selector": {"app": "x"}},
    });
    world
        .server
        .with(|state| state.objects.insert("services/chat".into(), theirs.clone()));
    let writes = world.writes().await;
    assert!(!paths(&writes).contains(&"services/chat"));
    assert!(paths(&writes).contains(&"networkpolicies/chat"));
    assert_eq!(world.object("services/chat"), theirs);
    let ready = world.condition("Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("NameTaken"))
    );
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .starts_with("Service a/chat exists"),
        "{ready}"
    );
    assert_eq!(world.writes().await, [], "told once");
}

#[tokio::test]
async fn a_refusal_becomes_a_condition_and_ends_when_it_is_put_right() {
    let mut world = World::new().await;
    world
        .server
        .with(|state| state.refuses.push("networkpolicies/chat"));
    assert!(paths(&world.writes().await).contains(&"poddisruptionbudgets/chat"));
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "Refused");
    assert_eq!(
        ready["message"],
        "cannot patch NetworkPolicy a/chat: this cannot be"
    );
    world.server.with(|state| state.refuses.clear());
    assert!(paths(&world.writes().await).contains(&"networkpolicies/chat"));
    assert_ne!(world.condition("Ready")["reason"], "Refused");
}

#[tokio::test]
async fn a_paused_cluster_is_told_of_and_nothing_else() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| {
        cluster["metadata"]["annotations"] = json!({"wse.dev/paused": "true"});
        cluster["spec"]["scaling"]["replicas"] = 5.into();
    });
    world
        .server
        .with(|state| state.objects.remove("networkpolicies/chat"));
    assert_eq!(paths(&world.writes().await), ["wseclusters/chat/status"]);
    assert_eq!(world.condition("Paused")["status"], "True");
    assert_eq!(world.object(&world.replica_set())["spec"]["replicas"], 2);
    world.edit_cluster(|cluster| cluster["metadata"]["annotations"] = json!({}));
    world.pass().await.unwrap();
    assert_eq!(world.object(&world.replica_set())["spec"]["replicas"], 5);
    assert_eq!(world.condition("Paused"), Value::Null);
}

#[tokio::test]
async fn a_drain_is_recorded_before_the_pod_is_asked_and_asked_again_until_it_knows() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| cluster["spec"]["scaling"]["replicas"] = 1.into());
    let writes = world.writes().await;
    let of_pods: Vec<&Call> = writes
        .iter()
        .filter(|it| it.path.starts_with("pods/") || it.path == "drain")
        .collect();
    assert_eq!(of_pods.len(), 2, "{writes:?}");
    assert_eq!(
        (of_pods[0].path.as_str(), of_pods[1].path.as_str()),
        ("pods/chat-b", "drain")
    );
    let annotations = &of_pods[0].body["metadata"]["annotations"];
    assert!(annotations["wse.dev/draining"].is_string());
    assert_eq!(
        annotations["controller.kubernetes.io/pod-deletion-cost"],
        "-1000"
    );
    assert_eq!(
        world.object(&world.replica_set())["spec"]["replicas"],
        2,
        "not before it is empty"
    );
    assert!(
        !world.has_answer("chat-b"),
        "what it said before it was asked to drain proves nothing"
    );
    assert!(world.has_answer("chat-a"));

    // Its gateway says that it serves: it is another process since, or never heard.
    assert_eq!(
        paths(&world.writes().await),
        ["drain", "wseclusters/chat/status"]
    );
    assert_eq!(paths(&world.writes().await), ["drain"]);
    // And by whoever continues.
    world.memory = Default::default();
    assert!(paths(&world.writes().await).contains(&"drain"));
}

#[tokio::test]
async fn a_drain_is_taken_back_when_the_pod_is_wanted_again() {
    let mut world = World::settled().await;
    world.server.edit("pods/chat-b", |pod| {
        pod["metadata"]["annotations"]["wse.dev/draining"] = "2026-01-01T00:00:00Z".into();
    });
    // Its gateway cannot do that, so the annotation has to stay until it can.
    let writes = world.writes().await;
    assert_eq!(paths(&writes), ["drain", "wseclusters/chat/status"]);
    assert_eq!(writes[0].method, Method::DELETE);
    assert!(
        world.object("pods/chat-b")["metadata"]["annotations"]
            .get("wse.dev/draining")
            .is_some()
    );
}

#[tokio::test]
async fn an_older_revision_without_pods_is_removed_and_no_other() {
    let mut world = World::settled().await;
    let mut old = world.object(&world.replica_set());
    old["metadata"]["name"] = "chat-00000000".into();
    old["metadata"]["uid"] = "old".into();
    old["metadata"]["labels"]["wse.dev/revision"] = "0000000000000000".into();
    old["status"] = json!({"replicas": 0});
    world.server.with(|state| {
        state
            .objects
            .insert("replicasets/chat-00000000".into(), old)
    });
    let writes = world.writes().await;
    assert_eq!(paths(&writes), ["replicasets/chat-00000000"]);
    assert_eq!(
        writes[0].body["spec"]["replicas"], 0,
        "first it is told to have none"
    );
    let writes = world.writes().await;
    assert_eq!((&writes[0].method, writes.len()), (&Method::DELETE, 1));
    assert_eq!(writes[0].body["preconditions"]["uid"], "old");
    assert_eq!(world.writes().await, []);
}

#[tokio::test]
async fn an_unreadable_spec_is_told_and_the_fleet_stays() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| cluster["spec"]["capacity"]["tier"] = "Gigantic".into());
    assert_eq!(paths(&world.writes().await), ["wseclusters/chat/status"]);
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "SpecUnreadable");
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .contains("spec.capacity.tier"),
        "{ready}"
    );

    world.edit_cluster(|cluster| {
        cluster["spec"]["capacity"]["tier"] = "Light".into();
        cluster["spec"]["backplane"] = json!({"type": "Memory"});
    });
    world.pass().await.unwrap();
    assert_eq!(world.condition("Ready")["reason"], "SpecInvalid");
}

#[tokio::test]
async fn a_cluster_that_ends_is_not_touched() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| {
        cluster["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    world
        .server
        .with(|state| state.objects.remove("services/chat"));
    assert_eq!(world.writes().await, []);
}
