//! What a cache, a kubelet or a successor sees only later.

use serde_json::json;

use super::paths;
use super::world::{CLUSTER, World};

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
async fn a_status_that_the_cache_does_not_show_yet_is_not_taken_back() {
    let mut world = World::new().await;
    let mut shown = world.object(CLUSTER);
    world.pass().await.unwrap();
    let told = world.object(CLUSTER)["status"].clone();
    // Edited since, but the status that was written last is newer still.
    shown["spec"]["capacity"]["tier"] = "Gigantic".into();
    shown["metadata"]["generation"] = 2.into();
    world.server.calls();
    world.pass_over(shown).await.unwrap();
    let calls = world.server.calls();
    let status = &calls[0].body["status"];
    assert_eq!(paths(&calls)[0], "wseclusters/chat/status");
    // An apply takes away what it does not name.
    for field in ["image", "revision", "tier"] {
        assert_eq!(status[field], told[field], "{field}");
    }
    assert_eq!(world.condition("Ready")["reason"], "SpecUnreadable");
}

#[tokio::test]
async fn a_number_that_the_cache_does_not_show_yet_is_kept() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| {
        cluster["spec"]["scaling"] =
            json!({"mode": "Autoscale", "minReplicas": 3, "maxReplicas": 9});
    });
    let mut shown = world.object(CLUSTER);
    world.pass().await.unwrap();
    let desired = |world: &World| world.object(CLUSTER)["status"]["desiredReplicas"].clone();
    assert_eq!(desired(&world), 3);
    // It shows the two that there were before, and that one is enough now.
    shown["spec"]["scaling"]["minReplicas"] = 1.into();
    shown["metadata"]["generation"] = 9.into();
    world.memory.plan = Default::default();
    world.pass_over(shown).await.unwrap();
    assert_eq!(desired(&world), 3);
}

#[tokio::test]
async fn a_rollout_whose_first_pass_failed_is_told_of_by_the_next() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| {
        cluster["spec"]["podTemplate"] = json!({"spec": {"priorityClassName": "high"}});
    });
    world
        .server
        .with(|state| state.fails_after = Some("replicasets/"));
    world.pass().await.unwrap_err();
    world.server.with(|state| state.fails_after = None);
    world.server.calls();
    world.pass().await.unwrap();
    let calls = world.server.calls().into_iter();
    let reasons: Vec<_> = calls
        .filter_map(|call| call.body["reason"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(reasons, ["ChangeAnnounced", "RolloutStarted"]);
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
    assert_eq!(reasons, ["ChangeAnnounced", "RolloutStarted"]);
}

#[tokio::test]
async fn what_keeps_new_pods_away_is_told_while_old_ones_serve() {
    let mut world = World::settled().await;
    world.edit_cluster(|cluster| cluster["spec"]["image"] = "gateway:2".into());
    world.pass().await.unwrap();
    let set = world.replica_set();
    let settled = |world: &World| {
        let settled = world.condition("Settled");
        let message = settled["message"].as_str().unwrap();
        message.split_once(" (").map(|it| it.1.to_owned())
    };
    assert_eq!(settled(&world), None);
    world.server.edit(&set, |set| {
        set["status"]["conditions"] =
            json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]);
    });
    world.pass().await.unwrap();
    assert_eq!(settled(&world).as_deref(), Some("FailedCreate)"));
    assert_eq!(world.condition("Ready")["status"], "True");

    world.server.edit(&set, |set| set["status"] = json!({}));
    world.add_pod("chat-c");
    world.server.edit("pods/chat-c", |pod| {
        pod["status"] = json!({
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
        });
    });
    world.add_pod("chat-d");
    world.server.edit("pods/chat-d", |pod| {
        let gateway = &mut pod["status"]["containerStatuses"][0];
        gateway["state"] = json!({"waiting": {"reason": "ErrImagePull"}});
    });
    world.pass().await.unwrap();
    let reasons = settled(&world);
    assert_eq!(reasons.as_deref(), Some("ImagePullBackOff, Unschedulable)"));
}
