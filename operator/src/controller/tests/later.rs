//! What a cache, a kubelet or a successor sees only later.

use serde_json::json;

use super::paths;
use super::world::World;

#[tokio::test]
async fn a_replica_set_whose_pods_are_not_seen_yet_keeps_them() {
    let mut world = World::settled().await;
    let mut unseen = world.object(&world.replica_set());
    unseen["metadata"]["name"] = "chat-00000000".into();
    unseen["metadata"]["uid"] = "unseen".into();
    unseen["metadata"]["labels"]["wse.dev/revision"] = "0000000000000000".into();
    unseen["status"] = json!({"replicas": 2});
    let path = "replicasets/chat-00000000";
    let put = |state: &mut super::server::State| state.objects.insert(path.into(), unseen);
    world.server.with(put);
    assert_eq!(world.writes().await, []);
    assert_eq!(world.object(path)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_told_to_drain_when_it_does() {
    let mut world = World::settled().await;
    let at = |address: &'static str| {
        move |pod: &mut serde_json::Value| pod["status"]["podIP"] = address.into()
    };
    // Nothing listens there.
    world.server.edit("pods/chat-a", at("127.9.9.9"));
    world.edit_cluster(|cluster| cluster["spec"]["image"] = "gateway:2".into());
    world.pass().await.unwrap();
    world.add_pod("chat-c");
    world.add_pod("chat-d");
    let mut drains = 0;
    for _ in 0..5 {
        let writes = world.writes().await;
        drains += paths(&writes).iter().filter(|it| **it == "drain").count();
        if drains > 0 {
            break;
        }
    }
    assert_eq!(drains, 1, "only the one that answers");
    let draining = |pod: &str| {
        let annotations = &world.object(pod)["metadata"]["annotations"];
        annotations["wse.dev/draining"].is_string()
    };
    assert!(draining("pods/chat-a") && draining("pods/chat-b"));

    world.server.edit("pods/chat-a", at("127.0.0.1"));
    world.server.edit("pods/chat-b", at("127.9.9.9"));
    let writes = world.writes().await;
    assert!(paths(&writes).contains(&"drain"), "{writes:?}");
}

#[tokio::test]
async fn every_event_has_its_own_text() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| cluster["spec"]["image"] = "gateway:2".into());
    world.pass().await.unwrap();
    world.add_pod("chat-c");
    world.add_pod("chat-d");
    let mut notes = Vec::new();
    for _ in 0..5 {
        world.pass().await.unwrap();
        let calls = world.server.calls().into_iter();
        let drains = calls.filter(|call| call.body["reason"] == "DrainStarted");
        notes.extend(drains.map(|call| call.body["note"].as_str().unwrap().to_owned()));
    }
    notes.sort();
    let text = ["chat-a", "chat-b"].map(|pod| format!("{pod} is asked to empty itself"));
    assert_eq!(notes, text);
}

#[tokio::test]
async fn pods_are_told_of_a_configuration_when_their_kubelets_can_have_it() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| cluster["spec"]["log"] = "debug".into());
    let writes = world.writes().await;
    let first = paths(&writes);
    assert!(first.contains(&"configmaps/chat-config"), "{first:?}");
    assert!(!first.iter().any(|it| it.starts_with("pods/")), "{first:?}");
    let writes = world.writes().await;
    assert_eq!(paths(&writes), ["pods/chat-a", "pods/chat-b"]);
    assert_eq!(world.writes().await, []);
}

#[tokio::test]
async fn a_successor_with_another_default_moves_nobody_whenever_it_takes_over() {
    let mut world = World::new().await;
    // The first one ends when it has made pods, before it has told of them.
    world
        .server
        .with(|state| state.fails_after = Some("replicasets/"));
    world.pass().await.unwrap_err();
    let made = world.replica_sets();
    assert_eq!(made.len(), 1);
    world.server.with(|state| state.fails_after = None);
    world.succeed("gateway:2");
    world.pass().await.unwrap();
    assert_eq!(world.replica_sets(), made);
}

#[tokio::test]
async fn a_rollout_is_told_of_where_the_image_is_the_operators_choice() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| {
        cluster["spec"]["podTemplate"] = json!({"spec": {"priorityClassName": "high"}});
    });
    let mut reasons = Vec::new();
    for _ in 0..3 {
        world.pass().await.unwrap();
        let calls = world.server.calls().into_iter();
        reasons.extend(calls.filter_map(|call| call.body["reason"].as_str().map(str::to_owned)));
    }
    assert_eq!(reasons, ["RolloutStarted"]);
}
